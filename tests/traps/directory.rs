//! Traps on the side of the directory.

use ldap3_proto::proto::LdapResultCode;

use super::fake::{Fake, domain, names};
use super::fake_ldap::{PASSWORD, Twist};
use super::support::company::ScopeGroup;
use super::support::contents::Contents;
use super::support::export::{Export, people};
use super::support::idcsync::{Idcsync, Sandbox, is_write};
use super::support::ldap;
use super::support::oracle::{Kind, Question};
use super::support::slapd::{Options, Slapd};
use super::support::ways::{Bench, Way, writes};

/// A file that says nothing, too little, or nothing of those whom it should: no request changes anything.
#[test]
fn a_source_error_or_an_empty_answer_is_not_nobody_is_there() {
    let export = Export::of(9).group("Team", people(0..9)).group("Crew", people(0..4));
    let bench = Bench::new(Way::Api, export, &["Team", "Crew"]);
    bench.sync().exits(0);
    let whole = bench.export.text();
    let cut = |at: &str| whole[..whole.find(at).expect("a place to cut at")].to_owned();
    let mut hollow = bench.export.clone();
    hollow.groups.values_mut().for_each(Vec::clear);
    let mut headless = bench.export.clone();
    headless.groups.clear();
    let mut desert = headless.clone();
    desert.people.clear();
    for (what, text, codes) in [
        ("an empty file", String::new(), &[6][..]),
        ("cut after some people", cut("dn: CN=p05"), &[6]),
        ("cut before the groups", cut("dn: CN=Crew"), &[6]),
        ("cut in the middle of a list", cut("member: CN=p07"), &[6]),
        ("without its end", cut("# idcsync: end"), &[6]),
        ("no file of this kind", "502 Bad Gateway\n".to_owned(), &[6]),
        ("groups without members", hollow.text(), &[4]),
        ("no groups", headless.text(), &[0]),
        ("nobody at all", desert.text(), &[0]),
    ] {
        bench.idcsync.write("directory.ldif", &text);
        for arguments in [&["sync"][..], &["sync", "--full"], &["sync", "--dry-run"]] {
            let (run, requests) = bench.requests_of(arguments);
            assert!(codes.contains(&run.code), "{what}: {}", run.report());
            assert_eq!(writes(&requests), 0, "{what}: {requests:?}");
        }
    }
    bench.idcsync.run(&["sync", "--strict"]).exits(3).says("ScopeEntryNotFound Team");
    bench.put();
    bench.assert_settled();
    bench.assert_in_step();
    bench.idcsync.run(&["status"]).exits(0).never_says("Out of scope").never_says("ScopeEntryNotFound");
}

#[test]
fn a_server_that_is_busy_refuses_or_shows_nothing_costs_nobody_anything() {
    let fake = Fake::start(domain(9, &[("Team", names(0..9))]));
    let sandbox = Sandbox::start();
    let idcsync = Idcsync::new(&fake.config(&["Team"], &sandbox.target()));
    idcsync.write("password", PASSWORD);
    idcsync.run(&["sync"]).exits(0).says("9 users to create");
    let before = sandbox.store().contents();
    assert_eq!(before.memberships(), 9);
    let twists = [
        Twist::Nothing,
        Twist::Code { after: 0, code: LdapResultCode::Busy },
        Twist::Code { after: 0, code: LdapResultCode::InsufficentAccessRights },
        Twist::Code { after: 3, code: LdapResultCode::SizeLimitExceeded },
        Twist::Code { after: 3, code: LdapResultCode::Unavailable },
        Twist::Cut { after: 3 },
    ];
    for twist in twists {
        // Of everything, of people alone, of the group alone.
        for part in ["", "CN=p", "900000"] {
            let (such, script) = (part.to_owned(), twist.clone());
            fake.tell(move |seen| {
                let text = format!("{} {}", seen.base, seen.filter);
                (seen.is_read() && text.contains(&such)).then(|| script.clone())
            });
            for arguments in [&["sync"][..], &["sync", "--full"]] {
                let (run, requests) = sandbox.requests_of(|| idcsync.run(arguments));
                assert!([0, 4, 6].contains(&run.code), "{twist:?} {part}: {}", run.report());
                assert!(!requests.iter().any(is_write), "{twist:?} {part}: {requests:?}");
            }
        }
    }
    before.assert_same(&sandbox.store().contents());
    fake.behave();
    idcsync.run(&["sync"]).exits(0).says("Nothing to do");
}

