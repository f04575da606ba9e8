use super::*;

const STORE: &str = "d-1234567890";
const ID: &str = "1234567890-00000000-0000-4000-8000-000000000001";

fn decoded(operation: Operation, body: Value) -> Result<Decoded, Failure> {
    decode(operation, body.to_string().as_bytes())
}

fn message(operation: Operation, body: Value) -> String {
    decoded(operation, body).unwrap_err().message
}

#[test]
fn every_operation_wants_its_required_members() {
    for operation in Operation::ALL {
        let result = decoded(*operation, json!({}));
        match operation {
            Operation::ListInstances => assert!(result.is_ok()),
            operation if operation.is_of_sso_admin() => {
                let failure = result.unwrap_err();
                assert_eq!(failure.code, "ValidationException", "{operation}");
                assert!(failure.message.contains("'instanceArn'"), "{operation}");
            }
            _ => {
                let failure = result.unwrap_err();
                assert_eq!(failure.code, "ValidationException", "{operation}");
                assert!(failure.message.contains("'identityStoreId'"), "{operation}");
            }
        }
    }
    assert_eq!(
        message(Operation::CreateGroupMembership, json!({"IdentityStoreId": STORE})),
        "2 validation errors detected: Value at 'groupId' failed to satisfy constraint: Member must not be null; Value \
         at 'memberId' failed to satisfy constraint: Member must not be null"
    );
}

#[test]
fn every_operation_refuses_members_that_it_does_not_have() {
    for operation in Operation::ALL {
        let failure = decoded(*operation, json!({"Bogus": 1})).unwrap_err();
        assert!(failure.message.contains("Value at 'bogus' failed"), "{operation}: {}", failure.message);
    }
    // The one that someone will try.
    let body =
        json!({"IdentityStoreId": STORE, "UserName": "a", "ExternalIds": [{"Issuer": "i", "Id": "x"}]});
    assert!(message(Operation::CreateUser, body).contains("'externalIds'"));
}

#[test]
fn what_is_no_json_structure_is_a_serialization_error() {
    for body in ["", "{", "[]", "null", "\"x\"", "{\"a\":1}x"] {
        let failure = decode(Operation::ListUsers, body.as_bytes()).unwrap_err();
        assert_eq!(failure.code, "SerializationException", "{body}");
    }
    let failure =
        decoded(Operation::CreateUser, json!({"IdentityStoreId": STORE, "UserName": 1})).unwrap_err();
    assert_eq!(failure.code, "SerializationException");
}

#[test]
fn ids_come_plain_or_as_arns_of_the_right_kind() {
    let describe = |store: &str, user: &str| {
        decoded(Operation::DescribeUser, json!({"IdentityStoreId": store, "UserId": user}))
    };
    let plain = describe(STORE, ID).unwrap();
    let arn = describe(
        "arn:aws:identitystore::123456789012:identitystore/d-1234567890",
        &format!("arn:aws:identitystore:::user/{ID}"),
    );
    assert_eq!(arn.unwrap(), plain);
    assert_eq!(plain.store.as_deref(), Some(STORE));
    for (store, user) in [
        (STORE, "arn:aws:identitystore:::group/1234567890-00000000-0000-4000-8000-000000000001"),
        (STORE, "not-an-id"),
        (STORE, ""),
        ("d-123", ID),
        ("d-123456789Z", ID),
        ("arn:aws:identitystore::1:identitystore/d-1234567890", ID),
        ("", ID),
    ] {
        assert_eq!(describe(store, user).map_err(|f| f.code), Err("ValidationException"), "{store} {user}");
    }
    assert!(describe("01234567-89ab-4def-8123-456789abcdef", ID).is_ok());
}

#[test]
fn pages_are_between_1_and_100() {
    let list = |page: Value| {
        let mut body = json!({"IdentityStoreId": STORE});
        body.as_object_mut().unwrap().extend(page.as_object().unwrap().clone());
        decoded(Operation::ListGroups, body).map_err(|f| f.code)
    };
    assert!(list(json!({"MaxResults": 1})).is_ok() && list(json!({"MaxResults": 100})).is_ok());
    for wrong in [
        json!({"MaxResults": 0}),
        json!({"MaxResults": 101}),
        json!({"NextToken": ""}),
        json!({"NextToken": "a b"}),
    ] {
        assert_eq!(list(wrong), Err("ValidationException"));
    }
    assert_eq!(list(json!({"MaxResults": "5"})), Err("SerializationException"));
}

#[test]
fn lists_have_their_limits() {
    let is_member = |n: usize| {
        let groups: Vec<_> = (0..n).map(|_| ID).collect();
        let body = json!({"IdentityStoreId": STORE, "MemberId": {"UserId": ID}, "GroupIds": groups});
        decoded(Operation::IsMemberInGroups, body).is_ok()
    };
    assert_eq!([0, 1, 100, 101].map(is_member), [false, true, true, false]);
    let update = |n: usize| {
        let operations: Vec<_> = (0..n).map(|_| json!({"AttributePath": "title"})).collect();
        let body = json!({"IdentityStoreId": STORE, "UserId": ID, "Operations": operations});
        decoded(Operation::UpdateUser, body).is_ok()
    };
    assert_eq!([0, 1, 100, 101].map(update), [false, true, true, false]);
    let emails = |list: Value| {
        let body = json!({"IdentityStoreId": STORE, "UserName": "a", "Emails": list});
        decoded(Operation::CreateUser, body).is_ok()
    };
    assert!(emails(json!([{"Value": "a"}])));
    assert!(!emails(json!([{"Value": "a"}, {"Value": "b"}])));
    assert!(!emails(json!([])));
}

