//! Changes made in a real Active Directory domain (Samba) arrive in the target as the contract says: each is planned
//! (a dry run), carried out, and compared with the plan and with an independent reading of the directory.
#![allow(clippy::expect_used, reason = "this is test code, where a panic is the report")]

mod support;

use serde_json::Value;
use support::company::ScopeGroup;
use support::forecast::Target;
use support::idcsync::{Idcsync, Run, Sandbox};
use support::ldap::Client;
use support::oracle::{Kind, Question};
use support::samba::{Samba, content};

const DOMAIN: &str = "corp.example.com";
const BASE: &str = "DC=corp,DC=example,DC=com";

/// A domain with a few people and groups, a sandbox that is in step with it, and idcsync between them.
struct Bench {
    samba: Samba,
    sandbox: Sandbox,
    idcsync: Idcsync,
    question: Question,
}

/// A plan and what the target was before it.
struct Planned {
    dry: Value,
    before: Target,
}

fn person(account: &str, given: &str, sur: &str) -> String {
    format!(
        "dn: CN={given} {sur},OU=Staff\\, Zürich,{BASE}\nobjectClass: user\nsAMAccountName: s-{account}\n\
         userAccountControl: 512\nuserPrincipalName: {account}@{DOMAIN}\ngivenName: {given}\nsn: {sur}\n\
         displayName: {given} {sur}\ninitials: Q\nmail: {account}@mail.example.com\n\n"
    )
}

fn group(name: &str, kind: &str) -> String {
    format!(
        "dn: CN={name},OU=Groups,{BASE}\nobjectClass: group\nsAMAccountName: {name}\ngroupType: {kind}\n\
         description: about {name}\n\n"
    )
}

fn members(group: &str, members: &[&str]) -> String {
    content::members(&group_dn(group), members)
}

fn user_dn(name: &str) -> String {
    format!("CN={name},OU=Staff\\, Zürich,{BASE}")
}

fn group_dn(name: &str) -> String {
    format!("CN={name},OU=Groups,{BASE}")
}

fn mail(account: &str) -> String {
    format!("{account}@mail.example.com")
}

fn upn(account: &str) -> String {
    format!("{account}@{DOMAIN}")
}

const UNIVERSAL: &str = "-2147483640";
const DISTRIBUTION: &str = "8";

const PEOPLE: [(&str, &str, &str); 10] = [
    ("ada", "Ada", "Ångström"),
    ("bo", "Bo", "Berg"),
    ("cleo", "Cléo", "Çelik"),
    ("dan", "Dan", "D'Angelo"),
    ("eve", "Eve", "Eriksson"),
    ("fay", "Fay", "Fox"),
    ("gus", "Gus", "Grün"),
    ("hal", "Hal", "Hübner"),
    ("ivy", "Ivy", "Iglesias"),
    ("joe", "Joe", "Jensen"),
];

/// Team ⊃ Inner ⊃ Deep, Team ⊃ List (a distribution list, whose only member is nobody else's); Ops; Desk, which is not
/// in the scope.
fn content() -> String {
    let mut ldif = String::new();
    for unit in ["Staff\\, Zürich", "Élsewhere", "Groups"] {
        let name = unit.replace('\\', "");
        ldif += &format!("dn: OU={unit},{BASE}\nobjectClass: organizationalUnit\nou: {name}\n\n");
    }
    for (account, given, sur) in PEOPLE {
        ldif += &person(account, given, sur);
    }
    ldif += &person("lee", "Lee", "Listed");
    ldif += &person("ned", "Ned", "Newman");
    ldif += &format!(
        "dn: CN=PC1,{BASE}\nobjectClass: computer\nsAMAccountName: PC1$\nuserAccountControl: 4096\n\n"
    );
    for (name, kind) in [
        ("Team", UNIVERSAL),
        ("Inner", UNIVERSAL),
        ("Deep", UNIVERSAL),
        ("Ops", UNIVERSAL),
        ("Desk", UNIVERSAL),
    ] {
        ldif += &group(name, kind);
    }
    ldif += &group("List", DISTRIBUTION);
    let dn: Vec<String> = PEOPLE.iter().map(|(_, given, sur)| user_dn(&format!("{given} {sur}"))).collect();
    let dn: Vec<&str> = dn.iter().map(String::as_str).collect();
    let (inner, deep, list, lee, pc, ned) = (
        group_dn("Inner"),
        group_dn("Deep"),
        group_dn("List"),
        user_dn("Lee Listed"),
        format!("CN=PC1,{BASE}"),
        user_dn("Ned Newman"),
    );
    ldif += &members("Team", &[dn[0], dn[1], &inner, &list, &pc]);
    ldif += &members("Inner", &[dn[2], dn[3], &deep]);
    ldif += &members("Deep", &[dn[4], dn[5], dn[0]]);
    ldif += &members("Ops", &[dn[6], dn[7], dn[8], dn[9], dn[0]]);
    ldif += &members("Desk", &[&ned]);
    ldif += &members("List", &[&lee]);
    ldif
}

