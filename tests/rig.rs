//! The rig itself works: each server starts, answers and holds what was put into it, and the checks check.

use std::collections::BTreeSet;
use std::process::Command;

mod support;

use serde_json::json;
use support::company::{self, Company, GroupKind, Member, ScopeGroup};
use support::contents::Contents;
use support::moto::Moto;
use support::oracle::{Kind, Question};
use support::postgres::Postgres;
use support::process::Server;
use support::samba::Samba;
use support::slapd::{Options, Slapd};

#[test]
#[should_panic(expected = "its log ends in:\nno such luck")]
fn a_server_that_cannot_start_fails_the_run_and_says_why() {
    let home = support::dirs::private();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "echo no such luck; exit 3"]);
    Server::start("unlucky", command, home.path(), || false);
}

#[test]
fn a_server_goes_with_its_guard_and_takes_its_children_along() {
    let home = support::dirs::private();
    let children = home.path().join("children");
    let mut command = Command::new("/bin/sh");
    // The child does not mind a polite request.
    command.args(["-c", r#"sh -c 'trap "" TERM; sleep 600' & echo $! > "$0"; wait"#]).arg(&children);
    let server = Server::start("parent", command, home.path(), || {
        std::fs::read_to_string(&children).is_ok_and(|text| text.ends_with('\n'))
    });
    let child = std::fs::read_to_string(&children).expect("the child's id");
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    assert!(!state().is_empty());
    drop(server);
    assert!(state().is_empty() || state().contains(") Z "), "{}", state());
}

#[test]
fn slapd_answers_over_starttls_and_ldaps_with_entry_uuids() {
    let company = Company::new(200, 40);
    let slapd = Slapd::start(&company);
    let reader = slapd.client(&slapd.reader_dn());
    let answer = reader.search(&["-b", slapd.base_dn(), "(objectClass=inetOrgPerson)", "entryUUID"]);
    assert_eq!(count(&answer, "entryUUID: "), 200);

    let mut over_tls = reader;
    over_tls.starttls = false;
    over_tls.url = slapd.ldaps_url();
    let answer = over_tls.search(&["-b", slapd.base_dn(), "(objectClass=groupOfNames)", "1.1"]);
    assert_eq!(count(&answer, "dn:"), 40);
}

#[test]
fn slapd_limits_those_whom_it_should() {
    let slapd = Slapd::start_with(&Company::new(50, 15), &Options { sizelimit: 20, ..Options::default() });
    let answer =
        slapd.client(&slapd.limited_dn()).try_search(&["-b", slapd.base_dn(), "(objectClass=inetOrgPerson)"]);
    assert_eq!(answer.status.code(), Some(4), "sizeLimitExceeded");
    assert_eq!(count(&String::from_utf8_lossy(&answer.stdout), "dn:"), 20);
    let all = slapd.client(&slapd.reader_dn()).search(&[
        "-b",
        slapd.base_dn(),
        "(objectClass=inetOrgPerson)",
        "1.1",
    ]);
    assert_eq!(count(&all, "dn:"), 50);
}

#[test]
fn slapd_is_the_same_after_a_crash_and_takes_changes() {
    let options = Options { memberof: true, syncprov: true, ..Options::default() };
    let company = Company::new(20, 15);
    let mut slapd = Slapd::start_with(&company, &options);
    let base = slapd.base_dn().to_owned();
    let admin = slapd.admin();
    let person = admin.dn_of(&base, &format!("(uid={})", company.person(2).account));
    let group = admin.dn_of(&base, "(cn=AWS-Admins)");
    admin.replace(&person, "displayName", &["Söme One"]);
    admin.replace(&person, "title", &[]);
    admin.move_to(&person, &format!("OU=Groups,{base}"));
    let person = admin.dn_of(&base, "(displayName=Söme One)");
    admin.add_member(&group, &person);
    slapd.kill();
    assert!(!admin.try_search(&["-b", &base, "-s", "base"]).status.success());
    slapd.restart();
    let answer = admin.search(&["-b", &base, "(displayName=Söme One)", "title", "memberOf"]);
    assert_eq!((count(&answer, "title"), count(&answer, "memberOf")), (0, 1), "{answer}");
}

#[test]
fn samba_holds_the_company_and_shows_it_over_ldaps() {
    let company = Company::new(200, 40);
    let samba = Samba::start(&company);
    let people = samba.ldapsearch(&[
        "-b",
        samba.base_dn(),
        "(&(objectCategory=person)(objectClass=user)(title=*))",
        "objectGUID",
    ]);
    assert_eq!(count(&people, "objectGUID:"), 200);
    let groups =
        samba.ldapsearch(&["-b", samba.base_dn(), "(&(objectClass=group)(description=* of corp*))", "1.1"]);
    assert_eq!(count(&groups, "dn:"), 40);
}

#[test]
fn postgres_answers_and_survives_a_crash() {
    let mut postgres = Postgres::start();
    assert_eq!(postgres.psql("select 1").trim(), "1");
    postgres.psql("create table kept (it int); insert into kept values (7)");
    postgres.kill();
    postgres.restart();
    assert_eq!(postgres.psql("select it from kept").trim(), "7");
}

#[test]
fn moto_is_read_page_by_page() {
    let moto = Moto::start();
    let store = moto.store();
    assert_eq!(store.contents(), Contents::default());
    let group = store.call("CreateGroup", json!({ "DisplayName": "Team" }));
    store.call("CreateGroup", json!({ "DisplayName": "Vacant" }));
    for number in 0..120 {
        let name = json!({ "GivenName": "Ann", "FamilyName": "Ex" });
        let user =
            json!({ "UserName": format!("ann{number}@example.com"), "DisplayName": "Ann", "Name": name });
        let user = store.call("CreateUser", user);
        let membership = json!({ "GroupId": group["GroupId"], "MemberId": { "UserId": user["UserId"] } });
        store.call("CreateGroupMembership", membership);
    }
    let contents = store.contents();
    assert_eq!(contents.users.len(), 120);
    assert_eq!(contents.members["Team"], contents.users);
    assert_eq!(contents.members["Vacant"].len(), 0);
    let (status, answer) = store.try_call("DescribeUser", json!({ "UserId": "0" }));
    assert_eq!(status, 400, "{answer}");
    assert_eq!(answer["__type"], "ResourceNotFoundException");
}

/// Small enough to be checked by eye. Ada is in Team by way of the ring, Bo by primary group (513), Cleo by a nested
/// group with a comma in its DN.
const MINI: &str = "\
dn: CN=Ada\\, A,OU=x,DC=ex,DC=test
objectClass: user
sAMAccountName: ada
userPrincipalName: Ada@ex.test
givenName: Ada
sn: A
displayName: Ada A
userAccountControl: 512
accountExpires: 9223372036854775807

dn: CN=Bo,DC=ex,DC=test
objectClass: user
sAMAccountName: bo
givenName: Bo
sn: B
displayName: Bo B
userAccountControl: 66048
accountExpires: 0
primaryGroupID: 513

dn:: Q049Q2zDqW8sREM9ZXgsREM9dGVzdA==
objectClass: user
sAMAccountName: cleo
givenName:: Q2zDqW8=
sn: C
displayName: Cl
 eo
userAccountControl: 512

dn: CN=Off,DC=ex,DC=test
objectClass: user
sAMAccountName: off
givenName: O
sn: O
displayName: O
userAccountControl: 514

dn: CN=Late,DC=ex,DC=test
objectClass: user
sAMAccountName: late
givenName: L
sn: L
displayName: L
userAccountControl: 512
accountExpires: 132223104000000000

dn: CN=Nosn,DC=ex,DC=test
objectClass: user
sAMAccountName: nosn
givenName: N
displayName: N
userAccountControl: 512

dn: CN=PC,DC=ex,DC=test
objectClass: user
objectClass: computer
sAMAccountName: PC$
givenName: P
sn: C
displayName: PC
userAccountControl: 4096

dn: CN=All,DC=ex,DC=test
objectClass: group
sAMAccountName: All
groupType: -2147483640
member: CN=Team,DC=ex,DC=test
member: CN=List,DC=ex,DC=test

dn: CN=Team,DC=ex,DC=test
objectClass: group
sAMAccountName: Team
groupType: -2147483640
member: CN=Team\\2C inner,DC=ex,DC=test
member: cn=off,dc=ex,dc=test
member: CN=Late,DC=ex,DC=test
member: CN=Nosn,DC=ex,DC=test
member: CN=PC,DC=ex,DC=test
member: CN=Domain Users,DC=ex,DC=test

dn: CN=Team\\, inner,DC=ex,DC=test
objectClass: group
sAMAccountName: Team inner
groupType: -2147483646
member: CN=Team,DC=ex,DC=test
member: CN=Ada\\2c A,OU=x,DC=ex,DC=test
member:: Y249Y2zDiU8sZGM9ZXgsZGM9dGVzdA==
member: CN=S-1-5-21-1,CN=ForeignSecurityPrincipals,DC=ex,DC=test

dn: CN=List,DC=ex,DC=test
objectClass: group
sAMAccountName: List
groupType: 8
member: CN=Ada\\, A,OU=x,DC=ex,DC=test

dn: CN=Domain Users,DC=ex,DC=test
objectClass: group
sAMAccountName: Domain Users
groupType: -2147483646
objectSid:: AQUAAAAAAAUVAAAAVxMeVytZCQ9FSmoIAQIAAA==

# search reference
ref: ldap://ex.test/CN=Configuration,DC=ex,DC=test

# search result
search: 2
result: 0 Success
";

#[test]
fn the_oracle_agrees_with_what_one_sees_by_eye() {
    let mut question = Question::new(Kind::ActiveDirectory, vec![ScopeGroup::container("all")]);
    let contents = question.answer(MINI);
    let everybody = ["Ada@ex.test", "bo@ex.test", "cleo@ex.test"];
    assert!(contents.users.iter().eq(everybody), "{contents:?}");
    assert!(contents.groups.iter().eq(["Domain Users@ex.test", "Team inner@ex.test", "Team@ex.test"]));
    assert!(contents.members["Team@ex.test"].iter().eq(everybody));
    assert!(contents.members["Team inner@ex.test"].iter().eq(everybody));
    assert!(contents.members["Domain Users@ex.test"].iter().eq(["bo@ex.test"]));

    question.distribution_groups = true;
    let contents = question.answer(MINI);
    assert!(contents.members["List@ex.test"].iter().eq(["Ada@ex.test"]));

    question.groups.clear();
    question.users = vec!["CLEO".to_owned(), "off".to_owned()];
    let contents = question.answer(MINI);
    assert!(contents.users.iter().eq(["cleo@ex.test"]));
    assert!(contents.groups.is_empty());
}

#[test]
fn the_company_has_all_that_it_promises() {
    let company = Company::new(2_000, 200);
    let people: Vec<_> = (0..company.people).map(|index| company.person(index)).collect();
    let accounts: BTreeSet<_> = people.iter().map(|p| p.account.to_lowercase()).collect();
    assert_eq!(accounts.len(), people.len());
    assert!(accounts.iter().all(|account| account.len() <= 20 && account.is_ascii()));
    let mails: Vec<_> = people.iter().filter_map(|p| p.mail.as_ref()).collect();
    assert_eq!(mails.iter().map(|mail| mail.to_lowercase()).collect::<BTreeSet<_>>().len(), mails.len());
    for (what, there) in [
        ("without mail", people.iter().any(|p| p.mail.is_none())),
        ("without surname", people.iter().any(|p| p.surname.is_none())),
        ("without given name", people.iter().any(|p| p.given_name.is_none())),
        ("without display name", people.iter().any(|p| p.display_name.is_none())),
        ("without principal name", people.iter().any(|p| p.principal_name.is_none())),
        ("disabled", people.iter().any(|p| p.disabled)),
        ("expired", people.iter().any(|p| p.expired)),
        ("contractor", people.iter().any(|p| p.contractor)),
        ("with a comma in the name", people.iter().any(|p| p.common_name.contains(','))),
        ("with a GUID that is text", people.iter().any(|p| std::str::from_utf8(&p.guid).is_ok())),
    ] {
        assert!(there, "nobody is {what}");
    }
    for unit in company.units() {
        assert!(people.iter().any(|p| p.unit == *unit), "nobody is in {unit}");
    }

    // The longest chain of teams, rings left out: there are none among teams.
    fn depth(company: &Company, group: usize) -> usize {
        let below = company.members(group).filter_map(|member| match member {
            Member::Group(index) => Some(1 + depth(company, index)),
            _ => None,
        });
        below.max().unwrap_or(0)
    }
    let first_team = company.special(company::EMPTY) + 1;
    assert_eq!(depth(&company, first_team), 3, "four levels of teams");
    let direct = company.members(company.special(company::EVERYONE)).collect::<Vec<_>>();
    assert!(direct.len() > 1_500);
    for group in 0..company.groups {
        let members: Vec<_> = company.members(group).map(|member| format!("{member:?}")).collect();
        assert_eq!(members.iter().collect::<BTreeSet<_>>().len(), members.len(), "group {group}");
    }
    let kinds: Vec<_> = (0..company.groups).map(|index| company.group(index).kind).collect();
    for kind in [GroupKind::Global, GroupKind::Universal, GroupKind::DomainLocal, GroupKind::Distribution] {
        assert!(kinds.contains(&kind), "no group is {kind:?}");
    }
}

/// The directories hold what the company says, which is known without them.
#[test]
fn samba_and_slapd_hold_the_same_company() {
    let company = Company::new(200, 40);
    let samba = Samba::start(&company);
    let ad = Question::new(Kind::ActiveDirectory, company.scope()).answer(&samba.dump());
    let slapd = Slapd::start(&company);
    let ldap = Question::new(Kind::Ldap, company.scope()).answer(&slapd.dump());
    for contents in [&ad, &ldap] {
        for ring in company::RING {
            let name = format!("{ring}@corp.example.com");
            assert_eq!(contents.members[&name], contents.members["Ring-A@corp.example.com"]);
        }
        assert!(!contents.groups.contains("AWS-All@corp.example.com"));
        assert!(contents.groups.contains("AWS-Admins@corp.example.com"));
        assert!(contents.groups.len() < 40 && contents.groups.len() > 10, "{:?}", contents.groups);
    }
    assert!(!ad.groups.contains("Newsletter@corp.example.com"));
    let expected = company
        .contractors()
        .filter(|p| !p.disabled && !p.expired)
        .filter(|p| p.given_name.is_some() && p.surname.is_some() && p.display_name.is_some())
        .map(|p| p.principal_name.unwrap_or_else(|| format!("{}@corp.example.com", p.account)))
        .collect();
    assert_eq!(ad.members["AWS-Contractors@corp.example.com"], expected);
    assert!(!expected.is_empty());
}

#[test]
fn samba_answers_in_ranges_when_asked_to() {
    let company = Company::new(2_000, 200);
    let samba = Samba::start(&company);
    let everyone = samba.dn_of(company::EVERYONE);
    let mut members = BTreeSet::new();
    for (asked, answered) in [("0-1499", "0-1499"), ("1500-*", "1500-*")] {
        let attribute = format!("member;range={asked}");
        let answer = samba.ldapsearch(&["-b", &everyone, "-s", "base", "(objectClass=*)", &attribute]);
        let start = format!("member;range={answered}:");
        members.extend(
            answer
                .lines()
                .filter(|line| line.starts_with(&start))
                .map(|line| line.split_once(": ").expect("a value").1.to_owned()),
        );
        assert!(members.len() >= 1_500, "{}", members.len());
    }
    // People, and a few computers, contacts and a service account.
    assert_eq!(members.len(), company.large_group + 11);
}

#[test]
fn samba_takes_changes() {
    let samba = Samba::start(&Company::new(200, 40));
    let base = samba.base_dn().to_owned();
    let admin = samba.admin();
    let find = |filter: &str, attribute: &str| samba.ldapsearch(&["-b", &base, filter, attribute]);

    admin.create(
        &format!("CN=Nëw\\, Person,OU=People,{base}"),
        &[("objectClass", "user"), ("sAMAccountName", "new"), ("mail", "new@example.com")],
    );
    let dn = samba.dn_of("new");
    let before = find("(sAMAccountName=new)", "objectGUID");
    admin.replace(&dn, "mail", &["newer@example.com"]);
    admin.replace(&dn, "sn", &["Şurname"]);
    admin.replace(&dn, "userPrincipalName", &["new@corp.example.com"]);
    admin.rename(&dn, "CN=Newer \\+ Better");
    admin.move_to(&samba.dn_of("new"), &format!("OU=R&D \\\"Labs\\\",{base}"));
    let answer = find("(sn=Şurname)", "mail");
    assert_eq!(count(&answer, "mail: newer@example.com"), 1, "{answer}");
    assert_eq!(count(&answer, &format!("dn: CN=Newer \\+ Better,OU=R&D \\\"Labs\\\",{base}")), 1, "{answer}");
    let guid = |answer: &str| answer.lines().find(|line| line.starts_with("objectGUID")).map(str::to_owned);
    assert_eq!(guid(&find("(sAMAccountName=new)", "objectGUID")), guid(&before));

    let group = samba.dn_of("AWS-Admins");
    admin.add_member(&group, &samba.dn_of("new"));
    assert_eq!(count(&find("(sAMAccountName=new)", "memberOf"), "memberOf"), 1);
    admin.remove_member(&group, &samba.dn_of("new"));
    assert_eq!(count(&find("(sAMAccountName=new)", "memberOf"), "memberOf"), 0);

    samba.ldbmodify(&support::ldap::create(
        &format!("CN=Chosen,OU=People,{base}"),
        &[
            ("objectClass", "user"),
            ("sAMAccountName", "chosen"),
            ("objectGUID", "01234567-89ab-cdef-0123-456789abcdef"),
        ],
    ));
    assert_eq!(
        count(&find("(sAMAccountName=chosen)", "objectGUID"), "objectGUID:: Z0UjAauJ780BI0VniavN7w=="),
        1
    );

    admin.delete(&samba.dn_of("new"));
    assert_eq!(count(&find("(sAMAccountName=new)", "1.1"), "dn:"), 0);
}

#[test]
fn the_small_company_of_the_quickstart_is_as_described() {
    let path = support::dirs::root().join("testdata/quickstart.ldif");
    let text = std::fs::read_to_string(path).expect("read the quickstart's directory");
    let scope = vec![
        ScopeGroup::written("AWS-Admins"),
        ScopeGroup::written("AWS-Developers"),
        ScopeGroup::container("AWS-All-Users"),
    ];
    let contents = Question::new(Kind::ActiveDirectory, scope).answer(&text);
    let names = |group: &str| {
        let members = contents.members[&format!("{group}@corp.example.com")].iter();
        members.map(|name| name.trim_end_matches("@corp.example.com")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(contents.users.len(), 15, "{:?}", contents.users);
    assert_eq!(contents.groups.len(), 7, "{:?}", contents.groups);
    assert_eq!(names("AWS-Admins"), "alice elsa");
    assert_eq!(names("AWS-Developers"), "alice bruno david grace kasia ngoc olga pavel");
    for ring in ["Backend", "Platform", "Frontend"] {
        assert_eq!(names(ring), "alice bruno david kasia ngoc olga pavel");
    }
    assert_eq!(names("Finance-Zürich"), "chloe francois henrik juergen");
    assert_eq!(names("Contractors"), "quentin");
}

fn count(ldif: &str, start: &str) -> usize {
    ldif.lines().filter(|line| line.starts_with(start)).count()
}
