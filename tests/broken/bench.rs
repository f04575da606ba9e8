//! A company of some tens in slapd, read through a relay, and a sandbox to write to.

use std::collections::BTreeSet;

use super::support::company::ScopeGroup;
use super::support::contents::Contents;
use super::support::cuts::Flip;
use super::support::export::{Export, people};
use super::support::idcsync::{Idcsync, Sandbox};
use super::support::oracle::{Kind, Question};
use super::support::proxy::Proxy;
use super::support::slapd::{Options, Slapd};

pub const BASE: &str = "dc=corp,dc=example,dc=com";
pub const SCOPE: [&str; 3] = ["Red", "Blue", "Outer"];
const PEOPLE: usize = 40;

pub fn person(number: usize) -> String {
    format!("uid=p{number:02},ou=people,{BASE}")
}

pub fn group(name: &str) -> String {
    format!("cn={name},ou=groups,{BASE}")
}

/// Who is a member of what, before anything changes.
fn members() -> Vec<(&'static str, Vec<String>)> {
    let people = |numbers: std::ops::Range<usize>| numbers.map(person).collect::<Vec<_>>();
    let mut outer = people(30..38);
    outer.push(group("Inner"));
    vec![("Red", people(0..16)), ("Blue", people(10..30)), ("Inner", people(0..10)), ("Outer", outer)]
}

/// `more` goes into the record of each person.
pub fn ldif(more: &str) -> String {
    let mut text = format!("dn: {BASE}\nobjectClass: domain\ndc: corp\n\n");
    for unit in ["people", "groups"] {
        text += &format!("dn: ou={unit},{BASE}\nobjectClass: organizationalUnit\nou: {unit}\n\n");
    }
    for number in 0..PEOPLE {
        text += &format!(
            "dn: {}\nobjectClass: inetOrgPerson\nuid: p{number:02}\ncn: Person {number}\nsn: Family\n\
             givenName: Given\ndisplayName: Person {number}\nmail: p{number:02}@corp.example.com\n{more}\n",
            person(number)
        );
    }
    for (name, members) in members() {
        text += &format!("dn: {}\nobjectClass: groupOfNames\ncn: {name}\n", group(name));
        for member in members {
            text += &format!("member: {member}\n");
        }
        text.push('\n');
    }
    text
}

/// The other state: somebody has left one group, somebody has left all, and two have come, of whom one is new.
pub fn turn(slapd: &Slapd, on: bool) {
    let admin = slapd.admin();
    let (here, there) = if on { ("delete", "add") } else { ("add", "delete") };
    let change = super::support::ldap::change_member;
    admin.modify(
        &(change(&group("Red"), here, &person(3))
            + &change(&group("Red"), here, &person(15))
            + &change(&group("Blue"), here, &person(15))
            + &change(&group("Blue"), there, &person(35))
            + &change(&group("Inner"), there, &person(39))),
    );
}

pub fn expected(slapd: &Slapd) -> Contents {
    let scope = SCOPE.map(ScopeGroup::written).to_vec();
    Question::new(Kind::Ldap, scope).answer(&slapd.dump())
}

pub struct Bench {
    pub slapd: Slapd,
    pub proxy: Proxy,
    pub sandbox: Sandbox,
    pub idcsync: Idcsync,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(&Options::default(), "")
    }

    pub fn with(options: &Options, more: &str) -> Self {
        let slapd = Slapd::start_ldif(&ldif(more), BASE, options);
        let place = slapd.ldap_url().trim_start_matches("ldap://").parse().expect("its address");
        let proxy = Proxy::start(place);
        Self::around(slapd, proxy)
    }

    pub fn around(slapd: Slapd, proxy: Proxy) -> Self {
        let bench = Self { slapd, proxy, sandbox: Sandbox::start(), idcsync: Idcsync::new("") };
        bench.idcsync.write("password", bench.slapd.password());
        bench.plain(&bench.slapd.reader_dn(), 7, "5s", "");
        bench
    }

    /// Through the relay, in the clear: so that bytes are those of LDAP. `more` are further tables.
    pub fn plain(&self, bind: &str, page: usize, timeout: &str, more: &str) {
        let url = format!("ldap://{}", self.proxy.address());
        self.configure(&url, bind, page, timeout, "allow-plaintext = true", more);
    }

    pub fn configure(&self, url: &str, bind: &str, page: usize, timeout: &str, tls: &str, more: &str) {
        self.idcsync.configure(&format!(
            "profile = \"p\"\n[directory]\nkind = \"ldap\"\nurls = [\"{url}\"]\nbase-dn = \"{BASE}\"\n\
             bind = {{ dn = \"{bind}\", password-file = \"password\" }}\n{tls}\npage-size = {page}\n\
             timeout = \"{timeout}\"\n[scope]\ngroups = {SCOPE:?}\n{}\n[guard]\nmax-percent = 100\n[state]\n\
             url = \"sqlite:state.db\"\n{more}",
            self.sandbox.target()
        ));
    }

    pub fn flip(&self) -> Flip<'_> {
        self.flip_through(&self.proxy)
    }

    pub fn flip_through<'a>(&'a self, proxy: &'a Proxy) -> Flip<'a> {
        let slapd = &self.slapd;
        Flip::new(&self.idcsync, &self.sandbox, proxy, |on| turn(slapd, on), || expected(slapd))
    }

    pub fn contents(&self) -> Contents {
        self.sandbox.store().contents()
    }
}

