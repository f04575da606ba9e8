//! The target over the Identity Store API: one suite of behaviours, to which the sandbox (over HTTP and in-process) and
//! moto are held alike, and what the client makes of a service that is slow, throttled or cut off (the sandbox's faults).
#![cfg(feature = "sandbox")]
#![allow(clippy::unwrap_used, reason = "this is test code, where a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use idcsync::ids::{IdentityStoreId, TargetId};
use idcsync::model::{
    Assignment, CheckLine, CheckState, GroupAttributes, Kind, UserAttribute as A, UserAttributes, Wants,
};
use idcsync::sandbox::{self, InProcess, Sandbox};
use idcsync::target::{
    Access, Gate, IdentityStoreSettings, IdentityStoreTarget, Pacing, SandboxSettings, Target,
    TargetErrorKind, TargetSettings,
};
use serde_json::{Value, json};
use support::store::call;

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
        scim: None,
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

/// A sandbox that answers on a socket, until this value goes.
struct Served {
    sandbox: Arc<Sandbox>,
    endpoint: String,
    server: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start(settings: sandbox::Settings) -> Self {
        let sandbox = Arc::new(Sandbox::open(settings).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let serving = sandbox::serve(listener, Arc::clone(&sandbox), std::future::pending());
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { sandbox, endpoint, server }
    }

    async fn target(&self, pacing: Pacing) -> IdentityStoreTarget {
        IdentityStoreTarget::connect_with(&settings(self.endpoint.clone()), pacing).await.unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The same faults over both transports: a sandbox over HTTP, and one in-process.
async fn faulty(faults: &[&str]) -> [(Arc<Sandbox>, IdentityStoreTarget, Option<Served>); 2] {
    let settings = || sandbox::Settings {
        faults: faults.iter().map(|f| f.parse().unwrap()).collect(),
        ..sandbox::Settings::default()
    };
    let served = Served::start(settings()).await;
    let over_http = served.target(quick()).await;
    let sandbox = Arc::new(Sandbox::open(settings()).unwrap());
    let transport = InProcess::new(Arc::clone(&sandbox));
    let in_process = IdentityStoreTarget::with_http_client(transport, None, quick());
    [(Arc::clone(&served.sandbox), over_http, Some(served)), (sandbox, in_process, None)]
}

/// The suite. The store must be empty.
async fn behaves(target: &IdentityStoreTarget, manner: &Manner) {
    assert!(!target.capabilities().writes_external_id);
    let lines = target.check().await;
    // Stand-ins do not know all services, which is no failure.
    assert!(lines.iter().all(|l| matches!(l.state, CheckState::Ok | CheckState::Unknown)), "{lines:?}");
    users_are_written_and_found(target, manner).await;
    groups_are_written_and_found(target, manner).await;
    memberships_come_and_go(target, manner).await;
    many_are_observed_by_listing(target).await;
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
    let id = target.create_group(&before, &[]).await.unwrap();
    let (found, group) = target.find_group(&before.display_name).await.unwrap().unwrap();
    assert_eq!((&found, &group.attributes), (&id, &before));
    assert_eq!(group.members, None);
    assert_eq!(target.find_group("no such group").await.unwrap(), None);
    assert_eq!(target.create_group(&before, &[]).await.unwrap_err().kind, TargetErrorKind::Conflict);

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
    let group = target.create_group(&team("Members", None), &[]).await.unwrap();
    let user = target.create_user(&person("member")).await.unwrap();
    assert!(!target.is_member(&group, &user).await.unwrap());
    target.remove_members(&group, std::slice::from_ref(&user)).await.unwrap();
    target.add_members(&group, std::slice::from_ref(&user)).await.unwrap();
    if manner.unique {
        target.add_members(&group, std::slice::from_ref(&user)).await.unwrap();
    }
    assert!(target.is_member(&group, &user).await.unwrap());

    // Found by name: with members. Also by id: still with members. The empty one has none, which is an answer.
    target.create_group(&team("Vacant", None), &[]).await.unwrap();
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

    target.remove_members(&group, std::slice::from_ref(&user)).await.unwrap();
    target.remove_members(&group, std::slice::from_ref(&user)).await.unwrap();
    assert!(!target.is_member(&group, &user).await.unwrap());
    let error = target.add_members(&nobody(), std::slice::from_ref(&user)).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::NotFound(Some(Kind::Group)), "{error}");
    let error = target.add_members(&group, &[nobody()]).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::NotFound(Some(Kind::User)), "{error}");
}

/// More than a page of users, groups and members.
async fn many_are_observed_by_listing(target: &IdentityStoreTarget) {
    let group = target.create_group(&team("Everyone", None), &[]).await.unwrap();
    let mut ids = BTreeSet::new();
    for n in 0..130 {
        let user = target.create_user(&person(&format!("Crowd{n}"))).await.unwrap();
        target.add_members(&group, std::slice::from_ref(&user)).await.unwrap();
        ids.insert(user);
    }
    for n in 0..110 {
        target.create_group(&team(&format!("Team{n}"), None), &[]).await.unwrap();
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

/// moto has all three operations; of pages and of what comes through groups it knows nothing.
fn of_sso_admin(endpoint: &str, operation: &str, body: &Value) -> Value {
    let operation = format!("SWBExternalService.{operation}");
    let (status, answer) = call(endpoint, support::moto::REGION, &operation, body);
    assert_eq!(status, 200, "{operation}: {answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_shows_who_is_assigned_to_what() {
    let moto = tokio::task::spawn_blocking(support::moto::Moto::start).await.unwrap();
    let target = IdentityStoreTarget::connect_with(&settings(moto.endpoint()), quick()).await.unwrap();
    let user = target.create_user(&person("anna")).await.unwrap();
    let group = target.create_group(&team("g", None), &[]).await.unwrap();
    let other = target.create_user(&person("bert")).await.unwrap();
    let (of_user, of_group, endpoint) = (user.clone(), group.clone(), moto.endpoint());
    let set = tokio::task::spawn_blocking(move || {
        let call = |operation: &str, body: Value| of_sso_admin(&endpoint, operation, &body);
        let instance = call("ListInstances", json!({}))["Instances"][0]["InstanceArn"].clone();
        // Without a duration moto shows a number, where AWS's shape has a string.
        let body = json!({ "InstanceArn": instance, "Name": "ReadOnly", "SessionDuration": "PT1H" });
        let set = call("CreatePermissionSet", body);
        let arn = set["PermissionSet"]["PermissionSetArn"].as_str().unwrap().to_owned();
        for (kind, id, account) in [("USER", &of_user, "111122223333"), ("GROUP", &of_group, "444455556666")]
        {
            let body = json!({
                "InstanceArn": instance, "PermissionSetArn": arn, "PrincipalType": kind, "PrincipalId": id.as_str(),
                "TargetType": "AWS_ACCOUNT", "TargetId": account,
            });
            call("CreateAccountAssignment", body);
        }
        arn
    });
    let permission_set = set.await.unwrap();

    let principals = [(user.clone(), Kind::User), (group.clone(), Kind::Group), (other.clone(), Kind::User)];
    let before = target.usage().requests;
    let found = target.assignments(&principals.into()).await.unwrap();
    let of = |account: &str| Assignment {
        account: account.to_owned(),
        permission_set: permission_set.clone(),
        permission_set_name: Some("ReadOnly".to_owned()),
    };
    let expected = [(user, vec![of("111122223333")]), (group, vec![of("444455556666")]), (other, vec![])];
    assert_eq!(found, BTreeMap::from(expected));
    assert_eq!(target.usage().requests - before, 4, "three principals, one permission set");
    let lines = target.check_assignments().await;
    assert!(lines.len() == 2 && lines.iter().all(|l| l.state == CheckState::Ok), "{lines:?}");
}

/// moto keeps the assignments of a user that was deleted, as AWS's own Active Directory source does.
#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_of_nobody_is_found_at_moto() {
    let moto = tokio::task::spawn_blocking(support::moto::Moto::start).await.unwrap();
    let target = IdentityStoreTarget::connect_with(&settings(moto.endpoint()), quick()).await.unwrap();
    let (anna, bert) = (
        target.create_user(&person("anna")).await.unwrap(),
        target.create_user(&person("bert")).await.unwrap(),
    );
    let (both, endpoint) = ([anna.clone(), bert.clone()], moto.endpoint());
    let made = tokio::task::spawn_blocking(move || {
        let call = |operation: &str, body: Value| of_sso_admin(&endpoint, operation, &body);
        let instance = call("ListInstances", json!({}))["Instances"][0]["InstanceArn"].clone();
        let body = json!({ "InstanceArn": instance, "Name": "ReadOnly", "SessionDuration": "PT1H" });
        let set = call("CreatePermissionSet", body)["PermissionSet"]["PermissionSetArn"].clone();
        // It takes a permission set to be provisioned in its own account alone.
        let account = "123456789012";
        let target = json!({ "TargetType": "AWS_ACCOUNT", "TargetId": account });
        let with = |more: Value| {
            let mut all = json!({ "InstanceArn": instance, "PermissionSetArn": set });
            for part in [&target, &more] {
                all.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
            }
            all
        };
        call("ProvisionPermissionSet", with(json!({})));
        for id in &both {
            let body = with(json!({ "PrincipalType": "USER", "PrincipalId": id.as_str() }));
            call("CreateAccountAssignment", body);
        }
    });
    made.await.unwrap();
    let orphans = |lines: Vec<CheckLine>| {
        lines.into_iter().find(|l| l.name == "assignments without anybody").expect("the line")
    };
    let all_there = orphans(target.check_assignments().await);
    assert_eq!((all_there.state, all_there.detail.starts_with("none; 2 assign")), (CheckState::Ok, true));
    target.delete_user(&bert).await.unwrap();
    let found = orphans(target.check_assignments().await);
    assert_eq!(found.state, CheckState::Warn, "{found:?}");
    let said = format!("user {bert}: ReadOnly in 123456789012; ");
    assert!(found.detail.starts_with(&said) && !found.detail.contains(anna.as_str()), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_behaves_over_http() {
    let served = Served::start(sandbox::Settings::default()).await;
    behaves(&served.target(quick()).await, &STRICT).await;
}

#[tokio::test]
async fn the_sandbox_behaves_in_process() {
    let sandbox = Arc::new(Sandbox::open(sandbox::Settings::default()).unwrap());
    let transport = InProcess::new(Arc::clone(&sandbox));
    let target = IdentityStoreTarget::with_http_client(transport, None, quick());
    behaves(&target, &STRICT).await;
    assert_eq!(sandbox.inspect(|store| store.users().len()), 132);
}

#[tokio::test]
async fn a_throttled_create_is_done_once_the_service_allows_it() {
    for (sandbox, target, _served) in faulty(&["CreateUser:throttle@1"]).await {
        let begun = Instant::now();
        target.create_user(&person("anna")).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(1), "RetryAfterSeconds is 1");
        assert_eq!(sandbox.inspect(|store| store.users().len()), 1);
        let usage = target.usage();
        assert_eq!((usage.throttled, usage.retried), (1, 1));
    }
}

#[tokio::test]
async fn a_create_that_ends_in_an_internal_error_is_ambiguous() {
    for (sandbox, target, _served) in faulty(&["CreateUser:internal@1", "CreateGroup:internal@1"]).await {
        let error = target.create_user(&person("anna")).await.unwrap_err();
        assert_eq!(
            (error.kind, error.code.as_str()),
            (TargetErrorKind::Ambiguous, "InternalServerException")
        );
        assert_eq!(
            target.create_group(&team("a", None), &[]).await.unwrap_err().kind,
            TargetErrorKind::Ambiguous
        );
        assert_eq!(target.find_user("anna@example.com").await.unwrap(), None);
        assert_eq!(target.usage().writes, 2, "neither was repeated");
        assert_eq!(sandbox.inspect(|store| store.users().len() + store.groups().len()), 0);
    }
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_ambiguous_and_can_be_found() {
    let faults = ["CreateUser:timeout-after@1", "CreateUser:timeout-before@2"];
    for (sandbox, target, _served) in faulty(&faults).await {
        // A connection that was used before, as most are.
        assert_eq!(target.find_user("anna@example.com").await.unwrap(), None);
        for (name, done) in [("anna", true), ("bert", false)] {
            let error = target.create_user(&person(name)).await.unwrap_err();
            assert_eq!(
                (error.kind, error.code.as_str()),
                (TargetErrorKind::Ambiguous, "ConnectionLost"),
                "{error}"
            );
            let found = target.find_user(&format!("{name}@example.com")).await.unwrap();
            assert_eq!(found.map(|(_, user)| user.attributes), done.then(|| person(name)));
        }
        assert_eq!(sandbox.inspect(|store| store.users().len()), 1);
        assert_eq!(target.usage().retried, 0);
    }
}

#[tokio::test]
async fn a_service_that_is_too_slow_leaves_a_create_ambiguous() {
    let slow = sandbox::Settings { latency: Duration::from_secs(60), ..sandbox::Settings::default() };
    let served = Served::start(slow).await;
    let mut pacing = quick();
    pacing.attempt_timeout = Duration::from_millis(300);
    let mut settings = settings(served.endpoint.clone());
    settings.identity_store_id = Some(IdentityStoreId::new("d-1234567890"));
    let target = IdentityStoreTarget::connect_with(&settings, pacing).await.unwrap();
    let error = target.create_user(&person("anna")).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Ambiguous, "Timeout"));
    assert_eq!(served.sandbox.inspect(|store| store.users().len()), 1);
}

#[tokio::test]
async fn memberships_and_updates_survive_lost_answers() {
    let faults = [
        "CreateGroupMembership:timeout-after@1",
        "DeleteGroupMembership:timeout-after@1",
        "UpdateUser:timeout-after@1",
        "UpdateUser:internal@2",
        "List*:timeout-before@1",
    ];
    for (sandbox, target, _served) in faulty(&faults).await {
        let user = target.create_user(&person("anna")).await.unwrap();
        let group = target.create_group(&team("g", None), &[]).await.unwrap();
        target.add_members(&group, std::slice::from_ref(&user)).await.unwrap();
        assert_eq!(sandbox.inspect(|store| store.memberships().len()), 1);
        target.remove_members(&group, std::slice::from_ref(&user)).await.unwrap();
        assert_eq!(sandbox.inspect(|store| store.memberships().len()), 0);
        let mut changed = person("anna");
        changed.insert(A::Title, "Dr".to_owned());
        target.update_user(&user, &[A::Title], &changed).await.unwrap();
        let mut users: BTreeSet<_> =
            (0..30).map(|n| TargetId::new(format!("00000000-0000-4000-8000-0000000000{n:02}"))).collect();
        users.insert(user.clone());
        let observed = target.observe(&Wants { users, ..Wants::default() }).await.unwrap();
        assert_eq!(observed.users.len(), 1);
        assert_eq!(observed.users[&user].attributes, changed);
    }
}

#[tokio::test]
async fn a_denied_permission_is_told_with_its_remedy() {
    for (_, target, _served) in faulty(&["ListUsers:access-denied", "CreateUser:quota"]).await {
        let lines = target.check().await;
        let users = lines.iter().find(|l| l.name == "reading users").unwrap();
        assert_eq!(users.state, CheckState::Fail);
        assert!(users.remedy.as_deref().unwrap().contains("identitystore:ListUsers"), "{users:?}");
        assert_eq!(target.create_user(&person("anna")).await.unwrap_err().kind, TargetErrorKind::Quota);
        assert_eq!(target.usage().retried, 0);
    }
}

/// The quota is for all callers together, and whoever keeps to it is never throttled.
#[tokio::test(flavor = "multi_thread")]
async fn callers_who_keep_to_the_rate_are_never_throttled() {
    let rate = 20;
    let limited = sandbox::Settings {
        requests_per_second: Some(rate),
        latency: Duration::from_millis(100),
        jitter: Duration::from_millis(200),
        ..sandbox::Settings::default()
    };
    let served = Served::start(limited).await;
    let target = served.target(Pacing::new(rate)).await;
    let begun = Instant::now();
    let calls = (0..100).map(|n| {
        let target = &target;
        async move { target.create_user(&person(&format!("p{n}"))).await.unwrap() }
    });
    futures::future::join_all(calls).await;
    let usage = target.usage();
    assert_eq!((usage.throttled, usage.retried), (0, 0));
    // 100 creates and the look-up of the identity store, several on their way at once: latency does not cap the rate.
    assert_eq!(usage.requests, 101);
    let took = begun.elapsed().as_secs_f64();
    assert!(took >= 4.9, "{took} s is faster than {rate} a second");
    assert_eq!(served.sandbox.inspect(|store| store.users().len()), 100);
}

/// Someone else uses the same quota: everything is still done, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_others_use_too_slows_down_and_loses_nothing() {
    let limited = sandbox::Settings { requests_per_second: Some(20), ..sandbox::Settings::default() };
    let served = Served::start(limited).await;
    let pacing = Pacing { first_pause: Duration::from_millis(50), ..Pacing::new(100) };
    let target = served.target(pacing).await;
    let calls = (0..60).map(|n| {
        let target = &target;
        async move { target.create_user(&person(&format!("p{n}"))).await.unwrap() }
    });
    let ids: BTreeSet<_> = futures::future::join_all(calls).await.into_iter().collect();
    assert_eq!(ids.len(), 60);
    assert_eq!(served.sandbox.inspect(|store| store.users().len()), 60);
    let usage = target.usage();
    assert!(usage.throttled > 0);
    assert_eq!(usage.throttled, usage.retried);
}

#[tokio::test]
async fn the_sandbox_of_the_settings_keeps_its_file_and_a_reader_leaves_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store.json");
    let settings = TargetSettings::Sandbox(SandboxSettings {
        identity_store_id: None,
        store: store.clone(),
        request_log: None,
        requests_per_second: 1_000,
    });
    let target = idcsync::target::connect(&settings, Access::ReadWrite, Gate::Open).await.unwrap();
    let id = target.create_user(&person("anna")).await.unwrap();
    let error = idcsync::target::connect(&settings, Access::ReadWrite, Gate::Open).await.err().unwrap();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Unavailable, "SandboxUnavailable"));
    drop(target);

    let content = std::fs::read_to_string(&store).unwrap();
    assert!(content.contains("anna@example.com"), "written when the client went");
    let reader = idcsync::target::connect(&settings, Access::ReadOnly, Gate::Open).await.unwrap();
    assert_eq!(reader.find_user("anna@example.com").await.unwrap().unwrap().0, id);
    assert_eq!(reader.create_user(&person("bert")).await.unwrap_err().kind, TargetErrorKind::AccessDenied);
    drop(reader);
    assert_eq!(std::fs::read_to_string(&store).unwrap(), content);
}
