//! The target over the Identity Store API: one suite of behaviours, to which the sandbox (over HTTP and in-process) and
//! moto are held alike, and what the client makes of a service that is slow, throttled or cut off (the sandbox's faults).

use std::collections::BTreeSet;
use std::time::Duration;

use idcsync::ids::{IdentityStoreId, TargetId};
use idcsync::model::{CheckState, GroupAttributes, Kind, UserAttribute as A, UserAttributes, Wants};
use idcsync::target::{IdentityStoreSettings, IdentityStoreTarget, Pacing, Target, TargetErrorKind};

mod support;

/// What a stand-in has of the API.
struct Manner {
    /// UpdateUser and UpdateGroup work; moto answers them with HTTP 500.
    updates: bool,
    /// Emails and memberships are unique; moto accepts the same twice.
    unique: bool,
    /// Website and the enterprise extension; moto knows neither.
    newer_attributes: bool,
}

const STRICT: Manner = Manner { updates: true, unique: true, newer_attributes: true };
const MOTO: Manner = Manner { updates: false, unique: false, newer_attributes: false };

/// As in production, but impatient.
fn quick() -> Pacing {
    Pacing {
        attempts: 3,
        first_pause: Duration::from_millis(5),
        attempt_timeout: Duration::from_secs(10),
        ..Pacing::new(5_000)
    }
}

fn settings(endpoint: String) -> IdentityStoreSettings {
    IdentityStoreSettings {
        identity_store_id: None,
        region: Some(support::moto::REGION.to_owned()),
        endpoint_url: Some(endpoint),
        requests_per_second: 18,
    }
}

fn person(name: &str) -> UserAttributes {
    UserAttributes::from([
        (A::UserName, format!("{name}@example.com")),
        (A::DisplayName, format!("{name} Müller")),
        (A::GivenName, name.to_owned()),
        (A::FamilyName, "Müller".to_owned()),
        (A::Email, format!("{name}@example.com")),
    ])
}

fn full_person(manner: &Manner) -> UserAttributes {
    let newer = [
        A::Website,
        A::EmployeeNumber,
        A::CostCenter,
        A::Organization,
        A::Division,
        A::Department,
        A::Manager,
    ];
    A::ALL
        .iter()
        .filter(|a| **a != A::ExternalId && (manner.newer_attributes || !newer.contains(a)))
        .map(|a| (*a, format!("{a}-ß")))
        .chain([(A::Email, "Full.Person@Example.com".to_owned())])
        .collect()
}

fn team(name: &str, description: Option<&str>) -> GroupAttributes {
    GroupAttributes {
        display_name: name.to_owned(),
        description: description.map(str::to_owned),
        external_id: None,
    }
}

fn strings<'a>(values: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    values.into_iter().map(str::to_owned).collect()
}

fn nobody() -> TargetId {
    TargetId::new("00000000-0000-4000-8000-000000000000")
}

/// The suite. The store must be empty.
async fn behaves(target: &IdentityStoreTarget, manner: &Manner) {
    assert!(!target.capabilities().writes_external_id);
    let lines = target.check().await;
    assert!(lines.iter().all(|l| l.state == CheckState::Ok), "{lines:?}");
    users_are_written_and_found(target, manner).await;
    groups_are_written_and_found(target, manner).await;
    memberships_come_and_go(target, manner).await;
    many_are_observed_by_listing(target, manner).await;
}

async fn users_are_written_and_found(target: &IdentityStoreTarget, manner: &Manner) {
    let all = full_person(manner);
    let id = target.create_user(&all).await.unwrap();
    let (found, user) = target.find_user(&all[&A::UserName]).await.unwrap().unwrap();
    assert_eq!((found, &user.attributes), (id.clone(), &all));
    assert!(!user.disabled && user.external_ids.is_empty());
    assert_eq!(target.find_user("nobody@example.com").await.unwrap(), None);

    let error = target.create_user(&all).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Conflict, "ConflictException"));
    let mut same_address = person("other");
    same_address.insert(A::Email, "full.person@example.COM".to_owned());
    if manner.unique {
        assert_eq!(target.create_user(&same_address).await.unwrap_err().kind, TargetErrorKind::Conflict);
    }
    let mut nameless = person("nameless");
    nameless.remove(&A::FamilyName);
    let error = target.create_user(&nameless).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Validation, "ValidationException"));

    // By id, by name and by address: each once.
    let before = target.usage().requests;
    let wants = Wants {
        users: [id.clone(), nobody()].into(),
        user_names: strings([all[&A::UserName].as_str(), "nobody@example.com"]),
        emails: strings([all[&A::Email].as_str(), "nobody@example.com"]),
        ..Wants::default()
    };
    let observed = target.observe(&wants).await.unwrap();
    assert_eq!(observed.users.keys().collect::<Vec<_>>(), [&id]);
    assert_eq!(observed.users[&id].attributes, all);
    assert_eq!(target.usage().requests - before, 6, "four names, two ids");

    let mut changed = all.clone();
    changed.insert(A::Title, "Dr".to_owned());
    changed.insert(A::AddressLocality, "Zürich".to_owned());
    changed.remove(&A::NickName);
    changed.remove(&A::Phone);
    changed.remove(&A::PhoneType);
    let mut paths = vec![A::Title, A::AddressLocality, A::NickName, A::Phone, A::PhoneType];
    if manner.newer_attributes {
        changed.remove(&A::Manager);
        changed.insert(A::Department, "IT".to_owned());
        paths.extend([A::Manager, A::Department]);
    }
    let updated = target.update_user(&id, &paths, &changed).await;
    if manner.updates {
        updated.unwrap();
        let (_, user) = target.find_user(&all[&A::UserName]).await.unwrap().unwrap();
        assert_eq!(user.attributes, changed);
        let missing = target.update_user(&nobody(), &[A::Title], &changed).await.unwrap_err();
        assert_eq!(missing.kind, TargetErrorKind::NotFound(Some(Kind::User)));
    } else {
        // HTTP 500 again and again: nobody can say what became of it.
        assert_eq!(updated.unwrap_err().kind, TargetErrorKind::Ambiguous);
    }
}