#[test]
fn an_alternate_identifier_is_exactly_one_thing() {
    let get = |operation, alternate: Value| {
        decoded(operation, json!({"IdentityStoreId": STORE, "AlternateIdentifier": alternate}))
            .map(|d| d.request)
            .map_err(|f| f.code)
    };
    let unique = |path: &str, value: Value| json!({"UniqueAttribute": {"AttributePath": path, "AttributeValue": value}});
    let external = json!({"ExternalId": {"Issuer": "i", "Id": "x"}});
    for path in ["userName", "UserName"] {
        assert_eq!(
            get(Operation::GetUserId, unique(path, json!("ada"))),
            Ok(Request::GetUserId { by: Alternate::UserName("ada".into()) })
        );
    }
    assert_eq!(
        get(Operation::GetUserId, unique("emails.value", json!("a@example.com"))),
        Ok(Request::GetUserId { by: Alternate::Email("a@example.com".into()) })
    );
    let id = ExternalId { issuer: "i".into(), id: "x".into() };
    assert_eq!(
        get(Operation::GetGroupId, external.clone()),
        Ok(Request::GetGroupId { by: Alternate::External(id) })
    );
    let mut both = unique("userName", json!("ada"));
    both["ExternalId"] = external["ExternalId"].clone();
    for wrong in [json!({}), both, unique("displayName", json!("x")), unique("userName", json!(5))] {
        assert_eq!(get(Operation::GetUserId, wrong), Err("ValidationException"));
    }
    assert_eq!(get(Operation::GetGroupId, unique("userName", json!("x"))), Err("ValidationException"));
}

#[test]
fn only_one_extension_exists() {
    let create = |extensions: Value| {
        let body = json!({"IdentityStoreId": STORE, "UserName": "a", "Extensions": extensions});
        decoded(Operation::CreateUser, body).map_err(|f| f.message)
    };
    assert!(create(json!({ENTERPRISE: {"department": "IT", "manager": {"value": "x"}}})).is_ok());
    for wrong in [
        json!({}),
        json!({"aws:identitystore:other": {}}),
        json!({"enterprise": {"department": "IT"}}),
        json!({ENTERPRISE: {"Department": "IT"}}),
        json!({ENTERPRISE: "IT"}),
        json!({ENTERPRISE: null}),
    ] {
        assert!(create(wrong.clone()).unwrap_err().contains("'extensions"), "{wrong}");
    }
}

#[test]
fn filters_know_one_attribute_each() {
    let list = |operation, path: &str| {
        let filters = json!([{"AttributePath": path, "AttributeValue": "x"}]);
        decoded(operation, json!({"IdentityStoreId": STORE, "Filters": filters})).is_ok()
    };
    assert!(list(Operation::ListUsers, "UserName") && !list(Operation::ListUsers, "DisplayName"));
    assert!(list(Operation::ListGroups, "DisplayName") && !list(Operation::ListGroups, "UserName"));
}

#[test]
fn the_summary_has_what_identifies_and_nothing_else() {
    let body = json!({"IdentityStoreId": STORE, "UserName": "ada", "Title": "Countess"});
    assert_eq!(decoded(Operation::CreateUser, body).unwrap().request.summary(), json!({"userName": "ada"}));
    let operations = json!([{"AttributePath": "title", "AttributeValue": "secret"}]);
    let body = json!({"IdentityStoreId": STORE, "UserId": ID, "Operations": operations});
    assert_eq!(
        decoded(Operation::UpdateUser, body).unwrap().request.summary(),
        json!({"userId": ID, "attributePaths": ["title"]})
    );
}

proptest::proptest! {
    #[test]
    fn no_request_makes_it_panic(
        at in proptest::prelude::any::<proptest::sample::Index>(),
        put in "[\\]\\[{}:,\"0-9a-f\\\\-]{0,6}|null|true|\\PC{0,3}|1e999",
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
    ) {
        let mut text = json!({
            "IdentityStoreId": STORE, "UserId": ID, "GroupId": ID, "MembershipId": ID, "UserName": "a", "MaxResults": 5,
            "Name": { "GivenName": "a" }, "Emails": [{ "Value": "a@x", "Primary": true }], "NextToken": "x",
            "Operations": [{ "AttributePath": "name.givenName", "AttributeValue": null }], "MemberId": { "UserId": ID },
            "AlternateIdentifier": { "UniqueAttribute": { "AttributePath": "userName", "AttributeValue": "a" } },
        })
        .to_string();
        let place = at.index(text.len());
        text.replace_range(place..=place, &put);
        for operation in Operation::ALL {
            let _ = decode(*operation, text.as_bytes());
            let _ = decode(*operation, &noise);
        }
    }
}
