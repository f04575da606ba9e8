//! A real Active Directory domain controller (Samba) that does not let idcsync read everything, or anything: nothing is
//! taken away on the strength of what was not read, the exit code says so, and the message says what to do.
#![allow(clippy::expect_used, reason = "this is test code, where a panic is the report")]

mod support;

use support::company::ScopeGroup;
use support::contents::Contents;
use support::idcsync::{Idcsync, Sandbox, is_write};
use support::oracle::{Kind, Question};
use support::samba::{Samba, content};

const DOMAIN: &str = "corp.example.com";
const BASE: &str = "DC=corp,DC=example,DC=com";

/// `Red` and `Blue`, each with members; `Green` with `Red` in it; half of the people are in an OU of their own.
fn content() -> String {
    let mut ldif: String = ["Here", "There", "Groups"].map(|unit| content::unit(unit, BASE)).concat();
    for number in 0..12 {
        ldif += &content::user(&person(number), number, DOMAIN);
    }
    for name in ["Red", "Blue", "Green"] {
        ldif += &content::group(&group(name), name);
    }
    ldif += &content::members(&group("Red"), (0..5).map(person));
    ldif += &content::members(&group("Blue"), (4..10).map(person));
    ldif += &content::members(&group("Green"), [group("Red"), person(10), person(11)]);
    ldif
}

fn person(number: usize) -> String {
    format!("CN=User {number},OU={},{BASE}", if number.is_multiple_of(2) { "Here" } else { "There" })
}

fn group(name: &str) -> String {
    format!("CN={name},OU=Groups,{BASE}")
}

fn upn(number: usize) -> String {
    format!("user{number}@{DOMAIN}")
}

struct Bench {
    samba: Samba,
    sandbox: Sandbox,
    idcsync: Idcsync,
}