#[test]
fn a_group_that_grows_past_1500_members_keeps_them_all() {
    let groups = |members| [("Big", names(0..members)), ("Small", names(0..4))];
    let before = Fake::start(domain(1_600, &groups(1_450)));
    let sandbox = Sandbox::start();
    let target = Way::Scim.target(&sandbox);
    let idcsync = Idcsync::new(&before.config(&["Big", "Small"], &target));
    idcsync.write("password", PASSWORD);
    idcsync.write("token", sandbox.scim().token());
    idcsync.run(&["sync", "-q"]).exits(0);
    assert_eq!(sandbox.store().contents().members["Big@corp.example"].len(), 1_450);

    // Now the server answers with `member` empty and `member;range=0-1499`, without having been asked for a range.
    let after = Fake::start(domain(1_600, &groups(1_600)));
    idcsync.configure(&after.config(&["Big", "Small"], &target));
    after.tell(|seen| seen.attributes.iter().any(|a| a.contains(";range=")).then_some(Twist::Nothing));
    let (run, requests) = sandbox.requests_of(|| idcsync.run(&["sync"]));
    let run = run.says("GroupReadIncomplete Big").never_says("- member").never_says("to remove");
    assert!(
        !requests.iter().any(|r| r["operation"].as_str().unwrap().contains("Delete")),
        "{}",
        run.report()
    );
    assert_eq!(sandbox.store().contents().members["Big@corp.example"].len(), 1_500, "those who were seen");
    after.behave();
    idcsync.run(&["sync"]).exits(0).says("100 memberships to add").never_says("to remove");
    let there = sandbox.store().contents();
    assert_eq!((there.users.len(), there.members["Big@corp.example"].len()), (1_600, 1_600));
    idcsync.run(&["sync"]).exits(0).says("Nothing to do");
}

#[test]
fn members_are_not_read_one_request_each() {
    let fake = Fake::start(domain(1_200, &[("Big", names(0..1_200))]));
    let idcsync = Idcsync::new(&fake.config(
        &["Big"],
        "[target]\nkind = \"sandbox\"\nstore = \"store.json\"\nrequests-per-second = 100000\n",
    ));
    idcsync.write("password", PASSWORD);
    idcsync.run(&["sync", "--dry-run"]).exits(0).says("1,200 users to create");
    let reads = fake.server.reads().len();
    assert!(reads <= 30, "{reads} searches");
}

const LDAP_BASE: &str = "dc=corp,dc=example,dc=com";

fn unit(name: &str) -> String {
    format!("dn: ou={name},{LDAP_BASE}\nobjectClass: organizationalUnit\nou: {name}\n\n")
}

fn entry(dn: &str, lines: &[(&str, &str)]) -> String {
    let lines: String = lines.iter().map(|(name, value)| ldap::line(name, value)).collect();
    ldap::line("dn", dn) + &lines + "\n"
}

fn person(rdn: &str, uid: &str) -> String {
    let cn = rdn.strip_prefix("cn=").map_or_else(|| uid.to_owned(), |_| format!("Cn of {uid}"));
    let mail = format!("{uid}@corp.example.com");
    let mut lines = vec![("objectClass", "inetOrgPerson"), ("uid", uid), ("sn", "Family")];
    lines.extend([("givenName", "Given"), ("mail", &mail), ("displayName", uid)]);
    // The name itself is one of the values.
    if rdn.starts_with("uid=") {
        lines.push(("cn", &cn));
    }
    entry(&format!("{rdn},ou=people,{LDAP_BASE}"), &lines)
}

fn group(name: &str, members: &[&str]) -> String {
    let mut lines = vec![("objectClass", "groupOfNames"), ("cn", name)];
    lines.extend(members.iter().map(|member| ("member", *member)));
    entry(&format!("cn={name},ou=groups,{LDAP_BASE}"), &lines)
}

fn uid(name: &str) -> String {
    format!("uid={name},ou=people,{LDAP_BASE}")
}

/// slapd with this content, a sandbox, and idcsync between them.
struct Ldap {
    slapd: Slapd,
    sandbox: Sandbox,
    idcsync: Idcsync,
    groups: Vec<String>,
}

