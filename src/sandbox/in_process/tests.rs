//! Every operation through the SDK's own client: its builders make the requests, its deserialisers read the answers.

use aws_sdk_identitystore::Client;
use aws_sdk_identitystore::config::timeout::TimeoutConfig;
use aws_sdk_identitystore::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_identitystore::types::{
    Address, AlternateIdentifier, AttributeOperation, ConflictExceptionReason, Email, MemberId, Name,
    PhoneNumber, Photo, ResourceType, Role, UniqueAttribute, UserStatus,
};
use aws_smithy_types::Document;

use super::super::handler::Settings;
use super::*;

mod assignments;
mod reads;

const STORE: &str = "d-1234567890";
const ENTERPRISE: &str = "aws:identitystore:enterprise";

fn sandbox(settings: Settings) -> (Arc<Sandbox>, Client) {
    let sandbox = Arc::new(Sandbox::open(settings).unwrap());
    let client = Client::new(&InProcess::new(Arc::clone(&sandbox)).sdk_config());
    (sandbox, client)
}

fn client() -> Client {
    sandbox(Settings::default()).1
}

fn name(given: &str, family: &str) -> Name {
    Name::builder().given_name(given).family_name(family).build()
}

fn email(value: &str) -> Email {
    Email::builder().value(value).r#type("work").primary(true).build()
}

async fn user(client: &Client, user_name: &str) -> String {
    client
        .create_user()
        .identity_store_id(STORE)
        .user_name(user_name)
        .name(name("Given", "Family"))
        .display_name(user_name)
        .send()
        .await
        .unwrap()
        .user_id
}

async fn group(client: &Client, display_name: &str) -> String {
    let made = client.create_group().identity_store_id(STORE).display_name(display_name).send().await;
    made.unwrap().group_id
}

async fn member(client: &Client, group: &str, user: &str) -> String {
    let made = client
        .create_group_membership()
        .identity_store_id(STORE)
        .group_id(group)
        .member_id(MemberId::UserId(user.to_owned()))
        .send()
        .await;
    made.unwrap().membership_id
}

fn operation(path: &str, value: impl Into<Document>) -> AttributeOperation {
    AttributeOperation::builder().attribute_path(path).attribute_value(value.into()).build().unwrap()
}

fn map(members: &[(&str, &str)]) -> Document {
    Document::Object(members.iter().map(|(k, v)| ((*k).to_owned(), Document::from(*v))).collect())
}

fn unique(path: &str, value: &str) -> AlternateIdentifier {
    AlternateIdentifier::UniqueAttribute(
        UniqueAttribute::builder().attribute_path(path).attribute_value(value.into()).build().unwrap(),
    )
}

fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.code()
}

