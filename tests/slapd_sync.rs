//! A company in a real OpenLDAP, anchored by entryUUID and read over StartTLS, with the state in SQLite and in
//! PostgreSQL: the target ends as an independent reading of the directory says, and what was not read is not lost.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use idcsync::ids::Dn;
use serde_json::Value;
use support::company::chance::Chance;
use support::company::{ADMINS, CONTAINER, Company, EVERYONE, RING};
use support::contents::Contents;
use support::idcsync::{Idcsync, Sandbox};
use support::ldap;
use support::oracle::{Kind, Question, parse};
use support::postgres::Postgres;
use support::slapd::{Options, Slapd};

const SQLITE: &str = "[state]\nurl = \"sqlite:state.db\"\n";
const DOMAIN: &str = "corp.example.com";

/// A company in slapd, a sandbox, and idcsync between them.
struct Bench {
    company: Company,
    slapd: Slapd,
    sandbox: Sandbox,
    idcsync: Idcsync,
    state: String,
}

impl Bench {
    fn new(company: Company, options: &Options, state: &str) -> Self {
        let slapd = Slapd::start_with(&company, options);
        let sandbox = Sandbox::start();
        let idcsync = Idcsync::new("");
        idcsync.write("password", slapd.password());
        let bench = Self { company, slapd, sandbox, idcsync, state: state.to_owned() };
        bench.bind_as(&bench.slapd.reader_dn());
        bench
    }

    /// Configures who idcsync is for the directory.
    fn bind_as(&self, dn: &str) {
        self.idcsync.configure(&format!(
            "profile = \"corp\"\n\n[directory]\nkind = \"ldap\"\nurls = [\"{}\"]\nbase-dn = \"{}\"\n\
             bind = {{ dn = \"{dn}\", password-file = \"password\" }}\n\
             tls = {{ starttls = true, ca-file = \"{}\" }}\npage-size = 500\ntimeout = \"5s\"\n\n\
             [scope]\ngroups = [{{ group = \"{CONTAINER}\", write = false }}, \"{ADMINS}\", \"AWS-Contractors\"]\n\n\
             {}\n{}",
            self.slapd.ldap_url(),
            self.slapd.base_dn(),
            self.slapd.ca_file().display(),
            self.sandbox.target(),
            self.state,
        ));
    }

    /// What the target ought to hold as the directory is now.
    fn expected(&self) -> Contents {
        Question::new(Kind::Ldap, self.company.scope()).answer(&self.slapd.dump())
    }

    #[track_caller]
    fn assert_target_is_as_expected(&self) {
        self.expected().assert_same(&self.sandbox.store().contents());
    }

    /// One that changes nothing, and asks the target nothing.
    #[track_caller]
    fn assert_settled(&self) {
        self.sandbox.assert_settled(&self.idcsync);
    }

    /// The DN of the person with this address.
    fn person(&self, mail: &str) -> String {
        self.slapd.admin().dn_of(self.slapd.base_dn(), &format!("(mail={mail})"))
    }

    fn group(&self, name: &str) -> String {
        self.slapd.admin().dn_of(self.slapd.base_dn(), &format!("(cn={name})"))
    }

    /// Gives an entry another name and place, in the groups that it is a member of too. (slapd leaves that to an
    /// overlay.)
    fn rename(&self, dn: &str, rdn: &str, parent: &str) {
        let filter = format!("(member={})", escaped(dn));
        let found = self.slapd.admin().search(&["-b", self.slapd.base_dn(), &filter, "1.1"]);
        let moved = format!("{rdn},{parent}");
        let mut change = ldap::move_entry(dn, rdn, Some(parent));
        for group in parse(&found) {
            change += &ldap::change_member(&group.dn, "delete", dn);
            change += &ldap::change_member(&group.dn, "add", &moved);
        }
        self.slapd.admin().modify(&change);
    }

