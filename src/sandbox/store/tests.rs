use uuid::Uuid;

use super::*;

fn user_id(n: u128) -> UserId {
    UserId(ResourceId::new("d-1234567890", Uuid::from_u128(n)))
}

fn group_id(n: u128) -> GroupId {
    GroupId(ResourceId::new("d-1234567890", Uuid::from_u128(n)))
}

fn membership_id(n: u128) -> MembershipId {
    MembershipId(ResourceId::new("d-1234567890", Uuid::from_u128(n)))
}

fn person(user_name: &str, email: Option<&str>) -> UserContent {
    UserContent {
        attributes: UserAttributes {
            user_name: Some(user_name.into()),
            display_name: Some(user_name.into()),
            name: Some(Name {
                given_name: Some("Given".into()),
                family_name: Some("Family".into()),
                ..Name::default()
            }),
            emails: email
                .map(|e| Entry { value: Some(e.into()), primary: Some(true), kind: None })
                .into_iter()
                .collect(),
            ..UserAttributes::default()
        },
        ..UserContent::default()
    }
}

fn team(name: &str) -> GroupContent {
    GroupContent { display_name: Some(name.into()), ..GroupContent::default() }
}

/// Decides and applies.
fn put_user(store: &mut Store, n: u128, content: UserContent) -> Result<(), Refusal> {
    let change = store.create_user(user_id(n), content, 1)?;
    store.apply(change)
}

fn put_group(store: &mut Store, n: u128, name: &str) -> Result<(), Refusal> {
    let change = store.create_group(group_id(n), team(name), 1)?;
    store.apply(change)
}

fn put_member(store: &mut Store, n: u128, group: u128, user: u128) -> Result<(), Refusal> {
    let change = store.add_member(membership_id(n), group_id(group), user_id(user), 1)?;
    store.apply(change)
}

fn small() -> Store {
    let mut store = Store::new();
    put_user(&mut store, 1, person("ada@example.com", Some("ada@example.com"))).unwrap();
    put_user(&mut store, 2, person("bob@example.com", Some("bob@example.com"))).unwrap();
    put_group(&mut store, 1, "Admins").unwrap();
    put_group(&mut store, 2, "Readers").unwrap();
    put_member(&mut store, 1, 1, 1).unwrap();
    put_member(&mut store, 2, 1, 2).unwrap();
    put_member(&mut store, 3, 2, 1).unwrap();
    store
}

#[test]
fn names_and_addresses_are_unique_whatever_their_case() {
    let mut store = small();
    let duplicate = |claim| Err(Refusal::Duplicate(claim));
    assert_eq!(put_user(&mut store, 3, person("ADA@Example.com", None)), duplicate(Claim::UserName));
    assert_eq!(
        put_user(&mut store, 3, person("eve@example.com", Some("Ada@example.com"))),
        duplicate(Claim::Email)
    );
    assert_eq!(put_group(&mut store, 3, "ADMINS"), duplicate(Claim::GroupDisplayName));
    assert_eq!(put_member(&mut store, 9, 1, 1), duplicate(Claim::Membership));
    assert_eq!(store.users().len(), 2);
    assert_eq!(store.user_by_name("aDa@example.COM"), Some(user_id(1)));
    assert_eq!(store.user_by_email("BOB@example.com"), Some(user_id(2)));
    assert_eq!(store.group_by_name("readers"), Some(group_id(2)));
}

#[test]
fn a_name_is_free_again_after_a_rename_or_a_delete() {
    let mut store = small();
    let change = store
        .replace_user(user_id(1), person("ada.l@example.com", Some("ada.l@example.com")), None, 5)
        .unwrap();
    store.apply(change).unwrap();
    assert_eq!(store.user_by_name("ada@example.com"), None);
    put_user(&mut store, 3, person("ada@example.com", Some("ada@example.com"))).unwrap();
    let change = store.delete_user(user_id(3), None).unwrap();
    store.apply(change).unwrap();
    assert_eq!(store.user_by_email("ada@example.com"), None);
    // Changing the case of one's own name is no conflict with oneself.
    let change = store.replace_user(user_id(1), person("ADA.L@example.com", None), None, 6).unwrap();
    store.apply(change).unwrap();
    assert_eq!(store.user_by_name("ada.l@example.com"), Some(user_id(1)));
    assert_eq!(store.user_by_email("ada.l@example.com"), None);
    assert_eq!(store.user(user_id(1)).map(|u| (u.created_at, u.updated_at)), Some((1, 6)));
}

