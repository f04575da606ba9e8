//! The target over SCIM: one suite of behaviours, to which the sandbox and scim2-server are held alike; what the client
//! makes of an endpoint that is slow, throttled, cut off or of the older form (the sandbox's faults); and the endpoint
//! beside the API, to disable.
#![cfg(feature = "sandbox")]
#![allow(clippy::unwrap_used, reason = "this is test code, where a panic is the report")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use idcsync::ids::TargetId;
use idcsync::model::{CheckState, GroupAttributes, Kind, UserAttribute as A, UserAttributes, Wants};
use idcsync::sandbox::{self, Sandbox, ScimPaging};
use idcsync::secret::SecretSource;
use idcsync::target::{
    Access, Gate, IdentityStoreSettings, Pacing, ScimSettings, ScimTarget, Target, TargetErrorKind,
    TargetSettings, connect,
};

mod support;

use support::scim::{Scim, Scim2Server};

/// What an endpoint has of AWS's.
struct Manner {
    /// Addresses and externalIds are unique, and members must exist.
    strict: bool,
    /// Lists are paged by cursor; scim2-server gives one page and says how many there are.
    pages: bool,
}

const AWS: Manner = Manner { strict: true, pages: true };
const RFC: Manner = Manner { strict: false, pages: false };

/// As in production, but impatient.
fn quick() -> Pacing {
    Pacing {
        attempts: 3,
        first_pause: Duration::from_millis(5),
        attempt_timeout: Duration::from_secs(10),
        ..Pacing::new(5_000)
    }
}

/// A token in a file of its own.
struct Token(tempfile::TempDir);

impl Token {
    fn new(token: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), format!("{token}\n")).unwrap();
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("token")
    }
}

fn settings(scim: &Scim, token: &Token) -> ScimSettings {
    ScimSettings {
        url: scim.base_url(),
        token: SecretSource::File(token.path()),
        token_expires: None,
        identity_store_id: None,
        rfc_remove: false,
        requests_per_second: 5_000,
    }
}