impl Ldap {
    fn start(content: &str, groups: &[&str], access: &[String]) -> Self {
        let base = format!(
            "dn: {LDAP_BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Corp\ndc: corp\n\n{}{}",
            unit("people"),
            unit("groups")
        );
        let options = Options { access: access.to_vec(), ..Options::default() };
        let bench = Self {
            slapd: Slapd::start_ldif(&(base + content), LDAP_BASE, &options),
            sandbox: Sandbox::start(),
            idcsync: Idcsync::new(""),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        };
        bench.idcsync.write("password", bench.slapd.password());
        bench.read_as(&bench.slapd.reader_dn());
        bench
    }

    fn read_as(&self, dn: &str) {
        self.idcsync.configure(&format!(
            "profile = \"p\"\n[directory]\nkind = \"ldap\"\nurls = [\"{}\"]\nbase-dn = \"{LDAP_BASE}\"\n\
             bind = {{ dn = \"{dn}\", password-file = \"password\" }}\n\
             tls = {{ starttls = true, ca-file = \"{}\" }}\ntimeout = \"5s\"\n\n[scope]\ngroups = {:?}\n\n{}\n\
             [state]\nurl = \"sqlite:state.db\"\n",
            self.slapd.ldap_url(),
            self.slapd.ca_file().display(),
            self.groups,
            self.sandbox.target(),
        ));
    }

    fn expected(&self) -> Contents {
        let scope = self.groups.iter().map(|name| ScopeGroup::written(name)).collect();
        Question::new(Kind::Ldap, scope).answer(&self.slapd.dump())
    }

    fn contents(&self) -> Contents {
        self.sandbox.store().contents()
    }
}

/// Nobody but the reader sees this entry.
fn hide(name: &str) -> String {
    format!(
        "access to dn.exact=\"cn={name},ou=groups,{LDAP_BASE}\" by dn.exact=\"cn=limited,{LDAP_BASE}\" none by * read"
    )
}

#[test]
fn a_nested_group_that_fails_to_read_costs_its_members_nothing() {
    let names = ["a", "b", "c", "d", "e", "new"];
    let inner = format!("cn=Inner,ou=groups,{LDAP_BASE}");
    let content: String = names.iter().map(|name| person(&format!("uid={name}"), name)).collect::<String>()
        + &group("Inner", &[&uid("c"), &uid("d")])
        + &group("Outer", &[&uid("a"), &uid("b"), &inner])
        + &group("Other", &[&uid("b"), &uid("e")]);
    let bench = Ldap::start(&content, &["Outer", "Other"], &[hide("Inner")]);
    bench.idcsync.run(&["sync"]).exits(0);
    let mut expected = bench.expected();
    expected.assert_same(&bench.contents());
    assert_eq!(expected.members["Outer@corp.example.com"].len(), 4);

    bench.read_as(&bench.slapd.limited_dn());
    let admin = bench.slapd.admin();
    admin.add_member(&format!("cn=Outer,ou=groups,{LDAP_BASE}"), &uid("new"));
    admin.remove_member(&format!("cn=Other,ou=groups,{LDAP_BASE}"), &uid("e"));
    for _ in 0..2 {
        bench.idcsync.run(&["sync"]).exits(0).says("MemberUnreadable Inner");
    }
    let new = "new@corp.example.com".to_owned();
    expected.users.insert(new.clone());
    expected.members.get_mut("Outer@corp.example.com").unwrap().insert(new);
    // That the other group is whole is not to its leavers' favour.
    expected.members.get_mut("Other@corp.example.com").unwrap().remove("e@corp.example.com");
    expected.assert_same(&bench.contents());

    bench.read_as(&bench.slapd.reader_dn());
    bench.idcsync.run(&["sync"]).exits(0);
    let mut whole = bench.expected();
    // Out of scope is not deleted.
    whole.users.insert("e@corp.example.com".to_owned());
    whole.assert_same(&bench.contents());
}