#[tokio::test]
async fn a_user_comes_back_with_everything_that_was_written() {
    let client = client();
    let made = client
        .create_user()
        .identity_store_id(STORE)
        .user_name("ada@example.com")
        .name(
            Name::builder()
                .formatted("Ada, Countess of Lovelace")
                .given_name("Ada")
                .family_name("Lovelace")
                .middle_name("K")
                .honorific_prefix("Lady")
                .honorific_suffix("I")
                .build(),
        )
        .display_name("Ada Lovelace")
        .nick_name("Ada")
        .profile_url("https://example.com/ada")
        .emails(email("ada@example.com"))
        .addresses(
            Address::builder()
                .street_address("1 St James's Square")
                .locality("London")
                .region("England")
                .postal_code("SW1Y")
                .country("GB")
                .formatted("1 St James's Square\nLondon")
                .r#type("home")
                .primary(true)
                .build(),
        )
        .phone_numbers(PhoneNumber::builder().value("+44 20").r#type("work").primary(true).build())
        .user_type("Employee")
        .title("Countess")
        .preferred_language("en-GB")
        .locale("en-GB")
        .timezone("Europe/London")
        .website("https://example.com")
        .birthdate("1815-12-10")
        .photos(Photo::builder().value("https://example.com/ada.png").display("Ada").build().unwrap())
        .roles(Role::builder().value("Mathematician").r#type("work").primary(true).build())
        .extensions(ENTERPRISE, map(&[("department", "Engines"), ("employeeNumber", "1")]))
        .send()
        .await
        .unwrap();
    assert_eq!(made.user_arn, format!("arn:aws:identitystore:::user/{}", made.user_id));
    assert!(made.user_id.starts_with("1234567890-"), "{}", made.user_id);

    let describe = client.describe_user().identity_store_id(STORE).user_id(&made.user_id);
    let seen = describe.clone().extensions(ENTERPRISE).send().await.unwrap();
    assert_eq!(seen.user_name.as_deref(), Some("ada@example.com"));
    assert_eq!(seen.revision, made.revision);
    assert_eq!(seen.user_status, Some(UserStatus::Enabled));
    let full_name = seen.name.unwrap();
    assert_eq!(full_name.formatted.as_deref(), Some("Ada, Countess of Lovelace"));
    assert_eq!(full_name.honorific_prefix.as_deref(), Some("Lady"));
    assert_eq!(seen.emails.as_deref(), Some(&[email("ada@example.com")][..]));
    assert_eq!(seen.addresses.unwrap()[0].street_address.as_deref(), Some("1 St James's Square"));
    assert_eq!(seen.phone_numbers.unwrap()[0].value.as_deref(), Some("+44 20"));
    assert_eq!(seen.photos.unwrap()[0].display.as_deref(), Some("Ada"));
    assert_eq!(seen.roles.unwrap()[0].value.as_deref(), Some("Mathematician"));
    assert_eq!(seen.nick_name.as_deref(), Some("Ada"));
    assert_eq!(seen.profile_url.as_deref(), Some("https://example.com/ada"));
    assert_eq!(seen.user_type.as_deref(), Some("Employee"));
    assert_eq!(seen.title.as_deref(), Some("Countess"));
    assert_eq!(seen.preferred_language.as_deref(), Some("en-GB"));
    assert_eq!(seen.locale.as_deref(), Some("en-GB"));
    assert_eq!(seen.timezone.as_deref(), Some("Europe/London"));
    assert_eq!(seen.website.as_deref(), Some("https://example.com"));
    assert_eq!(seen.birthdate.as_deref(), Some("1815-12-10"));
    assert!(seen.created_at.is_some_and(|t| t.secs() > 1_700_000_000));
    assert_eq!(
        seen.extensions.unwrap()[ENTERPRISE],
        map(&[("department", "Engines"), ("employeeNumber", "1")])
    );
    // The extension shows only when it is asked for.
    assert_eq!(describe.send().await.unwrap().extensions, None);
    let listed = client.list_users().identity_store_id(STORE).extensions(ENTERPRISE).send().await.unwrap();
    assert!(listed.users[0].extensions.is_some());
}

#[tokio::test]
async fn an_update_sets_replaces_and_removes() {
    let client = client();
    let id = user(&client, "ada@example.com").await;
    let update = |operations: Vec<AttributeOperation>| {
        let call = client.update_user().identity_store_id(STORE).user_id(&id);
        call.set_operations(Some(operations)).send()
    };
    let mail = |value: &str| Document::Array(vec![map(&[("value", value), ("type", "work")])]);
    let first = update(vec![
        operation("name.givenName", "Augusta"),
        operation("emails", mail("ada@example.com")),
        operation("title", "Countess"),
        operation("userName", "augusta@example.com"),
        operation("aws:identitystore:enterprise.manager.value", "m-1"),
    ])
    .await
    .unwrap();
    let describe =
        || client.describe_user().identity_store_id(STORE).user_id(&id).extensions(ENTERPRISE).send();
    let seen = describe().await.unwrap();
    assert_eq!(seen.revision, first.revision);
    assert_eq!(seen.user_name.as_deref(), Some("augusta@example.com"));
    assert_eq!(seen.name.unwrap().given_name.as_deref(), Some("Augusta"));
    assert_eq!(seen.emails.unwrap()[0].value.as_deref(), Some("ada@example.com"));
    assert!(seen.extensions.is_some());
    assert!(seen.updated_at >= seen.created_at);

    let second = update(vec![
        operation("emails", Document::Null),
        operation("title", Document::Null),
        operation("aws:identitystore:enterprise", Document::Null),
    ])
    .await
    .unwrap();
    assert_ne!(second.revision, first.revision);
    let seen = describe().await.unwrap();
    assert_eq!((seen.emails, seen.title, seen.extensions), (None, None, None));

    for (path, value) in [
        ("userName", Document::Null),
        ("displayName", Document::Null),
        ("name.givenName", Document::Null),
        ("name.familyName", Document::Null),
        ("title", Document::from("")),
        ("userName", Document::from("has space")),
        ("userName", Document::from("Administrator")),
        ("externalIds", Document::from("x")),
        ("userStatus", Document::from("DISABLED")),
        ("emails", Document::Array(vec![])),
    ] {
        let error = update(vec![operation(path, value)]).await.unwrap_err().into_service_error();
        assert!(error.is_validation_exception(), "{path}: {error:?}");
    }
    assert_eq!(describe().await.unwrap().revision, second.revision);
}

#[tokio::test]
async fn a_conditional_write_meets_a_conflict() {
    let client = client();
    let id = user(&client, "ada@example.com").await;
    let update =
        client.update_user().identity_store_id(STORE).user_id(&id).operations(operation("title", "x"));
    let current = update.clone().send().await.unwrap().revision;
    let error = update.clone().revision("999999").send().await.unwrap_err().into_service_error();
    match error {
        aws_sdk_identitystore::operation::update_user::UpdateUserError::ConflictException(e) => {
            assert_eq!(e.reason, Some(ConflictExceptionReason::ConcurrentModification));
            assert!(e.request_id.is_some());
        }
        other => panic!("{other:?}"),
    }
    let next = update.revision(&current).send().await.unwrap().revision;
    let delete = client.delete_user().identity_store_id(STORE).user_id(&id);
    let error = delete.clone().revision(&current).send().await.unwrap_err();
    assert_eq!(code(&error), Some("ConflictException"));
    delete.revision(next).send().await.unwrap();
}

#[tokio::test]
async fn names_are_unique() {
    let client = client();
    user(&client, "ada@example.com").await;
    group(&client, "Admins").await;
    let create = |user_name: &str, mail: &str| {
        client
            .create_user()
            .identity_store_id(STORE)
            .user_name(user_name)
            .name(name("A", "B"))
            .display_name("A B")
            .emails(email(mail))
            .send()
    };
    create("bob@example.com", "Bob@example.com").await.unwrap();
    let error = create("ADA@example.com", "x@example.com").await.unwrap_err();
    match error.into_service_error() {
        aws_sdk_identitystore::operation::create_user::CreateUserError::ConflictException(e) => {
            assert_eq!(e.reason, Some(ConflictExceptionReason::UniquenessConstraintViolation));
            assert_eq!(e.message.as_deref(), Some("Duplicate UserName"));
        }
        other => panic!("{other:?}"),
    }
    let error = create("eve@example.com", "bob@EXAMPLE.com").await.unwrap_err();
    assert_eq!(code(&error), Some("ConflictException"));
    let users = client.list_users().identity_store_id(STORE).send().await.unwrap().users;
    let ada = users.iter().find(|u| u.user_name.as_deref() == Some("ada@example.com")).unwrap();
    let rename = client.update_user().identity_store_id(STORE).user_id(&ada.user_id);
    let error = rename.operations(operation("userName", "Bob@example.com")).send().await.unwrap_err();
    assert_eq!(error.message(), Some("Duplicate UserName"));
    let error =
        client.create_group().identity_store_id(STORE).display_name("admins").send().await.unwrap_err();
    assert_eq!(error.message(), Some("Duplicate GroupDisplayName"));
}

#[tokio::test]
async fn groups_and_their_members() {
    let client = client();
    let (ada, bob) = (user(&client, "ada").await, user(&client, "bob").await);
    let (admins, readers) = (group(&client, "Admins").await, group(&client, "Readers").await);
    let first = member(&client, &admins, &ada).await;
    member(&client, &admins, &bob).await;
    member(&client, &readers, &ada).await;

    let again = client
        .create_group_membership()
        .identity_store_id(STORE)
        .group_id(&admins)
        .member_id(MemberId::UserId(ada.clone()))
        .send()
        .await
        .unwrap_err();
    assert_eq!(again.message(), Some("Member and Group relationship already exists"));

    let seen = client
        .describe_group_membership()
        .identity_store_id(STORE)
        .membership_id(&first)
        .send()
        .await
        .unwrap();
    assert_eq!(seen.group_id, admins);
    assert_eq!(seen.member_id, Some(MemberId::UserId(ada.clone())));
    let found = client
        .get_group_membership_id()
        .identity_store_id(STORE)
        .group_id(&admins)
        .member_id(MemberId::UserId(ada.clone()))
        .send()
        .await
        .unwrap();
    assert_eq!(found.membership_id, first);

    let is_member = |groups: &[&String]| {
        client
            .is_member_in_groups()
            .identity_store_id(STORE)
            .member_id(MemberId::UserId(bob.clone()))
            .set_group_ids(Some(groups.iter().map(|g| (*g).clone()).collect()))
            .send()
    };
    let results = is_member(&[&readers, &admins]).await.unwrap().results;
    let seen: Vec<_> =
        results.iter().map(|r| (r.group_id.as_deref().unwrap(), r.membership_exists)).collect();
    assert_eq!(seen, [(readers.as_str(), false), (admins.as_str(), true)]);

    let members = client.list_group_memberships().identity_store_id(STORE).group_id(&admins).send().await;
    assert_eq!(members.unwrap().group_memberships.len(), 2);
    let of_ada = || {
        client
            .list_group_memberships_for_member()
            .identity_store_id(STORE)
            .member_id(MemberId::UserId(ada.clone()))
            .send()
    };
    assert_eq!(of_ada().await.unwrap().group_memberships.len(), 2);
    client.delete_group_membership().identity_store_id(STORE).membership_id(&first).send().await.unwrap();
    let gone = client.delete_group_membership().identity_store_id(STORE).membership_id(&first).send().await;
    match gone.unwrap_err().into_service_error() {
        aws_sdk_identitystore::operation::delete_group_membership::DeleteGroupMembershipError::ResourceNotFoundException(e) => {
            assert_eq!(e.resource_type, Some(ResourceType::GroupMembership));
            assert_eq!(e.resource_id.as_deref(), Some(first.as_str()));
        }
        other => panic!("{other:?}"),
    }
    client.delete_group().identity_store_id(STORE).group_id(&readers).send().await.unwrap();
    assert_eq!(of_ada().await.unwrap().group_memberships.len(), 0);
    client.delete_user().identity_store_id(STORE).user_id(&bob).send().await.unwrap();
    let members = client.list_group_memberships().identity_store_id(STORE).group_id(&admins).send().await;
    assert_eq!(members.unwrap().group_memberships.len(), 0);
}

#[tokio::test]
async fn a_group_is_updated() {
    let client = client();
    let id = group(&client, "Admins").await;
    let update = |path: &str, value: Document| {
        client.update_group().identity_store_id(STORE).group_id(&id).operations(operation(path, value)).send()
    };
    update("description", "All of them".into()).await.unwrap();
    let renamed = update("displayName", "Administrators".into()).await.unwrap();
    let describe = || client.describe_group().identity_store_id(STORE).group_id(&id).send();
    let seen = describe().await.unwrap();
    assert_eq!(seen.display_name.as_deref(), Some("Administrators"));
    assert_eq!(seen.description.as_deref(), Some("All of them"));
    assert_eq!(seen.revision, renamed.revision);
    update("description", Document::Null).await.unwrap();
    assert_eq!(describe().await.unwrap().description, None);
    for (path, value) in [
        ("displayName", Document::Null),
        ("displayName", "AWSAdministrators".into()),
        ("members", "x".into()),
    ] {
        assert!(update(path, value).await.unwrap_err().into_service_error().is_validation_exception());
    }
    let nameless = client.create_group().identity_store_id(STORE).send().await.unwrap_err();
    assert!(nameless.into_service_error().is_validation_exception());
}

#[tokio::test]
async fn another_identity_store_is_not_found() {
    let client = client();
    let error = client.list_users().identity_store_id("d-0000000000").send().await.unwrap_err();
    match error.into_service_error() {
        aws_sdk_identitystore::operation::list_users::ListUsersError::ResourceNotFoundException(e) => {
            assert_eq!(e.resource_type, Some(ResourceType::IdentityStore));
        }
        other => panic!("{other:?}"),
    }
    let error = client.list_users().identity_store_id("nonsense").send().await.unwrap_err();
    assert!(error.into_service_error().is_validation_exception());
}

#[tokio::test]
async fn the_store_is_found_through_the_instances() {
    let sandbox = Arc::new(Sandbox::open(Settings::default()).unwrap());
    let client = aws_sdk_ssoadmin::Client::new(&InProcess::new(sandbox).sdk_config());
    let instances = client.list_instances().send().await.unwrap().instances.unwrap();
    assert_eq!(instances.len(), 1);
    assert_eq!(instances[0].identity_store_id.as_deref(), Some(STORE));
    assert_eq!(instances[0].owner_account_id.as_deref(), Some("123456789012"));
    assert_eq!(instances[0].status.as_ref().map(|s| s.as_str()), Some("ACTIVE"));
}

#[tokio::test]
async fn faults_arrive_as_the_sdk_shows_the_real_ones() {
    let faults = [
        "ListUsers:throttle@1",
        "ListUsers:internal@2",
        "ListUsers:access-denied@3",
        "CreateUser:quota@1",
        "CreateUser:timeout-before@2",
        "CreateUser:timeout-after@3",
    ];
    let faults = faults.iter().map(|f| f.parse().unwrap()).collect();
    let (sandbox, client) = sandbox(Settings { faults, ..Settings::default() });
    use aws_sdk_identitystore::operation::list_users::ListUsersError as E;
    let list = || client.list_users().identity_store_id(STORE).send();
    match list().await.unwrap_err().into_service_error() {
        E::ThrottlingException(e) => assert_eq!(e.retry_after_seconds, 1),
        other => panic!("{other:?}"),
    }
    match list().await.unwrap_err().into_service_error() {
        E::InternalServerException(e) => assert_eq!(e.retry_after_seconds, 1),
        other => panic!("{other:?}"),
    }
    assert!(list().await.unwrap_err().into_service_error().is_access_denied_exception());
    assert!(list().await.is_ok());

    let create = |user_name: &str| {
        let name = name("A", "B");
        client.create_user().identity_store_id(STORE).user_name(user_name).name(name).display_name("A").send()
    };
    let users = || sandbox.inspect(|s| s.users().len());
    let error = create("a").await.unwrap_err().into_service_error();
    assert!(error.is_service_quota_exceeded_exception());
    for (user_name, after) in [("b", 0), ("c", 1)] {
        let error = create(user_name).await.unwrap_err();
        assert!(matches!(error, SdkError::DispatchFailure(ref e) if e.is_io()), "{error:?}");
        assert_eq!(users(), after, "{user_name}");
    }
}

#[tokio::test]
async fn a_slow_answer_runs_into_the_read_timeout() {
    let sandbox =
        Sandbox::open(Settings { latency: Duration::from_secs(60), ..Settings::default() }).unwrap();
    let timeouts = TimeoutConfig::builder().read_timeout(Duration::from_millis(20)).build();
    let config =
        InProcess::new(Arc::new(sandbox)).sdk_config().into_builder().timeout_config(timeouts).build();
    let error = Client::new(&config).list_users().identity_store_id(STORE).send().await.unwrap_err();
    assert!(matches!(error, SdkError::DispatchFailure(ref e) if e.is_timeout()), "{error:?}");
}