#[test]
fn a_conditional_write_wants_the_current_revision() {
    let mut store = small();
    let before = store.user(user_id(1)).unwrap().revision;
    let change = store.replace_user(user_id(1), person("ada2@example.com", None), Some(before), 2).unwrap();
    store.apply(change).unwrap();
    let after = store.user(user_id(1)).unwrap().revision;
    assert!(after > before);
    assert_eq!(
        store.replace_user(user_id(1), person("ada3@example.com", None), Some(before), 3),
        Err(Refusal::Stale(Kind::User))
    );
    assert_eq!(store.delete_user(user_id(1), Some(before)), Err(Refusal::Stale(Kind::User)));
    assert!(store.delete_user(user_id(1), Some(after)).is_ok());
    let group = store.group(group_id(1)).unwrap().revision;
    assert!(store.delete_group(group_id(1), Some(group)).is_ok());
    assert_eq!(store.delete_group(group_id(1), Some(after)), Err(Refusal::Stale(Kind::Group)));
}

#[test]
fn deleting_takes_the_memberships_along() {
    let mut store = small();
    let change = store.delete_user(user_id(1), None).unwrap();
    store.apply(change).unwrap();
    assert_eq!(store.memberships().map(|m| m.id).collect::<Vec<_>>(), [membership_id(2)]);
    assert_eq!(store.members_after(group_id(2), None).count(), 0);
    assert_eq!(store.memberships_after(user_id(1), None).count(), 0);
    let change = store.delete_group(group_id(1), None).unwrap();
    store.apply(change).unwrap();
    assert_eq!(store.memberships().len(), 0);
    assert_eq!(store.memberships_after(user_id(2), None).count(), 0);
    assert!(store.members.is_empty() && store.groups_of.is_empty());
}

#[test]
fn one_membership_goes_and_the_others_stay() {
    let mut store = small();
    let change = store.remove_membership(membership_id(1)).unwrap();
    store.apply(change).unwrap();
    assert_eq!(store.membership_of(group_id(1), user_id(1)), None);
    assert_eq!(store.members_after(group_id(1), None).map(|m| m.user).collect::<Vec<_>>(), [user_id(2)]);
    assert_eq!(store.memberships_after(user_id(1), None).map(|m| m.group).collect::<Vec<_>>(), [group_id(2)]);
    assert!(matches!(
        store.remove_membership(membership_id(1)),
        Err(Refusal::NotFound { kind: Kind::Membership, .. })
    ));
}

#[test]
fn members_must_exist() {
    let mut store = small();
    let missing = |result: Result<(), Refusal>| match result {
        Err(Refusal::NotFound { kind, .. }) => kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(put_member(&mut store, 9, 7, 1)), Kind::Group);
    assert_eq!(missing(put_member(&mut store, 9, 1, 7)), Kind::User);
}

#[test]
fn pages_go_on_after_the_last_id_even_when_it_is_gone() {
    let mut store = small();
    put_user(&mut store, 3, person("eve@example.com", None)).unwrap();
    let change = store.delete_user(user_id(2), None).unwrap();
    store.apply(change).unwrap();
    assert_eq!(store.users_after(Some(user_id(2))).map(|u| u.id).collect::<Vec<_>>(), [user_id(3)]);
    assert_eq!(store.users_after(Some(user_id(3))).count(), 0);
    assert_eq!(store.groups_after(None).count(), 2);
}

#[test]
fn external_ids_are_unique_per_kind() {
    let mut store = small();
    let external = ExternalId { issuer: "https://idp.example.com".into(), id: "guid-1".into() };
    let mut content = person("eve@example.com", None);
    content.external_ids = vec![external.clone()];
    put_user(&mut store, 3, content.clone()).unwrap();
    assert_eq!(store.user_by_external_id(&external), Some(user_id(3)));
    assert_eq!(store.group_by_external_id(&external), None);
    content.attributes.user_name = Some("other@example.com".into());
    assert_eq!(put_user(&mut store, 4, content), Err(Refusal::Duplicate(Claim::ExternalId)));
}

#[test]
fn quotas_hold() {
    let mut store = small().with_quotas(Quotas { users: 2, groups: 2, groups_of_a_user: 2 });
    assert_eq!(
        put_user(&mut store, 3, person("eve@example.com", None)),
        Err(Refusal::Quota { what: "users", limit: 2 })
    );
    assert_eq!(put_group(&mut store, 3, "Third"), Err(Refusal::Quota { what: "groups", limit: 2 }));
    put_member(&mut store, 4, 2, 2).unwrap();
    let mut store = store.with_quotas(Quotas { users: 2, groups: 3, groups_of_a_user: 2 });
    put_group(&mut store, 3, "Third").unwrap();
    assert_eq!(put_member(&mut store, 5, 3, 1), Err(Refusal::Quota { what: "groups of a user", limit: 2 }));
}

#[test]
fn an_invalid_user_changes_nothing() {
    let store = small();
    let before = store.user(user_id(1)).unwrap().clone();
    let result = store.replace_user(user_id(1), person("has space", None), None, 9);
    assert!(matches!(result, Err(Refusal::Invalid(v)) if v.len() == 1));
    assert_eq!(store.user(user_id(1)), Some(&before));
}