    /// Ids in the target by user name.
    fn user_ids(&self) -> BTreeMap<String, String> {
        let text = |user: &Value, key: &str| user[key].as_str().expect("text").to_owned();
        let users = self.sandbox.store().users();
        users.iter().map(|user| (text(user, "UserName"), text(user, "UserId"))).collect()
    }
}

/// Kind, base DN and groups come from the server; what is wrong is said, and nothing is written then.
#[test]
fn a_first_config_from_a_server() {
    let slapd = Slapd::start(&Company::new(60, 12));
    let idcsync = Idcsync::new("");
    std::fs::remove_file(idcsync.path("idcsync.toml")).unwrap();
    idcsync.write("password", slapd.password());
    idcsync.write("wrong", "no such password");
    let (reader, ca) = (slapd.reader_dn(), slapd.ca_file().display().to_string());
    let init = |url: &str, more: &[&str]| {
        let flags = ["init", "--directory-url", url, "--bind-dn", &reader, "--ca-file", &ca];
        idcsync.run(&[&flags[..], more].concat())
    };
    let (tls, plain) = (slapd.ldaps_url(), slapd.ldap_url());
    let before = idcsync.files();
    init(&tls, &["--password-file", "wrong", "--group", ADMINS]).exits(6).complains("refused the bind");
    init(&tls, &["--password-file", "password"])
        .exits(2)
        .complains("--group is missing; the directory has")
        .complains(ADMINS);
    init(&tls, &["--password-file", "password", "--group", "Nope"])
        .exits(2)
        .complains("no group of the directory is called Nope");
    let flags = [
        "init",
        "--directory-url",
        &tls,
        "--bind-dn",
        &reader,
        "--password-file",
        "password",
        "--group",
        ADMINS,
    ];
    idcsync.run(&flags).exits(6).complains("TLS failed");
    assert!(idcsync.files() == before, "nothing was written");

    // A password that is typed stays where a config comes of it, and only there.
    let typed = |group: &str, answers: &str| {
        let program = env!("CARGO_BIN_EXE_idcsync");
        let flags = format!("--directory-url {tls} --bind-dn '{reader}' --ca-file '{ca}' --group '{group}'");
        let mut script = std::process::Command::new("script");
        script.current_dir(idcsync.path("")).args(["-qec", &format!("{program} init {flags}"), "/dev/null"]);
        script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().expect("script, of bsdutils");
        let answers = format!("{}\n{answers}", slapd.password());
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), answers.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    for (group, answers, code, said) in [
        ("Nope", "\n", 2, "no group of the directory is called Nope"),
        (ADMINS, "\u{4}", 2, "the answers ended: nothing was written"),
        (ADMINS, "\nn\n", 0, "Nothing was written."),
    ] {
        let (ended, text) = typed(group, answers);
        assert!(ended == Some(code) && text.contains(said), "{said} {ended:?} {text}");
        assert!(
            text.contains("The password is in idcsync.toml.password") && idcsync.files() == before,
            "{text}"
        );
    }
    let (ended, text) = typed(ADMINS, "\ny\n");
    assert!(ended == Some(0) && idcsync.path("idcsync.toml").exists(), "{ended:?} {text}");
    std::fs::remove_file(idcsync.path("idcsync.toml")).unwrap();
    let (ended, text) = typed(ADMINS, "");
    assert!(ended == Some(2) && text.contains("idcsync.toml.password exists"), "{ended:?} {text}");
    assert!(!text.contains("Its password"), "{text}");
    std::fs::remove_file(idcsync.path("idcsync.toml.password")).unwrap();

    // StartTLS, without being told.
    init(&plain, &["--password-file", "password", "--group", ADMINS])
        .exits(0)
        .complains("and bound")
        .complains("it is an LDAP directory")
        .says("Dry run of profile corp-rehearsal: ");
    let config = std::fs::read_to_string(idcsync.path("idcsync.toml")).unwrap();
    assert!(config.contains("starttls = true") && config.contains("kind = \"ldap\""), "{config}");
    assert!(
        config.contains(&format!("base-dn = \"{}\"", slapd.base_dn())) && !config.contains(slapd.password())
    );
    idcsync.run(&["check"]).exits(0);
    idcsync.run(&["sync"]).exits(0);
    idcsync
        .run(&["scope", "add", "group", "AWS-Contractors", "--yes"])
        .exits(0)
        .says("comes into scope: AWS-Contractors@corp.example.com");
    idcsync.run(&["scope", "list"]).exits(0).says("✓ group AWS-Contractors: ");
    idcsync.run(&["sync"]).exits(0);
    idcsync.run(&["scope", "import"]).exits(0).says("in the scope already; ");
}