/// A sandbox that answers on a socket, until this value goes.
struct Served {
    sandbox: Arc<Sandbox>,
    endpoint: String,
    token: Token,
    server: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start(settings: sandbox::Settings) -> Self {
        let sandbox = Arc::new(Sandbox::open(settings).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let serving = sandbox::serve(listener, Arc::clone(&sandbox), std::future::pending());
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { sandbox, endpoint, token: Token::new(sandbox::scim::DEFAULT_SCIM_TOKEN), server }
    }

    async fn plain() -> Self {
        Self::start(sandbox::Settings::default()).await
    }

    async fn faulty(faults: &[&str]) -> Self {
        let faults = faults.iter().map(|f| f.parse().unwrap()).collect();
        Self::start(sandbox::Settings { faults, ..sandbox::Settings::default() }).await
    }

    async fn paging(paging: ScimPaging, short_pages: bool) -> Self {
        let scim = sandbox::ScimSettings { paging, short_pages, ..sandbox::ScimSettings::default() };
        Self::start(sandbox::Settings { scim, ..sandbox::Settings::default() }).await
    }

    fn settings(&self) -> ScimSettings {
        let base_path = sandbox::ScimSettings::default().base_path();
        settings(&Scim::new(&self.endpoint, &base_path, sandbox::scim::DEFAULT_SCIM_TOKEN), &self.token)
    }

    fn target(&self) -> ScimTarget {
        ScimTarget::connect_with(&self.settings(), quick()).unwrap()
    }

    fn users(&self) -> usize {
        self.sandbox.inspect(|store| store.users().len())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn person(name: &str) -> UserAttributes {
    UserAttributes::from([
        (A::UserName, format!("{name}@example.com")),
        (A::DisplayName, format!("{name} Müller")),
        (A::GivenName, name.to_owned()),
        (A::FamilyName, "Müller".to_owned()),
        (A::Email, format!("{name}@example.com")),
        (A::ExternalId, format!("guid-of-{name}")),
    ])
}

/// Every attribute that SCIM has.
fn full_person() -> UserAttributes {
    let special = [
        (A::UserName, "full \"\\+&%=#person@example.com".replace(' ', "")),
        (A::Email, "Full.Person@Example.com".to_owned()),
        (A::EmailType, "work".to_owned()),
        (A::PhoneType, "work".to_owned()),
        (A::AddressType, "work".to_owned()),
        (A::AddressCountry, "CH".to_owned()),
        (A::ProfileUrl, "https://people.example.com/full".to_owned()),
        (A::PreferredLanguage, "de".to_owned()),
        (A::Locale, "de-CH".to_owned()),
        (A::Timezone, "Europe/Zurich".to_owned()),
    ];
    A::ALL.iter().filter(|a| **a != A::Website).map(|a| (*a, format!("{a}-ß"))).chain(special).collect()
}

fn team(name: &str) -> GroupAttributes {
    GroupAttributes {
        display_name: name.to_owned(),
        description: None,
        external_id: Some(format!("guid-of-{}", name.replace(' ', "-"))),
    }
}

fn strings<'a>(values: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    values.into_iter().map(str::to_owned).collect()
}

/// An id that an endpoint could have given out, and has not.
fn nobody() -> TargetId {
    TargetId::new("1234567890-00000000-0000-4000-8000-000000000000")
}

/// The suite. The store must be empty.
async fn behaves(target: &dyn Target, manner: &Manner) {
    let lines = target.check().await;
    assert!(lines.iter().all(|l| l.state == CheckState::Ok), "{lines:?}");
    users_are_written_and_found(target, manner).await;
    users_are_disabled_and_enabled(target).await;
    groups_are_written_and_found(target, manner).await;
    memberships_come_and_go_by_the_hundred(target, manner).await;
    objects_are_deleted_once(target).await;
}

async fn users_are_written_and_found(target: &dyn Target, manner: &Manner) {
    let all = full_person();
    let id = target.create_user(&all).await.unwrap();
    let (found, user) = target.find_user(&all[&A::UserName]).await.unwrap().unwrap();
    assert_eq!((found, &user.attributes), (id.clone(), &all));
    assert!(!user.disabled);
    assert_eq!(user.external_ids, [(String::new(), "externalId-ß".to_owned())]);
    assert_eq!(target.find_user("nobody@example.com").await.unwrap(), None);

    // A conflict is clear, and whose name it is can be seen.
    let mut again = person("other");
    again.insert(A::UserName, all[&A::UserName].to_uppercase());
    assert_eq!(target.create_user(&again).await.unwrap_err().kind, TargetErrorKind::Conflict);
    if manner.strict {
        let mut same_address = person("other");
        same_address.insert(A::Email, "full.person@example.COM".to_owned());
        assert_eq!(target.create_user(&same_address).await.unwrap_err().kind, TargetErrorKind::Conflict);
        let mut nameless = person("nameless");
        nameless.remove(&A::FamilyName);
        assert_eq!(target.create_user(&nameless).await.unwrap_err().kind, TargetErrorKind::Validation);
    }

    // By every key, each by itself.
    let by = |wants: Wants| async move { target.observe(&wants).await.unwrap().users };
    for wants in [
        Wants { users: [id.clone(), nobody()].into(), ..Wants::default() },
        Wants { user_names: strings([all[&A::UserName].as_str(), "no@x"]), ..Wants::default() },
        // Case counts here (RFC 7643 section 3.1).
        Wants { user_external_ids: strings(["externalId-ß", "none"]), ..Wants::default() },
        Wants { emails: strings(["FULL.person@example.com", "no@x"]), ..Wants::default() },
    ] {
        let found = by(wants.clone()).await;
        assert_eq!(found.keys().collect::<Vec<_>>(), [&id], "{wants:?}");
        assert_eq!(found[&id].attributes, all);
    }

    let mut changed = all.clone();
    changed.insert(A::UserName, "renamed@example.com".to_owned());
    changed.insert(A::Title, "Dr".to_owned());
    changed.insert(A::AddressLocality, "Zürich".to_owned());
    changed.insert(A::Department, "IT".to_owned());
    let gone = [A::NickName, A::MiddleName, A::Phone, A::PhoneType, A::Manager];
    for attribute in gone {
        changed.remove(&attribute);
    }
    let mut paths = vec![A::UserName, A::Title, A::AddressLocality, A::Department];
    paths.extend(gone);
    target.update_user(&id, &paths, &changed).await.unwrap();
    let (_, user) = target.find_user("renamed@example.com").await.unwrap().unwrap();
    assert_eq!(user.attributes, changed);
    let missing = target.update_user(&nobody(), &[A::Title], &changed).await.unwrap_err();
    assert_eq!(missing.kind, TargetErrorKind::NotFound(Some(Kind::User)));
}

async fn users_are_disabled_and_enabled(target: &dyn Target) {
    let id = target.create_user(&person("leaver")).await.unwrap();
    let disabled = || async { target.find_user("leaver@example.com").await.unwrap().unwrap().1.disabled };
    for active in [false, false, true, true] {
        target.set_active(&id, active).await.unwrap();
        assert_eq!(disabled().await, !active);
    }
    let missing = target.set_active(&nobody(), false).await.unwrap_err();
    assert_eq!(missing.kind, TargetErrorKind::NotFound(Some(Kind::User)));
}

async fn groups_are_written_and_found(target: &dyn Target, manner: &Manner) {
    let before = team("AWS \"Admins\"@corp.example.com");
    let id = target.create_group(&before, &[]).await.unwrap();
    let (found, group) = target.find_group(&before.display_name).await.unwrap().unwrap();
    assert_eq!((&found, &group.attributes), (&id, &before));
    assert_eq!(group.members, None);
    assert_eq!(target.find_group("no such group").await.unwrap(), None);
    if manner.strict {
        assert_eq!(target.create_group(&before, &[]).await.unwrap_err().kind, TargetErrorKind::Conflict);
    }
    let wants = Wants { groups: [id.clone(), nobody()].into(), ..Wants::default() };
    let observed = target.observe(&wants).await.unwrap();
    assert_eq!(observed.groups.keys().collect::<Vec<_>>(), [&id]);
    assert_eq!(observed.groups[&id].members, None);

    let after = team("Renamed");
    target.update_group(&id, &before, &after).await.unwrap();
    let (found, group) = target.find_group("Renamed").await.unwrap().unwrap();
    assert_eq!((&found, &group.attributes), (&id, &after));
    assert_eq!(target.find_group(&before.display_name).await.unwrap(), None);
    let wants = Wants { group_external_ids: strings(["guid-of-Renamed"]), ..Wants::default() };
    let observed = target.observe(&wants).await.unwrap();
    assert_eq!(observed.groups[&id].members, Some(BTreeSet::new()));
}

async fn memberships_come_and_go_by_the_hundred(target: &dyn Target, manner: &Manner) {
    let mut users = Vec::new();
    for n in 0..250 {
        users.push(target.create_user(&person(&format!("crowd{n}"))).await.unwrap());
    }
    let group = target.create_group(&team("Everyone"), &users[..100]).await.unwrap();
    target.add_members(&group, &users[100..200]).await.unwrap();
    target.add_members(&group, &users[200..]).await.unwrap();
    // Again: done already.
    target.add_members(&group, &users[150..]).await.unwrap();
    let members = || async {
        let wants = Wants { group_names: strings(["EVERYONE"]), ..Wants::default() };
        target.observe(&wants).await.unwrap().groups.remove(&group).unwrap().members.unwrap()
    };
    assert_eq!(members().await, users.iter().cloned().collect());

    target.remove_members(&group, &users[..100]).await.unwrap();
    target.remove_members(&group, &users[80..120]).await.unwrap();
    assert_eq!(members().await, users[120..].iter().cloned().collect());
    assert!(target.is_member(&group, &users[120]).await.unwrap());
    assert!(!target.is_member(&group, &users[119]).await.unwrap());
    assert!(!target.is_member(&nobody(), &users[120]).await.unwrap());
    assert!(!target.is_member(&group, &nobody()).await.unwrap());
    // Nobody is not everybody.
    target.remove_members(&group, &[]).await.unwrap();
    assert_eq!(members().await.len(), 130);

    let error = target.add_members(&nobody(), &users[..1]).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::NotFound(Some(Kind::Group)), "{error}");

    // Where members must exist, one that does not is told from a group that does not.
    if manner.strict {
        let gone = |result: Result<(), _>| {
            let error: idcsync::target::TargetError = result.unwrap_err();
            assert_eq!(error.kind, TargetErrorKind::NotFound(Some(Kind::User)), "{error}");
        };
        let with_nobody = [users[0].clone(), nobody()];
        gone(target.add_members(&group, &with_nobody).await);
        gone(target.remove_members(&group, &with_nobody).await);
        gone(target.create_group(&team("Partial"), &with_nobody).await.map(drop));
        target.remove_members(&group, &[nobody()]).await.unwrap();
        assert_eq!(target.find_group("Partial").await.unwrap(), None);
    }

    let before = target.usage().requests;
    let user_names = (0..300).map(|n| format!("CROWD{n}@example.com")).collect();
    let observed = target.observe(&Wants { user_names, ..Wants::default() }).await.unwrap();
    assert_eq!(observed.users.keys().collect::<BTreeSet<_>>(), users.iter().collect());
    if manner.pages {
        assert_eq!(target.usage().requests - before, 3, "252 users");
        let seen = target.read_back(&[group.clone()].into()).await.unwrap();
        assert_eq!(seen.users.len(), 252);
        assert_eq!(seen.groups.len(), 2);
        assert_eq!(seen.groups[&group].members.as_ref().map(BTreeSet::len), Some(130));
        let others = seen.groups.iter().filter(|(id, _)| **id != group);
        assert!(others.map(|(_, g)| &g.members).all(Option::is_none));
    } else {
        let error = target.read_back(&BTreeSet::new()).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Unavailable, "ListingCut"));
    }
}

