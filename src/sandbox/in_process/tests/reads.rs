//! Looking up and listing.

use aws_sdk_identitystore::types::{ExternalId, Filter};

use super::super::super::store::{self, ResourceId, Store};
use super::*;

#[tokio::test]
async fn look_ups_by_unique_attribute_and_external_id() {
    let uuid = |n| ResourceId::new(STORE, uuid::Uuid::from_u128(n));
    let external = store::ExternalId { issuer: "https://idp".into(), id: "guid".into() };
    let mut content = Store::new();
    let attributes = store::UserAttributes {
        user_name: Some("ada@example.com".into()),
        display_name: Some("Ada".into()),
        name: Some(store::Name {
            given_name: Some("Ada".into()),
            family_name: Some("L".into()),
            ..Default::default()
        }),
        emails: vec![store::Entry { value: Some("a.l@example.com".into()), ..Default::default() }],
        ..Default::default()
    };
    let ada = store::UserContent {
        attributes,
        external_ids: vec![external.clone()],
        status: store::UserStatus::Disabled,
    };
    let change = content.create_user(store::UserId(uuid(1)), ada, 0).unwrap();
    content.apply(change).unwrap();
    let admins = store::GroupContent {
        display_name: Some("Admins".into()),
        external_ids: vec![external],
        ..Default::default()
    };
    let change = content.create_group(store::GroupId(uuid(2)), admins, 0).unwrap();
    content.apply(change).unwrap();
    let sandbox = Arc::new(Sandbox::with_store(Settings::default(), content).unwrap());
    let client = Client::new(&InProcess::new(sandbox).sdk_config());

    let external = |id: &str| {
        AlternateIdentifier::ExternalId(ExternalId::builder().issuer("https://idp").id(id).build().unwrap())
    };
    let get_user = |by: AlternateIdentifier| {
        client.get_user_id().identity_store_id(STORE).alternate_identifier(by).send()
    };
    for by in
        [unique("userName", "ADA@example.com"), unique("emails.value", "a.l@example.com"), external("guid")]
    {
        assert_eq!(get_user(by).await.unwrap().user_id, uuid(1).to_string());
    }
    for by in [unique("userName", "bob"), external("other")] {
        let error = get_user(by).await.unwrap_err().into_service_error();
        assert!(error.is_resource_not_found_exception(), "{error:?}");
    }
    let get_group = |by: AlternateIdentifier| {
        client.get_group_id().identity_store_id(STORE).alternate_identifier(by).send()
    };
    for by in [unique("displayName", "admins"), external("guid")] {
        assert_eq!(get_group(by).await.unwrap().group_id, uuid(2).to_string());
    }
    assert!(get_group(unique("displayName", "x")).await.is_err());
    let seen =
        client.describe_user().identity_store_id(STORE).user_id(uuid(1).to_string()).send().await.unwrap();
    assert_eq!(seen.user_status, Some(UserStatus::Disabled));
    assert_eq!(seen.external_ids.unwrap()[0].id, "guid");
    let seen =
        client.describe_group().identity_store_id(STORE).group_id(uuid(2).to_string()).send().await.unwrap();
    assert_eq!(seen.external_ids.unwrap()[0].issuer, "https://idp");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let client = client();
    let admins = group(&client, "G-0").await;
    for n in 0..7 {
        let id = user(&client, &format!("user-{n}")).await;
        member(&client, &admins, &id).await;
        if n > 0 {
            let other = group(&client, &format!("G-{n}")).await;
            member(&client, &other, &id).await;
        }
    }
    let pages = client.list_users().identity_store_id(STORE).max_results(3).into_paginator().send();
    let pages: Vec<_> = pages.try_collect().await.unwrap();
    assert_eq!(pages.iter().map(|p| p.users.len()).collect::<Vec<_>>(), [3, 3, 1]);
    let groups = client.list_groups().identity_store_id(STORE).max_results(2).into_paginator().items().send();
    assert_eq!(groups.try_collect().await.unwrap().len(), 7);
    let members = client.list_group_memberships().identity_store_id(STORE).group_id(&admins).max_results(4);
    let members = members.into_paginator().items().send();
    assert_eq!(members.try_collect().await.unwrap().len(), 7);
    let last = client.list_users().identity_store_id(STORE).send().await.unwrap().users;
    let id = last[0].user_id.clone();
    let of_one = client
        .list_group_memberships_for_member()
        .identity_store_id(STORE)
        .member_id(MemberId::UserId(id))
        .max_results(1)
        .into_paginator()
        .items()
        .send();
    assert!((1..=2).contains(&of_one.try_collect().await.unwrap().len()));

    let token = pages[0].next_token.clone().unwrap();
    let elsewhere = client.list_groups().identity_store_id(STORE).next_token(token).send().await;
    assert!(elsewhere.unwrap_err().into_service_error().is_validation_exception());

    let filter = |path: &str, value: &str| {
        Filter::builder().attribute_path(path).attribute_value(value).build().unwrap()
    };
    #[expect(deprecated, reason = "callers still send it")]
    let filtered = client.list_users().identity_store_id(STORE).filters(filter("UserName", "USER-3"));
    let found = filtered.send().await.unwrap().users;
    assert_eq!(found.iter().map(|u| u.user_name.as_deref()).collect::<Vec<_>>(), [Some("user-3")]);
    #[expect(deprecated, reason = "callers still send it")]
    let filtered = client.list_groups().identity_store_id(STORE).filters(filter("DisplayName", "nobody"));
    assert_eq!(filtered.send().await.unwrap().groups.len(), 0);
}