/// A DN as the value of a search filter (RFC 4515).
fn escaped(dn: &str) -> String {
    dn.chars()
        .map(|letter| match letter {
            '\\' | '*' | '(' | ')' => format!("\\{:02x}", u32::from(letter)),
            other => other.to_string(),
        })
        .collect()
}

/// People who are synced whatever becomes of the ring, and are made direct members of one of its groups here: their
/// user names.
fn join_the_ring<const N: usize>(bench: &Bench) -> [String; N] {
    let entries = parse(&bench.slapd.dump());
    let members = |group: &str| {
        let entry = entries.iter().find(|e| e.text("cn") == Some(group)).expect("a group");
        entry.texts("member").map(str::to_lowercase).collect::<BTreeSet<_>>()
    };
    let (everyone, ring) =
        (members(EVERYONE), RING.iter().flat_map(|ring| members(ring)).collect::<BTreeSet<_>>());
    let suitable = entries.iter().filter(|entry| {
        let dn = entry.dn.to_lowercase();
        let complete = ["givenname", "sn", "mail"].iter().all(|name| entry.text(name).is_some());
        complete && everyone.contains(&dn) && !ring.contains(&dn)
    });
    let group = bench.group(RING[2]);
    let names = suitable.take(N).map(|person| {
        bench.slapd.admin().add_member(&group, &person.dn);
        person.text("mail").expect("an address").to_owned()
    });
    names.collect::<Vec<_>>().try_into().expect("enough people")
}

#[test]
fn the_company_arrives_and_is_kept_in_step_with_sqlite() {
    // Two thousand people of whom most are in few groups: each membership is a request.
    let company = Company { memberships: 600, large_group: 1_600, ..Company::new(2_000, 40) };
    the_company_arrives_and_is_kept_in_step(company, SQLITE, |home| assert!(home.join("state.db").exists()));
}

#[test]
fn the_company_arrives_and_is_kept_in_step_with_postgresql() {
    let postgres = Postgres::start();
    let (scheme, rest) = postgres.url().split_once("://").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (login, place) = rest.split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let secret = support::dirs::private();
    let file = secret.path().join("password");
    std::fs::write(&file, password).unwrap();
    let state =
        format!("[state]\nurl = \"{scheme}://{user}@{place}\"\npassword-file = \"{}\"\n", file.display());
    the_company_arrives_and_is_kept_in_step(Company::new(300, 40), &state, |home| {
        assert!(!home.join("state.db").exists());
        assert_ne!(postgres.psql("select count(*) from links").trim(), "0");
    });
}