async fn groups_are_written_and_found(target: &IdentityStoreTarget, manner: &Manner) {
    let before = team("AWS Admins@corp.example.com", Some("Die Größten"));
    let id = target.create_group(&before).await.unwrap();
    let (found, group) = target.find_group(&before.display_name).await.unwrap().unwrap();
    assert_eq!((&found, &group.attributes), (&id, &before));
    assert_eq!(group.members, None);
    assert_eq!(target.find_group("no such group").await.unwrap(), None);
    assert_eq!(target.create_group(&before).await.unwrap_err().kind, TargetErrorKind::Conflict);

    let wants = Wants { groups: [id.clone(), nobody()].into(), ..Wants::default() };
    let observed = target.observe(&wants).await.unwrap();
    assert_eq!(observed.groups.keys().collect::<Vec<_>>(), [&id]);
    assert_eq!(observed.groups[&id].members, None);

    let after = team("Renamed", None);
    let updated = target.update_group(&id, &before, &after).await;
    if manner.updates {
        updated.unwrap();
        let (found, group) = target.find_group("Renamed").await.unwrap().unwrap();
        assert_eq!((&found, &group.attributes), (&id, &after));
        assert_eq!(target.find_group(&before.display_name).await.unwrap(), None);
    } else {
        assert_eq!(updated.unwrap_err().kind, TargetErrorKind::Ambiguous);
    }
}

async fn memberships_come_and_go(target: &IdentityStoreTarget, manner: &Manner) {
    let group = target.create_group(&team("Members", None)).await.unwrap();
    let user = target.create_user(&person("member")).await.unwrap();
    assert!(!target.is_member(&group, &user).await.unwrap());
    target.remove_member(&group, &user).await.unwrap();
    target.add_member(&group, &user).await.unwrap();
    if manner.unique {
        target.add_member(&group, &user).await.unwrap();
    }
    assert!(target.is_member(&group, &user).await.unwrap());

    // Found by name: with members. Also by id: still with members. The empty one has none, which is an answer.
    target.create_group(&team("Vacant", None)).await.unwrap();
    let wants = Wants {
        groups: [group.clone()].into(),
        group_names: strings(["Members", "Vacant", "no such group"]),
        ..Wants::default()
    };
    let observed = target.observe(&wants).await.unwrap();
    let members: Vec<_> = observed
        .groups
        .values()
        .map(|g| (g.attributes.display_name.as_str(), g.members.as_ref().map(BTreeSet::len)))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!(members, [("Members", Some(1)), ("Vacant", Some(0))]);

    target.remove_member(&group, &user).await.unwrap();
    target.remove_member(&group, &user).await.unwrap();
    assert!(!target.is_member(&group, &user).await.unwrap());
    let error = target.add_member(&nobody(), &user).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::NotFound(Some(Kind::Group)), "{error}");
    let error = target.add_member(&group, &nobody()).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::NotFound(Some(Kind::User)), "{error}");
}

/// More than a page of users, groups and members.
async fn many_are_observed_by_listing(target: &IdentityStoreTarget, manner: &Manner) {
    let group = target.create_group(&team("Everyone", None)).await.unwrap();
    let mut ids = BTreeSet::new();
    for n in 0..130 {
        let user = target.create_user(&person(&format!("Crowd{n}"))).await.unwrap();
        target.add_member(&group, &user).await.unwrap();
        ids.insert(user);
    }
    for n in 0..110 {
        target.create_group(&team(&format!("Team{n}"), None)).await.unwrap();
    }

    let before = target.usage().requests;
    let wants =
        Wants { user_names: (0..200).map(|n| format!("crowd{n}@EXAMPLE.com")).collect(), ..Wants::default() };
    let observed = target.observe(&wants).await.unwrap();
    assert_eq!(observed.users.keys().cloned().collect::<BTreeSet<_>>(), ids);
    assert_eq!(target.usage().requests - before, 2);

    let before = target.usage().requests;
    let teams = (0..110).map(|n| format!("team{n}"));
    let wants = Wants { group_names: teams.chain(["EVERYONE".to_owned()]).collect(), ..Wants::default() };
    let observed = target.observe(&wants).await.unwrap();
    assert_eq!(observed.groups.len(), 111);
    assert_eq!(observed.groups[&group].members.as_ref(), Some(&ids));
    // Two pages of groups, the members of each group in one page, those of the large one in two.
    assert_eq!(target.usage().requests - before, 2 + 111 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_behaves() {
    let moto = tokio::task::spawn_blocking(support::moto::Moto::start).await.unwrap();
    let target = IdentityStoreTarget::connect_with(&settings(moto.endpoint()), quick()).await.unwrap();
    assert_eq!(target.identity_store_id().await.unwrap(), &IdentityStoreId::new(moto.identity_store_id()));
    behaves(&target, &MOTO).await;
}