impl Bench {
    fn new() -> Self {
        Self::with("")
    }

    /// One that asks for changes alone, and looks at what they touch alone where they are plain. What a dry run promises
    /// comes of everything.
    fn by_changes() -> Self {
        Self::with("[schedule]\nfull-read-every = \"7d\"\ndrift-check = \"7d\"\n\n")
    }

    fn with(schedule: &str) -> Self {
        let samba = Samba::start_ldif(DOMAIN, &content());
        let sandbox = Sandbox::start();
        let config = format!(
            "profile = \"corp\"\n{}\n[scope]\ngroups = [\"Team\", \"Ops\"]\n\n{}\n[guard]\nmax-percent = 100\n\n\
             {schedule}[state]\nurl = \"sqlite:state.db\"\n",
            samba.directory(),
            sandbox.target()
        );
        let idcsync = Idcsync::new(&config);
        idcsync.write("password", samba.password());
        let question =
            Question::new(Kind::ActiveDirectory, ["Team", "Ops"].map(ScopeGroup::written).to_vec());
        let bench = Self { samba, sandbox, idcsync, question };
        bench.idcsync.run(&["sync"]).exits(0);
        bench.is_in_step();
        bench.is_done();
        bench
    }

    fn admin(&self) -> Client {
        self.samba.admin()
    }

    fn found(&self) -> Target {
        Target::read(&self.sandbox.store())
    }

    /// The target holds what the directory says, by independent means.
    #[track_caller]
    fn is_in_step(&self) {
        self.question.answer(&self.samba.dump()).assert_same(&self.sandbox.store().contents());
    }

    /// Another run has nothing to do and sends nothing.
    #[track_caller]
    fn is_done(&self) {
        self.sandbox.assert_settled(&self.idcsync);
    }

    /// What a dry run promises.
    #[track_caller]
    fn plan(&self, code: i32) -> Planned {
        let before = self.found();
        let dry = self.idcsync.run_json(&["sync", "--dry-run"]).exits(code).json();
        self.found().assert_same(&before);
        Planned { dry, before }
    }

    /// Carries it out: exactly what was promised is done.
    #[track_caller]
    fn carry_out(&self, planned: &Planned, code: i32) -> Run {
        let sync = self.idcsync.run_json(&["sync"]).exits(code);
        let done = sync.json();
        assert_eq!(planned.dry["steps"], done["plan"]["steps"], "{}", sync.report());
        planned.before.clone().after(&planned.dry).assert_same(&self.found());
        sync
    }

    /// A plan without anything held, carried out, after which target and directory agree and nothing is left to do.
    #[track_caller]
    fn follow(&self, steps: &[&str]) -> Planned {
        let planned = self.plan(0);
        planned.has(steps);
        self.carry_out(&planned, 0);
        self.is_in_step();
        self.is_done();
        planned
    }

    /// What a dry run prints.
    fn text(&self) -> String {
        self.idcsync.run(&["sync", "--dry-run"]).stdout
    }
}