/// A small Active Directory as a file, in another state each round; and a sandbox, reached directly or through
/// something. A round has something of everything: somebody new, somebody who leaves, who comes, who is renamed, who is
/// put out of use or back, and a group that is new or changed.
pub struct Mixed {
    pub sandbox: Sandbox,
    pub idcsync: Idcsync,
    pub export: Export,
    round: usize,
    /// Whoever was in scope once stays a user.
    ever: BTreeSet<String>,
}

pub fn company() -> Export {
    Export::of(9).group("Team", people(0..6)).group("Crew", people(4..9)).group("Outer", ["Team", "p08"])
}

pub const TEAMS: [&str; 3] = ["Team", "Crew", "Outer"];

impl Mixed {
    pub fn new(sandbox: Sandbox) -> Self {
        Self::with(sandbox, company())
    }

    pub fn with(sandbox: Sandbox, export: Export) -> Self {
        let mut mixed = Self { sandbox, idcsync: Idcsync::new(""), export, round: 0, ever: BTreeSet::new() };
        mixed.put();
        let (target, state) = (mixed.sandbox.target(), "[state]\nurl = \"sqlite:state.db\"\n");
        mixed.configure(&target, state);
        mixed
    }

    /// `target` is that table; `rest` are all others.
    pub fn configure(&self, target: &str, rest: &str) {
        self.idcsync.configure(&format!(
            "profile = \"p\"\n{}\n{target}\n[guard]\nmax-percent = 100\n{rest}",
            Export::config(&TEAMS)
        ));
    }

    /// Writes the export anew.
    pub fn put(&mut self) {
        self.idcsync.write("directory.ldif", &self.export.text());
        let wanted = self.export.expected(&TEAMS);
        self.ever.extend(wanted.users);
    }

    /// The next state of the directory.
    pub fn change(&mut self) {
        let round = self.round;
        self.round += 1;
        let odd = round.is_multiple_of(2);
        let (newcomer, leaver) = (format!("n{round:03}"), format!("n{:03}", round.wrapping_sub(1)));
        self.export.add_person(&newcomer);
        // Nobody is left behind in the file, so that it stays small.
        if self.export.people.contains_key(&leaver) {
            self.export.members("Team").retain(|name| *name != leaver);
        }
        self.export.members("Team").push(newcomer);
        self.export.person("p01").display_name = format!("Round {round}");
        self.export.person("p05").disabled = odd;
        let crew = self.export.members("Crew");
        crew.retain(|name| name != "p00" && name != "p08");
        crew.push(if odd { "p00" } else { "p08" }.to_owned());
        // A group of its own in each round; the one before leaves the scope and stays as it is.
        let group = format!("G{round:03}");
        self.export.groups.insert(group.clone(), people(2..4));
        let outer = self.export.members("Outer");
        outer.retain(|name| !name.starts_with('G'));
        outer.push(group);
        self.put();
    }

    pub fn contents(&self) -> Contents {
        self.sandbox.store().contents()
    }

    /// What is in scope is as the directory has it; whoever was before is still there, in groups of their own time only.
    #[track_caller]
    pub fn assert_whole(&self) {
        let wanted = self.export.expected(&TEAMS);
        let mut there = self.contents();
        there.groups.retain(|name| wanted.groups.contains(name));
        there.members.retain(|name, _| wanted.groups.contains(name));
        for user in self.sandbox.store().users() {
            let name = user["UserName"].as_str().expect("a name");
            let person =
                self.export.people.values().find(|p| p.user_name == name && wanted.users.contains(name));
            let called = person.map(|p| p.display_name.as_str());
            assert!(called.is_none() || called == user["DisplayName"].as_str(), "{user}");
        }
        Contents { users: self.ever.clone(), ..wanted }.assert_same(&there);
    }

    #[track_caller]
    pub fn assert_settled(&self) {
        self.sandbox.assert_settled(&self.idcsync);
    }
}