fn the_company_arrives_and_is_kept_in_step(company: Company, state: &str, state_is_there: impl Fn(&Path)) {
    let bench = Bench::new(company, &Options::default(), state);
    let idcsync = &bench.idcsync;
    let admin = bench.slapd.admin();
    let [first, second, third, mover, leaver] = &join_the_ring(&bench);
    idcsync.run(&["sync", "-q"]).exits(0);
    bench.assert_target_is_as_expected();
    bench.assert_settled();
    state_is_there(&idcsync.path(""));
    let before = bench.expected();
    assert!(before.users.len() > bench.company.people * 3 / 4, "{}", before.users.len());

    // Two people swap their addresses, and so their user names: held, since nobody has seen this store accept a
    // changed one.
    let (first_dn, second_dn) = (bench.person(first), bench.person(second));
    admin.modify(
        &(ldap::replace(&first_dn, "mail", &[second]) + &ldap::replace(&second_dn, "mail", &[first])),
    );
    let ids = bench.user_ids();
    let (_, requests) = bench
        .sandbox
        .requests_of(|| idcsync.run(&["sync"]).exits(4).says("a swap of userNames").says("idcsync approve"));
    assert!(!requests.iter().any(support::idcsync::is_write), "{requests:?}");

    // Somebody else's change of address shows that it does.
    admin.replace(&bench.person(third), "mail", &["changed@mail.corp.example.com"]);
    idcsync.run(&["sync"]).exits(4).says("\"changed@mail.corp.example.com\"");
    idcsync.run(&["sync"]).exits(0).says("parked");
    bench.assert_target_is_as_expected();
    let now = bench.user_ids();
    assert_eq!((&now[first], &now[second]), (&ids[second], &ids[first]), "each is who they were");
    assert_eq!(now["changed@mail.corp.example.com"], ids[third]);
    bench.assert_settled();

    // A new name and another place are nothing that the target knows of.
    let fourth = bench.person(mover);
    bench.rename(&fourth, "cn=Näu\\, Nëw", &format!("OU=Groups,{}", bench.slapd.base_dn()));
    bench.assert_settled();
    bench.assert_target_is_as_expected();

    // A new group with new people below two others; somebody leaves the ring; a display name goes.
    let people = format!("OU=Groups,{}", bench.slapd.base_dn());
    for (uid, name) in [("new1", "Ñew, One"), ("new2", "New \"Two\"")] {
        admin.create(
            &format!("uid={uid},{people}"),
            &[
                ("objectClass", "inetOrgPerson"),
                ("cn", name),
                ("sn", "Person"),
                ("givenName", "New"),
                ("mail", &format!("{uid}@mail.corp.example.com")),
            ],
        );
    }
    let team = format!("cn=Brand New Team,{people}");
    let member = format!("uid=new1,{people}");
    admin.create(&team, &[("objectClass", "groupOfNames"), ("cn", "Brand New Team"), ("member", &member)]);
    admin.add_member(&team, &format!("uid=new2,{people}"));
    admin.add_member(&bench.group(RING[1]), &team);
    admin.add_member(&bench.group(ADMINS), &team);
    admin.remove_member(&bench.group(RING[2]), &bench.person(leaver));
    let plan = idcsync.run_json(&["sync", "--dry-run", "--detailed-exitcode"]).exits(8).json();
    let applied = idcsync.run_json(&["sync"]).exits(0).json();
    assert_eq!(plan["steps"], applied["plan"]["steps"]);
    bench.assert_target_is_as_expected();
    let there = bench.sandbox.store().contents();
    for group in [RING[0], RING[1], RING[2], ADMINS, "Brand New Team"] {
        assert!(
            there.members[&format!("{group}@{DOMAIN}")].contains("new2@mail.corp.example.com"),
            "{group}"
        );
    }

    // No longer below the ring, still below the other one.
    admin.remove_member(&bench.group(RING[1]), &team);
    idcsync.run(&["sync"]).exits(0).says("- member new1@mail.corp.example.com");
    bench.assert_target_is_as_expected();
    bench.assert_settled();
}