impl Planned {
    /// Panics unless these are the steps, in the order of the alphabet: each as `action object [member]`.
    #[track_caller]
    fn has(&self, wanted: &[&str]) -> &Self {
        let mut found: Vec<String> = self.steps().map(line).collect();
        found.sort();
        let mut wanted = wanted.to_vec();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{:#}", self.dry);
        self
    }

    fn steps(&self) -> impl Iterator<Item = &Value> {
        self.dry["steps"].as_array().expect("steps").iter()
    }

    /// The one step by which somebody steps aside.
    #[track_caller]
    fn steps_aside(&self) -> String {
        let parked: Vec<String> = self.steps().filter(|step| step["purpose"] == "park").map(line).collect();
        assert_eq!(parked.len(), 1, "{:#}", self.dry);
        parked.into_iter().next().unwrap_or_default()
    }

    /// The step that [`Self::has`] would write so.
    #[track_caller]
    fn step(&self, wanted: &str) -> &Value {
        self.steps()
            .find(|step| line(step) == wanted)
            .unwrap_or_else(|| panic!("no {wanted:?}: {:#}", self.dry))
    }

    /// The codes of its findings about this object.
    fn findings(&self, label: &str) -> Vec<&str> {
        let all = self.dry["findings"].as_array().expect("findings").iter();
        all.filter(|f| f["subject"]["label"] == label).filter_map(|f| f["code"].as_str()).collect()
    }

    #[track_caller]
    fn message(&self, code: &str) -> &str {
        let mut all = self.dry["findings"].as_array().expect("findings").iter();
        let finding = all.find(|f| f["code"] == code);
        finding.and_then(|f| f["message"].as_str()).unwrap_or_else(|| panic!("no {code}: {:#}", self.dry))
    }
}

fn line(step: &Value) -> String {
    let of = |what: &str| {
        step[what]["label"].as_str().map(|label| format!(" {}", label.replace("@corp.example.com", "")))
    };
    let entry = step["entry"]["name"].as_str().map(|name| format!(" {name}"));
    let action = step["action"].as_str().expect("an action");
    [Some(action.to_owned()), of("object"), of("member"), entry].into_iter().flatten().collect()
}

#[test]
fn samba_changed_people_are_updated_and_stay_who_they_are() {
    let bench = Bench::by_changes();
    let admin = bench.admin();
    let before = bench.found();

    // Another name in every place, by marriage.
    let ada = user_dn("Ada Ångström");
    admin.rename(&ada, "CN=Ada Öz\\, MSc");
    let ada = user_dn("Ada Öz\\, MSc");
    for (attribute, value) in
        [("sAMAccountName", "adaoz"), ("userPrincipalName", "ada.oz@corp.example.com"), ("sn", "Öz")]
    {
        admin.replace(&ada, attribute, &[value]);
    }
    let planned = bench.follow(&["update-user ada.oz"]);
    let step = planned.step("update-user ada.oz");
    assert_eq!(step["reason"], "the directory has other values");
    assert_eq!(
        step["changes"],
        serde_json::json!([
            { "attribute": "userName", "old": upn("ada"), "new": upn("ada.oz") },
            { "attribute": "name.familyName", "old": "Ångström", "new": "Öz" },
        ])
    );
    assert_eq!(bench.found().id(&upn("ada.oz")), before.id(&upn("ada")));

    // To another OU: nothing of it is in the target.
    admin.move_to(&user_dn("Bo Berg"), &format!("OU=Élsewhere,{BASE}"));
    bench.is_done();
    bench.is_in_step();

    // Another address; and one initial less, which empties an attribute.
    admin.replace(&user_dn("Cléo Çelik"), "mail", &["Cléo@example.org"]);
    admin.replace(&user_dn("Dan D'Angelo"), "initials", &[]);
    let planned = bench.follow(&["update-user cleo", "update-user dan"]);
    assert_eq!(
        planned.step("update-user dan")["changes"],
        serde_json::json!([{ "attribute": "name.middleName", "old": "Q", "new": null }])
    );
    assert_eq!(bench.found().user(&upn("cleo"))["emails[primary].value"], "Cléo@example.org");
    assert!(!bench.found().user(&upn("dan")).contains_key("name.middleName"));
}

#[test]
fn samba_changed_groups_give_and_take_memberships_with_proof() {
    let bench = Bench::by_changes();
    let admin = bench.admin();

    // Into a nested group, and so into those above it.
    admin.add_member(&group_dn("Deep"), &user_dn("Gus Grün"));
    let planned = bench.follow(&["add-member Deep gus", "add-member Inner gus", "add-member Team gus"]);
    assert_eq!(planned.step("add-member Deep gus")["reason"], "a direct member");
    assert_eq!(planned.step("add-member Team gus")["reason"], "a member through Deep@corp.example.com");

    // Out of it again. Ada leaves it too, but is in Team by herself.
    admin.remove_member(&group_dn("Deep"), &user_dn("Gus Grün"));
    admin.remove_member(&group_dn("Deep"), &user_dn("Ada Ångström"));
    let planned = bench.follow(&[
        "remove-member Deep ada",
        "remove-member Deep gus",
        "remove-member Inner ada",
        "remove-member Inner gus",
        "remove-member Team gus",
    ]);
    for step in planned.steps() {
        assert_eq!(step["proof"], "not-a-member");
        assert_eq!(
            step["reason"],
            "no longer a member, directly or nested: every group below was read completely"
        );
    }

    // The whole nested group, by which some left the scope: they lose the memberships and stay.
    admin.remove_member(&group_dn("Inner"), &group_dn("Deep"));
    let planned = bench.plan(0);
    planned.has(&[
        "remove-member Deep eve",
        "remove-member Deep fay",
        "remove-member Inner eve",
        "remove-member Inner fay",
        "remove-member Team eve",
        "remove-member Team fay",
    ]);
    bench.carry_out(&planned, 0);
    bench.is_done();
    let found = bench.found();
    assert_eq!(found.id(&upn("eve")), planned.before.id(&upn("eve")));
    assert!(found.contents().groups.contains("Deep@corp.example.com"), "a group out of scope is frozen");
    assert_eq!(planned.findings("Deep@corp.example.com"), ["GroupOutOfScope"]);
    bench.idcsync.run(&["status"]).exits(0).says("eve@corp.example.com").says("Out of scope");

    // And back.
    admin.add_member(&group_dn("Inner"), &group_dn("Deep"));
    bench.follow(&[
        "add-member Deep eve",
        "add-member Deep fay",
        "add-member Inner eve",
        "add-member Inner fay",
        "add-member Team eve",
        "add-member Team fay",
    ]);
}

#[test]
fn samba_people_who_may_not_sign_in_or_are_not_people_are_members_of_nothing() {
    let bench = Bench::new();
    let admin = bench.admin();
    // Neither the computer nor whoever is in the distribution list came along.
    let contents = bench.found().contents();
    assert_eq!(contents.users.len(), PEOPLE.len());
    assert!(!contents.groups.contains("List@corp.example.com"));

    // Disabled: a member of nothing, and there all the same.
    admin.replace(&user_dn("Ada Ångström"), "userAccountControl", &["514"]);
    let planned = bench.plan(0);
    planned.has(&[
        "remove-member Deep ada",
        "remove-member Inner ada",
        "remove-member Ops ada",
        "remove-member Team ada",
        "revoke-user ada",
    ]);
    assert!(planned.steps().all(|step| step["reason"] == "the account was read as disabled"));
    assert_eq!(planned.findings("Ada Ångström"), ["AccountDisabled"]);
    bench.carry_out(&planned, 0);
    bench.is_done();
    assert_eq!(bench.found().id(&upn("ada")), planned.before.id(&upn("ada")));
    admin.replace(&user_dn("Ada Ångström"), "userAccountControl", &["512"]);
    bench.follow(&[
        "restore-user ada",
        "add-member Deep ada",
        "add-member Inner ada",
        "add-member Ops ada",
        "add-member Team ada",
    ]);

    // Without a surname: not created. Linked and then without one: stays as it was, memberships go on.
    admin.replace(&user_dn("Ned Newman"), "sn", &[]);
    admin.add_member(&group_dn("Ops"), &user_dn("Ned Newman"));
    admin.replace(&user_dn("Bo Berg"), "sn", &[]);
    admin.replace(&user_dn("Bo Berg"), "mail", &["other@example.org"]);
    admin.add_member(&group_dn("Ops"), &user_dn("Bo Berg"));
    let planned = bench.plan(0);
    planned.has(&["add-member Ops bo"]);
    assert_eq!(planned.findings("Ned Newman"), ["RequiredAttributeMissing"]);
    assert_eq!(planned.findings("Bo Berg"), ["RequiredAttributeMissing"]);
    bench.carry_out(&planned, 0);
    let found = bench.found();
    assert_eq!(found.user(&upn("bo"))["emails[primary].value"], mail("bo"));
    bench.is_done();
    admin.replace(&user_dn("Ned Newman"), "sn", &["Newman"]);
    admin.replace(&user_dn("Bo Berg"), "sn", &["Berg-Holm"]);
    bench.follow(&["add-member Ops ned", "create-user ned", "update-user bo"]);

    // Strict scripts want to know of findings.
    admin.replace(&user_dn("Bo Berg"), "mail", &[]);
    bench.follow(&["update-user bo"]);
    bench.idcsync.run(&["sync", "--strict"]).exits(3);
    bench.idcsync.run(&["sync"]).exits(0);
}

#[test]
fn samba_people_swap_addresses_and_names() {
    let bench = Bench::new();
    let admin = bench.admin();
    let (bo, cleo, dan) = (user_dn("Bo Berg"), user_dn("Cléo Çelik"), user_dn("Dan D'Angelo"));

    admin.replace(&bo, "mail", &[&mail("cleo")]);
    admin.replace(&cleo, "mail", &[&mail("bo")]);
    // One of the two steps aside first: which one goes by their GUIDs, which the server makes up.
    let aside = bench.plan(0).steps_aside();
    assert!(["update-user bo", "update-user cleo"].contains(&aside.as_str()), "{aside}");
    bench.follow(&["update-user bo", "update-user cleo", &aside]);

    // UPNs are unique in the domain: Cléo's goes by way of a third.
    let swap = |a: (&str, &str), b: (&str, &str)| {
        admin.replace(a.0, "userPrincipalName", &["between@corp.example.com"]);
        admin.replace(b.0, "userPrincipalName", &[&upn(a.1)]);
        admin.replace(a.0, "userPrincipalName", &[&upn(b.1)]);
    };
    swap((&bo, "bo"), (&cleo, "cleo"));
    let text = bench.text();
    let planned = bench.plan(4);
    let id = planned.dry["plan"].as_str().expect("a plan's id").to_owned();
    assert!(text.contains(&format!("Approve with: idcsync approve {id}\n")), "{text}");
    assert_eq!(planned.steps().count(), 3);
    assert!(
        planned.steps().all(|step| !step["held"].as_array().expect("holds").is_empty()),
        "{:#}",
        planned.dry
    );
    // Nothing is sent; the exit code and the text say what to do.
    let (held, requests) = bench.sandbox.requests_of(|| bench.idcsync.run(&["sync"]).exits(4));
    assert!(!requests.iter().any(support::idcsync::is_write));
    held.says("Applied: 0 done, 3 held.").says(&format!("`idcsync approve {id} --show`"));
    bench.idcsync.run(&["approve", &id, "--show"]).exits(0).says("\" → \"parked-").says("Not approved yet");
    bench.idcsync.run(&["status"]).exits(0).says(&format!("3 steps of plan {id} held since "));
    bench.idcsync.run(&["approve", "0123456789ab"]).exits(2).complains("there is no plan 0123456789ab");
    bench.idcsync.run(&["sync"]).exits(4);

    bench.idcsync.run(&["approve", &id]).exits(0).says("Approved until");
    let (before, planned) = (bench.found(), bench.plan(0));
    bench.carry_out(&planned, 0);
    bench.is_in_step();
    bench.is_done();
    assert_eq!(bench.found().id(&upn("bo")), before.id(&upn("cleo")));

    // The store has been seen to accept a changed userName: from now on nobody has to be asked.
    swap((&cleo, "bo"), (&dan, "dan"));
    let planned = bench.plan(0);
    planned.steps_aside();
    bench.carry_out(&planned, 0);
    bench.is_in_step();
    bench.is_done();
    let found = bench.found();
    assert_eq!(found.id(&upn("dan")), before.id(&upn("cleo")));
    assert_eq!(found.id(&upn("bo")), before.id(&upn("dan")));
}

#[test]
fn samba_scope_groups_are_followed_by_guid_and_a_name_on_another_group_is_not() {
    let mut bench = Bench::new();
    let admin = bench.admin();
    admin.rename(&group_dn("Ops"), "CN=Operations");
    admin.replace(&group_dn("Operations"), "sAMAccountName", &["Operations"]);
    bench.question.groups = ["Team", "Operations"].map(ScopeGroup::written).to_vec();
    let planned = bench.follow(&["update-group Operations"]);
    assert_eq!(planned.findings("Ops"), ["ScopeEntryRenamed"]);

    // The old name on another group, which already has members; and changes to both.
    admin.rename(&group_dn("Desk"), "CN=Ops");
    admin.replace(&group_dn("Ops"), "sAMAccountName", &["Ops"]);
    admin.remove_member(&group_dn("Operations"), &user_dn("Hal Hübner"));
    admin.add_member(&group_dn("Operations"), &user_dn("Bo Berg"));
    let text = bench.text();
    let planned = bench.plan(4);
    planned.has(&["rebind-entry Ops"]);
    assert_eq!(planned.findings("Ops"), ["ScopeEntryRebound"]);
    assert!(text.contains("1 step: the configured name is on another object than before\n"), "{text}");
    assert!(planned.message("ScopeEntryRebound").contains("CN=Ops,OU=Groups,"));
    let (_, requests) = bench.sandbox.requests_of(|| bench.carry_out(&planned, 4));
    assert!(!requests.iter().any(support::idcsync::is_write), "{requests:?}");

    // Approved, the entry follows the new group: the old one is out of scope, and with it those whom nothing else holds.
    let id = planned.dry["plan"].as_str().expect("a plan's id").to_owned();
    bench.idcsync.run(&["approve", &id, "--show"]).exits(0).says("rebind-entry Ops: ");
    bench.idcsync.run(&["approve", &id]).exits(0);
    let sync = bench.idcsync.run_json(&["sync"]).exits(0).complains("reading again").json();
    assert_eq!(sync["rebound"][0]["entry"]["name"], "Ops");
    let done =
        serde_json::json!({ "remove-member": 4, "create-user": 1, "create-group": 1, "add-member": 1 });
    assert_eq!(sync["counts"]["done"], done);
    let contents = bench.found().contents();
    let followed =
        Question { groups: ["Team", "Ops"].map(ScopeGroup::written).to_vec(), ..bench.question.clone() };
    let mut expected = followed.answer(&bench.samba.dump());
    // Frozen. Bo, who was added to it in the directory, is not; Hal left it there and the scope.
    expected.groups.insert("Operations@corp.example.com".to_owned());
    expected.members.insert("Operations@corp.example.com".to_owned(), [upn("ada")].into());
    expected.users.extend(["gus", "hal", "ivy", "joe"].map(upn));
    expected.assert_same(&contents);
    assert!(contents.members["Ops@corp.example.com"].iter().eq([&upn("ned")]));
    let planned = bench.plan(0);
    planned.has(&[]);
    assert_eq!(planned.findings("Operations@corp.example.com"), ["GroupOutOfScope"]);
}

#[test]
fn samba_newcomers_with_a_recycled_name_inherit_nothing() {
    let bench = Bench::new();
    let admin = bench.admin();
    let before = bench.found();
    // Not deleted in the directory for all that the program knows: a tombstone is not read yet.
    admin.delete(&user_dn("Joe Jensen"));
    admin.modify(&person("joe", "Joe", "Jensen"));
    admin.add_member(&group_dn("Team"), &user_dn("Joe Jensen"));
    let planned = bench.plan(0);
    let mut names: Vec<_> = planned.steps().map(line).collect();
    names.sort();
    assert_eq!(names, ["add-member Team joe", "create-user joe", "remove-member Ops joe", "update-user joe"]);
    let aside = planned.step("update-user joe");
    assert_eq!(aside["purpose"], "yield");
    assert_eq!(aside["reason"], "out of scope: gives its name to joe@corp.example.com");
    bench.carry_out(&planned, 0);
    bench.is_done();

    let found = bench.found();
    let contents = found.contents();
    let former = contents.users.iter().find(|name| name.starts_with("former-")).expect("the old one").clone();
    assert_eq!(found.id(&former), before.id(&upn("joe")));
    assert_ne!(found.id(&upn("joe")), before.id(&upn("joe")));
    assert!(!found.user(&former).contains_key("emails[primary].value"));
    assert_eq!(found.user(&upn("joe"))["emails[primary].value"], mail("joe"));
    // The old one is a member of nothing, and the new one of nothing but what the directory says.
    let mut expected = bench.question.answer(&bench.samba.dump());
    expected.users.insert(former);
    expected.assert_same(&contents);
    assert!(!contents.members["Ops@corp.example.com"].contains(&upn("joe")));
}