#[test]
fn of_five_scope_groups_one_is_unreadable_and_leavers_of_the_other_four_lose_access() {
    let names: Vec<String> = (0..20).map(|n| format!("u{n}")).collect();
    let mut content: String = names.iter().map(|name| person(&format!("uid={name}"), name)).collect();
    let groups = ["G0", "G1", "G2", "G3", "G4"];
    for (at, name) in groups.iter().enumerate() {
        let members: Vec<String> = (0..4).map(|n| uid(&format!("u{}", at * 4 + n))).collect();
        content += &group(name, &members.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let bench = Ldap::start(&content, &groups, &[hide("G4")]);
    bench.idcsync.run(&["sync"]).exits(0);
    let mut expected = bench.expected();
    expected.assert_same(&bench.contents());
    let admin = bench.slapd.admin();
    for (at, name) in groups.iter().enumerate() {
        let leaver = format!("u{}", at * 4);
        admin.remove_member(&format!("cn={name},ou=groups,{LDAP_BASE}"), &uid(&leaver));
        if at < 4 {
            let members = expected.members.get_mut(&format!("{name}@corp.example.com")).unwrap();
            assert!(members.remove(&format!("{leaver}@corp.example.com")));
        }
    }
    bench.read_as(&bench.slapd.limited_dn());
    bench
        .idcsync
        .run(&["sync"])
        .exits(0)
        .says("4 memberships to remove")
        .says("Applied: 4 done.")
        .says("ScopeEntryNotFound G4");
    expected.assert_same(&bench.contents());
    bench.idcsync.run(&["sync"]).exits(0).says("Nothing to do");
}

#[test]
fn dns_are_not_compared_as_strings() {
    let awkward = [
        (r"cn=Comma\, One", r"CN = comma\2C  one , OU=People,DC=Corp,dc=example,dc=com"),
        (r#"cn=\"Quoted\" Two"#, r"cn=\22quoted\22 two,ou=PEOPLE,dc=corp,dc=example,dc=com"),
        (r"cn=Semi\;Three", r"cn=semi\3Bthree,ou=people,dc=corp,dc=example,dc=com"),
        (r"cn=Trailing Four\ ", r"cn=trailing four\20,ou=people,dc=corp,dc=example,dc=com"),
        ("cn=Ünï Five", "CN=ünï five,ou=people,dc=corp,dc=example,dc=com"),
        (r"cn=Plus\+Six", r"cn=plus\2BSix,ou=people, dc=corp, dc=example, dc=com"),
        (r"cn=\#Hash \<Seven\>", r"cn=\23hash \3Cseven\3E,ou=people,dc=corp,dc=example,dc=com"),
        ("cn=UPPER EIGHT", "cn=upper  eight,ou=people,dc=corp,dc=example,dc=com"),
    ];
    let people: String =
        awkward.iter().enumerate().map(|(at, (rdn, _))| person(rdn, &format!("u{at}"))).collect();
    let members: Vec<&str> = awkward.iter().map(|(_, dn)| *dn).collect();
    let inner = r"CN=Inner\2c\20Group,OU=GROUPS,dc=corp,dc=example,dc=com";
    let content = people
        + &entry(
            &format!(r"cn=Inner\, Group,ou=groups,{LDAP_BASE}"),
            &[("objectClass", "groupOfNames"), ("member", members[0]), ("member", members[1])],
        )
        + &group("All", &members)
        + &group("Outer", &[inner, members[2]]);
    let bench = Ldap::start(&content, &["All", "Outer"], &[]);
    bench.idcsync.run(&["sync", "--strict"]).exits(0).never_says("MemberUnreadable");
    let there = bench.contents();
    let names = |numbers: &[usize]| numbers.iter().map(|n| format!("u{n}@corp.example.com")).collect();
    assert_eq!(there.members["All@corp.example.com"], names(&[0, 1, 2, 3, 4, 5, 6, 7]));
    assert_eq!(there.members["Outer@corp.example.com"], names(&[0, 1, 2]));
    assert_eq!(there.groups.len(), 3);
    // Written in another way, they are the same members: nobody is removed and added again.
    let admin = bench.slapd.admin();
    for (rdn, dn) in awkward {
        let all = format!("cn=All,ou=groups,{LDAP_BASE}");
        let canonical = format!("{rdn},ou=people,{LDAP_BASE}");
        let change = ldap::change_member(&all, "delete", dn) + &ldap::change_member(&all, "add", &canonical);
        if dn != members[0] {
            admin.modify(&change);
        }
    }
    let (_, requests) =
        bench.sandbox.requests_of(|| bench.idcsync.run(&["sync"]).exits(0).says("Nothing to do"));
    assert!(requests.is_empty(), "{requests:?}");
}