#[test]
fn a_reader_with_limits_takes_nothing_away_and_adds_what_it_sees() {
    let options = Options { sizelimit: 60, ..Options::default() };
    let bench = Bench::new(Company::new(150, 30), &options, SQLITE);
    let [leaver] = &join_the_ring(&bench);
    bench.idcsync.run(&["sync", "-q"]).exits(0);
    bench.assert_target_is_as_expected();

    let admin = bench.slapd.admin();
    let before = bench.sandbox.store().contents();
    admin.remove_member(&bench.group(RING[2]), &bench.person(leaver));
    let person = format!("uid=joiner,OU=Groups,{}", bench.slapd.base_dn());
    admin.create(
        &person,
        &[
            ("objectClass", "inetOrgPerson"),
            ("cn", "Joiner"),
            ("sn", "Joiner"),
            ("givenName", "Jo"),
            ("mail", "joiner@mail.corp.example.com"),
        ],
    );
    admin.add_member(&bench.group(ADMINS), &person);

    bench.bind_as(&bench.slapd.limited_dn());
    bench
        .idcsync
        .run(&["sync"])
        .exits(6)
        .says("sizeLimitExceeded")
        .says("Not taken away, because it is not proven")
        .says("RemovalWithheld Everyone@corp.example.com")
        .complains("error: the directory was not read to its end")
        .never_says("- member")
        // Of people who were not read now, nobody can say that.
        .never_says("finding gone");
    let mut expected = before.clone();
    let joiner = "joiner@mail.corp.example.com";
    expected.users.insert(joiner.to_owned());
    expected.members.get_mut(&format!("{ADMINS}@{DOMAIN}")).expect("a group").insert(joiner.to_owned());
    expected.assert_same(&bench.sandbox.store().contents());
    let status = bench.idcsync.run(&["status"]).exits(0).says("GroupReadIncomplete Everyone");
    assert!(!status.stdout.contains("Out of scope"), "{}", status.report());
    // No more is done by trying again.
    bench.idcsync.run(&["sync"]).exits(6).says("Nothing to do, as far as the directory could be read.");
    expected.assert_same(&bench.sandbox.store().contents());
    bench.idcsync.run(&["check"]).exits(6).says("✗ size limit: after ").says("sizeLimitExceeded");

    bench.bind_as(&bench.slapd.reader_dn());
    bench
        .idcsync
        .run(&["check"])
        .exits(0)
        .says("✓ size limit: none met: ")
        .says("✓ reads of changes: ")
        .says("✓ people: entryUUID readable of ");
    bench.idcsync.run(&["sync"]).exits(0).says(&format!("- member {leaver}"));
    bench.assert_target_is_as_expected();
    bench.idcsync.run(&["status"]).exits(0).never_says("GroupReadIncomplete").never_says("RemovalWithheld");
}