impl Bench {
    fn new() -> Self {
        let samba = Samba::start_ldif(DOMAIN, &content());
        let bench = Self { sandbox: Sandbox::start(), idcsync: Idcsync::new(""), samba };
        bench.configure(&bench.samba.directory(), r#"["Red", "Blue", "Green"]"#);
        bench.idcsync.write("password", bench.samba.password());
        bench
    }

    fn configure(&self, directory: &str, groups: &str) {
        let target = self.sandbox.target();
        self.idcsync.configure(&format!(
            "profile = \"corp\"\n{directory}\n[scope]\ngroups = {groups}\n\n{target}\n[state]\nurl = \"sqlite:state.db\"\n[log]\nerror-log = \"errors.jsonl\"\n"
        ));
    }

    fn in_step(&self) -> Contents {
        self.idcsync.run(&["sync"]).exits(0);
        let scope = ["Red", "Blue", "Green"].map(ScopeGroup::written).to_vec();
        let expected = Question::new(Kind::ActiveDirectory, scope).answer(&self.samba.dump());
        expected.assert_same(&self.contents());
        expected
    }

    fn contents(&self) -> Contents {
        self.sandbox.store().contents()
    }
}

fn remove(contents: &mut Contents, group: &str, number: usize) {
    let members = contents.members.get_mut(&format!("{group}@{DOMAIN}")).expect("a group");
    assert!(members.remove(&upn(number)), "user{number} is not in {group}");
}

/// A deny of reading `member` (by its schemaIDGUID), and of reading anything.
const MEMBER: &str = "OD;;RP;bf9679c0-0de6-11d0-a285-00aa003049e2;";
const EVERYTHING: &str = "D;CI;LCLORPGR;;";

#[test]
fn samba_that_hides_the_members_of_a_group_costs_them_nothing() {
    let bench = Bench::new();
    let mut expected = bench.in_step();
    bench.samba.deny(&group("Red"), MEMBER);
    bench.samba.admin().remove_member(&group("Red"), &person(0));
    bench.samba.admin().remove_member(&group("Blue"), &person(9));
    for arguments in [&["sync", "--dry-run"][..], &["sync"], &["sync"]] {
        bench
            .idcsync
            .run(arguments)
            .exits(4)
            .says("10 steps are held:\n")
            .says("  10 steps: Red@corp.example.com had members and suddenly reads as having none\n")
            .says("  Approve with: idcsync approve ");
    }
    // Whoever left the group that can be read is out of it, and nobody else.
    remove(&mut expected, "Blue", 9);
    expected.assert_same(&bench.contents());
}

#[test]
fn samba_that_hides_what_is_in_a_container_costs_nobody_anything() {
    let bench = Bench::new();
    bench.configure(&bench.samba.directory(), r#"["Blue", { group = "Green", write = false }]"#);
    bench.idcsync.run(&["sync"]).exits(0);
    let mut expected = bench.contents();
    assert_eq!(expected.users.len(), 12);
    assert!(expected.groups.iter().eq(["Blue@corp.example.com", "Red@corp.example.com"]));
    bench.samba.deny(&group("Green"), MEMBER);
    bench.samba.admin().remove_member(&group("Blue"), &person(9));
    remove(&mut expected, "Blue", 9);
    let why = "RemovalWithheld Green: had 3 members and suddenly reads as having none";
    // As often as one likes: the members that it had are not forgotten.
    for _ in 0..3 {
        bench.idcsync.run(&["sync"]).exits(0).says(why);
        expected.assert_same(&bench.contents());
    }
    bench.idcsync.run(&["status"]).exits(0).says("Out of scope (1;").says("had 3 members and suddenly reads");

    // Out of the config, it is out of the scope, and so are those who were in by it.
    bench.configure(&bench.samba.directory(), r#"["Blue"]"#);
    bench.idcsync.run(&["sync"]).exits(0).says("4 memberships to remove.\n").says("Applied: 4 done.");
    for number in 0..4 {
        remove(&mut expected, "Red", number);
    }
    expected.assert_same(&bench.contents());
}

#[test]
fn samba_that_hides_a_group_costs_its_members_nothing() {
    let bench = Bench::new();
    let mut expected = bench.in_step();
    bench.samba.deny(&group("Red"), EVERYTHING);
    bench.samba.admin().remove_member(&group("Red"), &person(0));
    bench.samba.admin().remove_member(&group("Green"), &person(10));
    bench.samba.admin().remove_member(&group("Blue"), &person(9));
    bench
        .idcsync
        .run(&["sync"])
        .exits(0)
        .says("ScopeEntryNotFound Red: ")
        .says("GroupReadIncomplete Green: ")
        .says("Not taken away, because it is not proven:\n  Green@corp.example.com: ");
    remove(&mut expected, "Blue", 9);
    expected.assert_same(&bench.contents());
    bench.idcsync.run(&["sync", "--strict"]).exits(3).says("Nothing to do");
}

#[test]
fn samba_that_hides_people_costs_them_nothing() {
    let bench = Bench::new();
    let mut expected = bench.in_step();
    bench.samba.deny(&format!("OU=There,{BASE}"), EVERYTHING);
    bench.samba.admin().remove_member(&group("Red"), &person(1));
    bench.samba.admin().remove_member(&group("Red"), &person(2));
    bench.samba.admin().remove_member(&group("Blue"), &person(6));
    // Those who are still named as members stay, though they cannot be read; those who are not named are out.
    for (name, number) in [("Red", 1), ("Red", 2), ("Green", 1), ("Green", 2), ("Blue", 6)] {
        remove(&mut expected, name, number);
    }
    bench
        .idcsync
        .run(&["sync"])
        .exits(0)
        .says("MemberUnreadable User 3: CN=User 3,OU=There,DC=corp,DC=example,DC=com is a member of Red and cannot be read")
        .says("RemovalWithheld Red@corp.example.com: 1 member may have left, which is not proven");
    expected.assert_same(&bench.contents());
    bench.idcsync.run(&["sync"]).exits(0).says("Nothing to do");
}

#[test]
fn samba_that_cannot_be_read_at_all_costs_nobody_anything() {
    let bench = Bench::new();
    let expected = bench.in_step();
    let good = bench.samba.directory();
    bench.samba.admin().remove_member(&group("Blue"), &person(9));
    let url = bench.samba.ldaps_url();
    // A certificate of the same authority that is no authority.
    let own_ca = bench.samba.ca_file().display().to_string();
    let other_ca = own_ca.replace("ca.pem", "cert.pem");
    let password = bench.samba.password();
    for (directory, password, error, line, remedy) in [
        (
            good.clone(),
            "wrong",
            format!(
                "error: the directory could not be read: {url} refused the bind: the name or the password is wrong; check `bind`\n"
            ),
            format!("  ✗ server {url}: refused the bind: the name or the password is wrong\n"),
            "      → check `bind`\n",
        ),
        (
            good.replace(&own_ca, &other_ca),
            password,
            "signed by a CA that is not trusted; name that CA's file with `ca-file`\n".to_owned(),
            format!("  ✗ server {url}: TLS failed: "),
            "      → check `tls` and the server's certificate\n",
        ),
        (
            good.replace(&url, "ldaps://dc9.corp.invalid"),
            password,
            "no directory server could be used: ldaps://dc9.corp.invalid: cannot connect (".to_owned(),
            "  ✗ server ldaps://dc9.corp.invalid: cannot connect (".to_owned(),
            "      → check the name and the port, and that nothing in between blocks it\n",
        ),
        (
            good.replace(&url, &format!("{url}:637")),
            password,
            format!("no directory server could be used: {url}:637: cannot connect (Connection refused"),
            format!("  ✗ server {url}:637: cannot connect (Connection refused"),
            "      → check the name and the port, and that nothing in between blocks it\n",
        ),
        (
            good.replace(
                &format!("base-dn = \"{BASE}\""),
                "base-dn = \"OU=Nowhere,DC=corp,DC=example,DC=com\"",
            ),
            password,
            "the base DN OU=Nowhere,DC=corp,DC=example,DC=com does not exist".to_owned(),
            "the base DN OU=Nowhere,DC=corp,DC=example,DC=com does not exist".to_owned(),
            "",
        ),
    ] {
        bench.configure(&directory, r#"["Red", "Blue", "Green"]"#);
        bench.idcsync.write("password", password);
        for arguments in [&["sync", "--dry-run"][..], &["sync"]] {
            let (run, requests) =
                bench.sandbox.requests_of(|| bench.idcsync.run(arguments).exits(6).complains(&error));
            assert_eq!(run.stdout, "");
            assert!(!requests.iter().any(is_write));
        }
        bench.idcsync.run(&["check"]).exits(6).says(&line).says(remedy);
    }
    expected.assert_same(&bench.contents());
    bench
        .idcsync
        .run(&["status"])
        .exits(0)
        .says(": unreachable at ")
        .says("DirectoryUnavailable corp since ");
    // Each sort of failure is on record once, under the name that AWS has for it.
    let log = std::fs::read_to_string(bench.idcsync.path("errors.jsonl")).expect("the error log");
    let codes: Vec<_> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON"))
        .map(|record| record["error"]["error_code"].as_str().expect("a code").to_owned())
        .collect();
    assert_eq!(codes, ["InvalidDirectoryCredentials", "DirectoryUnavailable"]);

    // A good setup has nothing but ticks; only that the domain has no deleted object to show is worth a word.
    bench.configure(&good, r#"["Red", "Blue", "Green"]"#);
    let check = bench.idcsync.run(&["check"]).exits(0);
    let doubts: Vec<_> =
        check.stdout.lines().filter(|line| line.starts_with("  !") || line.starts_with("  ✗")).collect();
    assert!(
        matches!(doubts.as_slice(), [only] if only.starts_with("  ! deleted objects: ")),
        "{}",
        check.report()
    );
    for line in [
        "connected with TLS and bound; it is dc1.corp.example.com",
        "✓ group Blue: Blue (",
        "✓ members: readable",
    ] {
        assert!(check.stdout.contains(line), "{}", check.report());
    }
    assert_eq!(bench.idcsync.run_json(&["check"]).exits(0).json()["ok"], true);
}

#[test]
fn samba_without_a_group_of_the_scope_costs_nobody_anything() {
    let bench = Bench::new();
    let expected = bench.in_step();
    bench.configure(&bench.samba.directory(), r#"["Red", "Bleu", "Green"]"#);
    for (arguments, code) in [(&["sync", "--dry-run"][..], 0), (&["sync"], 0), (&["sync", "--strict"], 3)] {
        bench.idcsync.run(arguments).exits(code).says("Nothing to do").says("ScopeEntryNotFound Bleu: ");
    }
    expected.assert_same(&bench.contents());
    bench.idcsync.run(&["check"]).exits(6).says("✗ group Bleu: ").says("✓ group Red: ");
}

/// `ldap server require strong auth`, and on Windows "LDAP server signing requirements" and "channel binding token
/// requirements": the latter asks nothing of a simple bind.
#[test]
fn samba_that_demands_tls_says_so_and_is_read_over_it() {
    let mut bench = Bench::new();
    bench.samba.demand_strong_auth();
    let over_tls = bench.samba.directory();
    let plain = over_tls
        .replace(&bench.samba.ldaps_url(), &bench.samba.ldap_url())
        .lines()
        .filter(|line| !line.starts_with("tls"))
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        + "allow-plaintext = true\n";
    assert!(plain.contains("ldap://") && !plain.contains("ldaps://"), "{plain}");
    bench.configure(&plain, r#"["Red", "Blue", "Green"]"#);
    let words = "the server demands TLS or signing; use ldaps:// or `starttls = true`";
    bench.idcsync.run(&["check"]).exits(6).says(words).never_says(bench.samba.password());
    bench.idcsync.run(&["sync"]).exits(6).complains(words);
    bench.configure(&over_tls, r#"["Red", "Blue", "Green"]"#);
    bench.in_step();
}