async fn objects_are_deleted_once(target: &dyn Target) {
    let user = target.create_user(&person("deleted")).await.unwrap();
    let group = target.create_group(&team("Deleted"), std::slice::from_ref(&user)).await.unwrap();
    for _ in 0..2 {
        target.delete_user(&user).await.unwrap();
        target.delete_group(&group).await.unwrap();
    }
    let wants = Wants { users: [user].into(), groups: [group].into(), ..Wants::default() };
    let observed = target.observe(&wants).await.unwrap();
    assert!(observed.users.is_empty() && observed.groups.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_behaves() {
    let served = Served::plain().await;
    behaves(&served.target(), &AWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scim2_server_behaves() {
    let server = tokio::task::spawn_blocking(Scim2Server::start).await.unwrap();
    let scim = server.scim();
    let token = Token::new(scim.token());
    let settings = ScimSettings { rfc_remove: true, ..settings(&scim, &token) };
    behaves(&ScimTarget::connect_with(&settings, quick()).unwrap(), &RFC).await;
}

#[tokio::test]
async fn short_and_empty_pages_lose_nobody() {
    let served = Served::paging(ScimPaging::Cursor, true).await;
    let target = served.target();
    let mut users = BTreeSet::new();
    for n in 0..120 {
        users.insert(target.create_user(&person(&format!("crowd{n}"))).await.unwrap());
    }
    let group = target.create_group(&team("Everyone"), &[]).await.unwrap();
    let everyone: Vec<TargetId> = users.iter().cloned().collect();
    for hundred in everyone.chunks(100) {
        target.add_members(&group, hundred).await.unwrap();
    }
    let seen = target.read_back(&[group.clone()].into()).await.unwrap();
    assert_eq!(seen.users.into_keys().collect::<BTreeSet<_>>(), users);
    assert_eq!(seen.groups[&group].members, Some(users));
}

#[tokio::test]
async fn the_older_form_is_never_taken_for_all() {
    let served = Served::paging(ScimPaging::Older, false).await;
    let target = served.target();
    let mut ids = BTreeSet::new();
    for n in 0..60 {
        ids.insert(target.create_user(&person(&format!("crowd{n}"))).await.unwrap());
    }
    let user_names = (0..60).map(|n| format!("crowd{n}@example.com")).collect();
    let observed = target.observe(&Wants { user_names, ..Wants::default() }).await.unwrap();
    assert_eq!(observed.users.into_keys().collect::<BTreeSet<_>>(), ids);
    let error = target.read_back(&BTreeSet::new()).await.unwrap_err();
    assert_eq!(error.code, "ListingCut");
    let lines = target.check().await;
    let listing = lines.iter().find(|l| l.name == "listing users over SCIM").unwrap();
    assert_eq!(listing.state, CheckState::Warn);
    // With fewer than a page there is nothing to miss.
    let few: Vec<TargetId> = ids.into_iter().collect();
    for user in &few[40..] {
        target.delete_user(user).await.unwrap();
    }
    assert_eq!(target.read_back(&BTreeSet::new()).await.unwrap().users.len(), 40);
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_ambiguous_and_can_be_looked_up() {
    let served = Served::faulty(&["scim:Create*:timeout-after"]).await;
    let target = served.target();
    let error = target.create_user(&person("anna")).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Ambiguous, "ConnectionLost"), "{error}");
    let (user, found) = target.find_user("anna@example.com").await.unwrap().unwrap();
    assert_eq!(found.attributes, person("anna"));
    let error = target.create_group(&team("g"), &[user]).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Ambiguous);
    assert!(target.find_group("g").await.unwrap().is_some());
    assert_eq!(served.users(), 1);
    // Once more would be a conflict: a clear one, of the name that is taken.
    let served = Served::faulty(&["scim:CreateUser:internal-after@1"]).await;
    let target = served.target();
    assert_eq!(target.create_user(&person("anna")).await.unwrap_err().kind, TargetErrorKind::Ambiguous);
    assert_eq!(target.create_user(&person("anna")).await.unwrap_err().kind, TargetErrorKind::Conflict);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_done_again() {
    let served = Served::faulty(&["scim:Patch*:timeout-after@1", "scim:Delete*:internal-after@1"]).await;
    let target = served.target();
    let user = target.create_user(&person("anna")).await.unwrap();
    let group = target.create_group(&team("g"), &[]).await.unwrap();
    target.add_members(&group, std::slice::from_ref(&user)).await.unwrap();
    assert!(target.is_member(&group, &user).await.unwrap());
    target.delete_user(&user).await.unwrap();
    assert_eq!((served.users(), target.usage().retried), (0, 2));
}

#[tokio::test]
async fn throttling_is_waited_out() {
    let served = Served::faulty(&["scim:CreateUser:throttle@1"]).await;
    let target = served.target();
    let begun = Instant::now();
    target.create_user(&person("anna")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "Retry-After is 1");
    assert_eq!((target.usage().throttled, served.users()), (1, 1));
}

#[tokio::test]
async fn a_400_on_memberships_is_looked_up_and_access_denied_names_the_token() {
    let served = Served::faulty(&["scim:PatchGroup:validation@1", "scim:ListGroups:access-denied@1"]).await;
    let target = served.target();
    let user = target.create_user(&person("anna")).await.unwrap();
    let group = target.create_group(&team("g"), std::slice::from_ref(&user)).await.unwrap();
    let error = target.remove_members(&group, std::slice::from_ref(&user)).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::InPart, "{error}");
    let error = target.is_member(&group, &user).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::AccessDenied);
    assert!(error.message.contains(&served.token.path().display().to_string()), "{error}");
    assert!(target.is_member(&group, &user).await.unwrap());
}

#[tokio::test]
async fn a_wrong_token_fails_the_check_and_a_new_one_mends_it() {
    let served = Served::plain().await;
    let target = served.target();
    std::fs::write(served.token.path(), "wrong").unwrap();
    let lines = target.check().await;
    assert_eq!(lines.iter().map(|l| l.state).collect::<Vec<_>>(), [CheckState::Fail]);
    assert!(lines[0].remedy.as_deref().unwrap().contains("Automatic provisioning"));
    std::fs::write(served.token.path(), sandbox::scim::DEFAULT_SCIM_TOKEN).unwrap();
    assert!(target.check().await.iter().all(|l| l.state == CheckState::Ok));
    // Another tenant is nobody's loss.
    let mut elsewhere = served.settings();
    elsewhere.url = elsewhere.url.replace("/tenant/", "/other/");
    let elsewhere = ScimTarget::connect_with(&elsewhere, quick()).unwrap();
    let wants = Wants { users: [nobody()].into(), ..Wants::default() };
    assert_eq!(elsewhere.observe(&wants).await.unwrap_err().kind, TargetErrorKind::AccessDenied);
}

/// The API of a sandbox, with the SCIM endpoint of the same or of another one beside it.
async fn beside(api: &Served, scim: &Served) -> Arc<dyn Target> {
    let settings = IdentityStoreSettings {
        identity_store_id: None,
        region: Some("eu-west-1".to_owned()),
        endpoint_url: Some(api.endpoint.clone()),
        requests_per_second: 5_000,
        scim: Some(scim.settings()),
    };
    connect(&TargetSettings::IdentityStore(settings), Access::ReadWrite, Gate::Open).await.unwrap()
}

#[tokio::test]
async fn the_api_disables_over_scim() {
    let served = Served::plain().await;
    let target = beside(&served, &served).await;
    assert!(target.capabilities().disables && !target.capabilities().writes_external_id);
    assert!(target.clock_ahead().is_none());
    let mut anna = person("anna");
    anna.remove(&A::ExternalId);
    let user = target.create_user(&anna).await.unwrap();
    assert!(target.clock_ahead().unwrap().abs() <= 2);
    for active in [false, true] {
        target.set_active(&user, active).await.unwrap();
        // As the API shows it.
        let (_, found) = target.find_user("anna@example.com").await.unwrap().unwrap();
        assert_eq!((found.disabled, found.attributes), (!active, anna.clone()));
    }
    let lines = target.check().await;
    // The sandbox knows no Organizations: those lines cannot be told.
    assert!(lines.iter().all(|l| matches!(l.state, CheckState::Ok | CheckState::Unknown)), "{lines:?}");
    assert!(lines.iter().any(|l| l.name == "SCIM and API" && l.state == CheckState::Ok));
    let missing = target.set_active(&nobody(), false).await.unwrap_err();
    assert_eq!(missing.kind, TargetErrorKind::NotFound(Some(Kind::User)));
}

#[tokio::test]
async fn the_scim_endpoint_of_another_store_disables_nobody() {
    let (one, other) = (Served::plain().await, Served::plain().await);
    // The same ids there, of other people.
    let target = beside(&one, &other).await;
    let mut anna = person("anna");
    anna.remove(&A::ExternalId);
    let user = target.create_user(&anna).await.unwrap();
    other.target().create_user(&person("bert")).await.unwrap();
    let error = target.set_active(&user, false).await.unwrap_err();
    assert_eq!((error.kind, error.code.as_str()), (TargetErrorKind::Validation, "IdsDiffer"), "{error}");
    assert!(error.message.contains("another identity store"), "{error}");
    for name in ["anna", "bert"] {
        let target = if name == "anna" { one.target() } else { other.target() };
        assert!(!target.find_user(&format!("{name}@example.com")).await.unwrap().unwrap().1.disabled);
    }
    let lines = target.check().await;
    let failed: Vec<_> = lines.iter().filter(|l| l.state == CheckState::Fail).collect();
    assert_eq!(failed.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["SCIM and API"]);
    assert_eq!(target.usage().throttled, 0);
}