#[test]
fn a_directory_that_dies_in_the_middle_costs_nobody_anything() {
    let mut bench = Bench::new(Company::new(150, 30), &Options::default(), SQLITE);
    bench.idcsync.run(&["sync", "-q"]).exits(0);
    let before = bench.sandbox.store().contents();
    let status = bench.idcsync.run_json(&["status"]).exits(0).json();

    // It goes silent, and then dies under the reader.
    bench.slapd.server().signal("STOP");
    let mut command = bench.idcsync.command(&["sync"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("start idcsync");
    std::thread::sleep(Duration::from_millis(700));
    bench.slapd.kill();
    let output = child.wait_with_output().expect("idcsync ends");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(6), "{stderr}");
    let said = "error: the directory could not be read: no directory server could be used: ldap://127.";
    assert!(stderr.contains(said), "{stderr}");

    // It is gone.
    let (_, requests) = bench.sandbox.requests_of(|| {
        bench.idcsync.run(&["sync"]).exits(6).complains(said).complains("Connection refused")
    });
    assert!(requests.is_empty(), "{requests:?}");
    bench.idcsync.run(&["sync", "--dry-run"]).exits(6).complains(said);
    bench.idcsync.run(&["check"]).exits(6).says("Connection refused").says("✓ identity store");
    let after = bench.idcsync.run_json(&["status"]).exits(0).json();
    for count in ["linkedUsers", "linkedGroups", "memberships", "outOfScope"] {
        assert_eq!(after[count], status[count], "{count}");
    }
    assert!(after["findings"].to_string().contains("DirectoryUnavailable"), "{after:#}");
    before.assert_same(&bench.sandbox.store().contents());

    bench.slapd.restart();
    bench.assert_settled();
    let findings = bench.idcsync.run_json(&["status"]).json()["findings"].to_string();
    assert!(!findings.contains("DirectoryUnavailable"), "{findings}");
}

/// A cycle that finds nothing to do is one that the next may rest on, until anything is otherwise that counts.
#[test]
fn a_cycle_rests_on_the_one_before_while_nothing_has_changed_that_counts() {
    let options = Options { syncprov: true, ..Options::default() };
    let state = format!("{SQLITE}[schedule]\nfull-read-every = \"7d\"\ndrift-check = \"7d\"\n");
    let bench = Bench::new(Company::new(60, 15), &options, &state);
    let last = || bench.idcsync.run_json(&["status"]).exits(0).json()["lastCycle"]["counts"].clone();
    let cycle = |more: &[&str]| {
        let ran = bench.idcsync.run(&[&["sync"], more].concat()).exits(0);
        let counts = last();
        (ran, counts["rested"].as_bool().expect("whether it rested"), counts)
    };
    let rests = |shift: &str| {
        bench.idcsync.run_at(shift, &["sync"]).exits(0);
        last()["rested"] == true
    };
    // The first ones have something to do, or to note.
    while !cycle(&[]).1 {
        let id = bench.idcsync.run_json(&["status"]).exits(0).json()["lastCycle"]["cycle"].as_i64();
        assert!(id < Some(6), "no cycle rests");
    }
    bench.assert_target_is_as_expected();
    let before = bench.idcsync.run_json(&["status"]).exits(0).json();
    let (ran, _, counts) = cycle(&[]);
    ran.says("Nothing to do: the target is as the directory has it.");
    assert_eq!(
        (&counts["rested"], &counts["planned"], &counts["directoryChanges"]),
        (&true.into(), &0.into(), &0.into())
    );
    assert!(counts["directoryRequests"].as_u64() < Some(12), "{counts}");
    // What stands goes on standing.
    let after = bench.idcsync.run_json(&["status"]).exits(0).json();
    assert_eq!(before["findings"], after["findings"]);
    assert_ne!(before["findings"], serde_json::json!([]));
    bench.idcsync.run(&["sync", "--strict"]).exits(3);

    // What nobody asks for does not count; and the log is not read over again.
    let admins = parse(&bench.slapd.dump());
    let group = admins.iter().find(|e| e.text("cn") == Some(ADMINS)).expect("the group");
    let person = group.texts("member").next().expect("a member").to_owned();
    bench.slapd.admin().replace(&person, "title", &["Chief"]);
    let (_, rested, counts) = cycle(&[]);
    assert!(rested && counts["directoryChanges"] == 1, "{counts}");
    assert_eq!(cycle(&[]).2["directoryChanges"], 0);

    // A person who is wanted, whatever else is asked of the cycle.
    let (_, rested, _) = cycle(&["--full"]);
    assert!(!rested && cycle(&[]).1, "the next one rests on it");
    bench.slapd.admin().replace(&person, "displayName", &["Somebody Else"]);
    let (ran, rested, counts) = cycle(&[]);
    ran.says("Somebody Else");
    assert!(!rested && counts["part"] == true && cycle(&[]).1, "{counts}");

    // Somebody who has left: looked up each time, and told of in good time.
    bench.slapd.admin().remove_member(&group.dn, &person);
    for dn in parse(&bench.slapd.dump()).iter().filter(|e| e.texts("member").any(|m| m == person)) {
        bench.slapd.admin().remove_member(&dn.dn, &person);
    }
    let (ran, rested, counts) = cycle(&[]);
    ran.says("memberships to remove");
    assert!(!rested && counts["part"] == true && cycle(&[]).1, "{counts}");
    assert!(!rests("14d") && rests("14d"), "14 days before the end it is said");
    assert!(!rests("28d 1h"), "and at the end they are out");
    let ids = bench.user_ids();
    bench.idcsync.run_at("28d 1h", &["sync"]).exits(0);
    bench.idcsync.run_at("28d 1h", &["sync"]).exits(0);
    assert!(rests("28d 1h"), "they go on being looked up");
    bench.slapd.admin().delete(&person);
    assert!(!rests("28d 1h"), "which is how it shows that they are gone for good");
    assert_eq!(ids, bench.user_ids());

    // Another config, a hand in the state database, a clock that was set back: each time all is looked at.
    for _ in 0..2 {
        bench.idcsync.run_at("28d 1h", &["sync"]).exits(0);
    }
    assert!(rests("28d 1h"));
    let config = std::fs::read_to_string(bench.idcsync.path("idcsync.toml")).unwrap();
    let filter = "[scope]\nuser-filter = \"(!(title=Chief))\"";
    bench.idcsync.configure(&config.replace("[scope]", filter));
    assert!(!rests("28d 1h"));
}

/// After a cycle that found nothing to do, changes of people and of memberships lead to the plan that a look at everything
/// leads to, which is what a dry run has; and the next change is met in the same way.
#[test]
fn plain_changes_are_planned_by_what_they_touch() {
    let options = Options { syncprov: true, ..Options::default() };
    let state = format!("{SQLITE}[schedule]\nfull-read-every = \"7d\"\ndrift-check = \"7d\"\n");
    let bench = Bench::new(Company::new(80, 20), &options, &state);
    for _ in 0..3 {
        bench.idcsync.run(&["sync"]).exits(0);
    }
    let counts = || bench.idcsync.run_json(&["status"]).exits(0).json()["lastCycle"]["counts"].clone();
    assert_eq!(counts()["planned"], 0);
    let mut chance = Chance::of(17);
    let (mut parts, rounds) = (0, 24);
    for round in 0..rounds {
        let entries = parse(&bench.slapd.dump());
        let mut groups: Vec<(&str, BTreeSet<&str>)> =
            entries.iter().map(|e| (e.dn.as_str(), e.texts("member").collect())).collect();
        groups.retain(|(_, members)| members.len() > 3);
        let people: Vec<&str> =
            entries.iter().filter(|e| e.text("mail").is_some()).map(|e| e.dn.as_str()).collect();
        let admin = bench.slapd.admin();
        for _ in 0..=chance.below(3) {
            let at = chance.below(groups.len());
            let (group, members) = &mut groups[at];
            let person = people[chance.below(people.len())];
            let leaver = members.iter().copied().find(|member| people.contains(member));
            match chance.below(4) {
                0 if !members.iter().any(|member| Dn::parse(member) == Dn::parse(person)) => {
                    members.insert(person);
                    admin.add_member(group, person);
                }
                1 | 2 if members.len() > 2 && leaver.is_some_and(|leaver| members.remove(leaver)) => {
                    admin.remove_member(group, leaver.expect("somebody who leaves"));
                }
                _ => admin.replace(person, "displayName", &[&format!("Called {round}")]),
            }
        }
        let dry = bench.idcsync.run_json(&["sync", "--dry-run"]).json();
        let ran = bench.idcsync.run_json(&["sync"]).exits(0);
        assert_eq!(dry["steps"], ran.json()["plan"]["steps"], "{}", ran.report());
        assert_eq!(dry["findings"], ran.json()["plan"]["findings"]);
        let counts = counts();
        parts += u32::from(counts["part"] == true);
        bench.assert_target_is_as_expected();
        if counts["part"] != true {
            bench.assert_settled();
        }
    }
    assert!(parts * 2 > rounds, "{parts} of {rounds} looked at a part");
    let full = bench.idcsync.run_json(&["sync", "--full"]).exits(0);
    assert_eq!(counts()["planned"], 0, "{}", full.report());
}
