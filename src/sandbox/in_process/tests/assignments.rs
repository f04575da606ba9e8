//! Who is assigned to what, through the SDK's client of the SSO Admin API.

use aws_sdk_ssoadmin::types::{ListAccountAssignmentsFilter, PrincipalType};

use super::super::super::store::{
    Assignment, GroupContent, GroupId, MembershipId, PermissionSet, Principal, ResourceId, Store,
    UserAttributes, UserContent, UserId,
};
use super::*;

const INSTANCE: &str = "arn:aws:sso:::instance/ssoins-d123456789000000";

fn set(n: u8) -> String {
    format!("arn:aws:sso:::permissionSet/ssoins-d123456789000000/ps-{n:016}")
}

fn id(n: u128) -> ResourceId {
    ResourceId::new(STORE, uuid::Uuid::from_u128(n))
}

/// A user with five assignments, in a group with one.
fn assigned() -> aws_sdk_ssoadmin::Client {
    let mut store = Store::new();
    let name = super::super::super::store::Name {
        given_name: Some("Ada".into()),
        family_name: Some("L".into()),
        ..Default::default()
    };
    let attributes = UserAttributes {
        user_name: Some("ada".into()),
        display_name: Some("Ada".into()),
        name: Some(name),
        ..Default::default()
    };
    let (ada, admins) = (UserId(id(1)), GroupId(id(2)));
    let content = UserContent { attributes, ..UserContent::default() };
    let change = store.create_user(ada, content, 0).unwrap();
    store.apply(change).unwrap();
    let content = GroupContent { display_name: Some("Admins".into()), ..GroupContent::default() };
    let change = store.create_group(admins, content, 0).unwrap();
    store.apply(change).unwrap();
    let change = store.add_member(MembershipId(id(3)), admins, ada, 0).unwrap();
    store.apply(change).unwrap();
    let (name, created_at) = ("Admin".to_owned(), 0);
    store.put_permission_set(PermissionSet { permission_set_arn: set(1), name, created_at }).unwrap();
    let accounts = (0..5).map(|n| (Principal::User(ada), n)).chain([(Principal::Group(admins), 9)]);
    for (principal, account) in accounts {
        let account_id = format!("{account:012}");
        store.put_assignment(Assignment { principal, account_id, permission_set_arn: set(1) }).unwrap();
    }
    let sandbox = Arc::new(Sandbox::with_store(Settings::default(), store).unwrap());
    aws_sdk_ssoadmin::Client::new(&InProcess::new(sandbox).sdk_config())
}

#[tokio::test]
async fn they_come_in_pages_with_those_of_the_groups() {
    let client = assigned();
    let list = |n: u128, kind: PrincipalType| {
        let request = client.list_account_assignments_for_principal().instance_arn(INSTANCE);
        request.principal_id(id(n).to_string()).principal_type(kind)
    };
    let pages = list(1, PrincipalType::User).max_results(4).into_paginator().send();
    let pages: Vec<_> = pages.try_collect().await.unwrap();
    assert_eq!(pages.iter().map(|p| p.account_assignments().len()).collect::<Vec<_>>(), [4, 2]);
    let all: Vec<_> = pages.iter().flat_map(|p| p.account_assignments()).collect();
    let of_group: Vec<_> = all.iter().filter(|a| a.principal_id() != Some(&id(1).to_string())).collect();
    assert_eq!(of_group.len(), 1);
    assert_eq!(of_group[0].principal_type(), Some(&PrincipalType::Group));
    assert_eq!(all[0].permission_set_arn(), Some(set(1).as_str()));

    let group = list(2, PrincipalType::Group).send().await.unwrap();
    assert_eq!(group.account_assignments()[0].account_id(), Some("000000000009"));
    let one = ListAccountAssignmentsFilter::builder().account_id("000000000003").build();
    let one = list(1, PrincipalType::User).filter(one).send().await.unwrap();
    assert_eq!(one.account_assignments().len(), 1);

    for (n, kind) in [(7, PrincipalType::User), (1, PrincipalType::Group)] {
        let error = list(n, kind).send().await.unwrap_err().into_service_error();
        assert!(error.is_resource_not_found_exception(), "{error:?}");
    }
    let odd = list(1, PrincipalType::from("ROLE")).send().await.unwrap_err().into_service_error();
    assert!(odd.is_validation_exception(), "{odd:?}");
}

#[tokio::test]
async fn a_permission_set_has_a_name() {
    let client = assigned();
    let describe = |instance: &str, arn: &str| {
        client.describe_permission_set().instance_arn(instance).permission_set_arn(arn).send()
    };
    let found = describe(INSTANCE, &set(1)).await.unwrap().permission_set.unwrap();
    assert_eq!(found.name(), Some("Admin"));
    let elsewhere = "arn:aws:sso:::instance/ssoins-d999999999000000";
    for (instance, arn) in [(INSTANCE, set(2)), (elsewhere, set(1))] {
        let error = describe(instance, &arn).await.unwrap_err().into_service_error();
        assert!(error.is_resource_not_found_exception(), "{error:?}");
    }
    let error = describe(INSTANCE, "Admin").await.unwrap_err().into_service_error();
    assert!(error.is_validation_exception(), "{error:?}");
}
