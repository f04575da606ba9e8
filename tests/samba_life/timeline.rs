//! A small domain; and a profile beside it, with a store and a clock of its own.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::support::contents::Contents;
use super::support::idcsync::{Idcsync, Run, Sandbox, is_write};
use super::support::samba::Samba;

pub const DOMAIN: &str = "corp.example.com";
pub const BASE: &str = "DC=corp,DC=example,DC=com";

/// Of the people `user0` … `user15`, the last two are in no group.
pub const IN_RED: std::ops::Range<usize> = 0..8;
pub const IN_BLUE: std::ops::Range<usize> = 6..14;

/// `Red` and `Blue`, which are synced, and `Other`, which is not; people in two OUs. The reader sees tombstones.
pub fn domain() -> Samba {
    let samba = domain_without_tombstones();
    samba.show_deleted_to_reader();
    samba
}

/// The same with a reader of no particular rights.
pub fn domain_without_tombstones() -> Samba {
    let mut ldif = String::new();
    for unit in ["Here", "There", "Groups", "Away"] {
        ldif += &format!("dn: OU={unit},{BASE}\nobjectClass: organizationalUnit\nou: {unit}\n\n");
    }
    for number in 0..16 {
        ldif += &record(&person(number), number);
    }
    for name in ["Red", "Blue", "Other"] {
        ldif += &format!(
            "dn: {}\nobjectClass: group\nsAMAccountName: {name}\ngroupType: -2147483640\n\n",
            group(name)
        );
    }
    for (name, numbers) in [("Red", IN_RED), ("Blue", IN_BLUE)] {
        let list: String = numbers.map(|n| format!("member: {}\n", person(n))).collect();
        ldif += &format!("dn: {}\nchangetype: modify\nadd: member\n{list}-\n\n", group(name));
    }
    Samba::start_ldif(DOMAIN, &ldif)
}

/// The entry of a person of this number.
pub fn record(dn: &str, number: usize) -> String {
    format!(
        "dn: {dn}\nobjectClass: user\nsAMAccountName: user{number}\nuserAccountControl: 512\n\
         userPrincipalName: user{number}@{DOMAIN}\ngivenName: User\nsn: Number {number}\n\
         displayName: User {number}\nmail: user{number}@{DOMAIN}\n\n"
    )
}

pub fn person(number: usize) -> String {
    format!("CN=User {number},OU={},{BASE}", if number.is_multiple_of(2) { "Here" } else { "There" })
}

pub fn group(name: &str) -> String {
    format!("CN={name},OU=Groups,{BASE}")
}

pub fn upn(number: usize) -> String {
    format!("user{number}@{DOMAIN}")
}

/// How people are put out of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The API alone, with each of its substitutes.
    Revoke,
    Report,
    Delete,
    /// The API with SCIM beside it.
    Beside,
    /// SCIM alone.
    Scim,
}

impl Way {
    pub const ALL: [Self; 5] = [Self::Revoke, Self::Report, Self::Delete, Self::Beside, Self::Scim];

    pub fn disables(self) -> bool {
        matches!(self, Self::Beside | Self::Scim)
    }

    /// `1 user to …`
    pub fn verb(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Report => "report",
            Self::Delete => "delete",
            Self::Beside | Self::Scim => "disable",
        }
    }
}

/// A profile: its config, its state, its store. Time is told to each of its runs, from the test's beginning on.
pub struct Profile {
    pub way: Way,
    pub sandbox: Sandbox,
    pub idcsync: Idcsync,
    config: String,
}

impl Profile {
    pub fn new(samba: &Samba, way: Way) -> Self {
        Self::with(samba, way, &[])
    }

    /// With changes to the config: what is there, and what is to stand there.
    pub fn with(samba: &Samba, way: Way, changes: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::start();
        let scim = sandbox.scim();
        let scim = format!("scim = {{ url = \"{}\", token-file = \"token\" }}\n", scim.base_url());
        let (target, method) = match way {
            Way::Revoke => (sandbox.target(), "revoke"),
            Way::Report => (sandbox.target(), "report"),
            Way::Delete => (sandbox.target(), "delete"),
            Way::Beside => (sandbox.target() + &scim, ""),
            Way::Scim => (format!("[target]\nkind = \"scim\"\nrequests-per-second = 100000\n{scim}"), ""),
        };
        let method =
            if method.is_empty() { String::new() } else { format!("disable-method = \"{method}\"\n") };
        let config = format!(
            "profile = \"corp\"\n{}\n[scope]\ngroups = [\"Red\", \"Blue\"]\n\n{target}\n[lifecycle]\n{method}\n\
             [state]\nurl = \"sqlite:state.db\"\n",
            samba.directory()
        );
        let profile = Self { way, idcsync: Idcsync::new(""), config, sandbox };
        profile.idcsync.write("password", samba.password());
        profile.idcsync.write("token", "sandbox-token");
        profile.configure(changes);
        profile
    }

    /// Writes the config anew, with these changes to what it was at first.
    pub fn configure(&self, changes: &[(&str, &str)]) {
        let mut config = self.config.clone();
        for (old, new) in changes {
            assert!(config.contains(old), "the config has no {old:?}");
            config = config.replace(old, new);
        }
        self.idcsync.configure(&config);
    }

    /// A run so much later than now (`"28d 1h"`).
    pub fn at(&self, time: &str, arguments: &[&str]) -> Run {
        self.idcsync.run_at(time, arguments)
    }

    #[track_caller]
    pub fn sync(&self, time: &str) -> Run {
        self.at(time, &["sync"]).exits(0)
    }

    /// A cycle that finds nothing to do, and does nothing.
    #[track_caller]
    pub fn idle(&self, time: &str) -> Run {
        let (run, requests) = self.sandbox.requests_of(|| self.sync(time).says("Nothing to do"));
        assert!(!requests.iter().any(is_write), "{:?}: {requests:?}", self.way);
        run
    }

    /// The same, twice: an ordinary cycle, and one that looks at all that the target has.
    #[track_caller]
    pub fn settled(&self, time: &str) {
        self.idle(time);
        let (_, requests) =
            self.sandbox.requests_of(|| self.at(time, &["sync", "--full"]).exits(0).says("Nothing to do"));
        assert!(!requests.iter().any(is_write), "{:?}: {requests:?}", self.way);
    }

    pub fn contents(&self) -> Contents {
        self.sandbox.store().contents()
    }

    /// The whole record of a user in the store.
    pub fn find(&self, name: &str) -> Option<Value> {
        self.sandbox.store().users().into_iter().find(|user| user["UserName"] == name)
    }

    #[track_caller]
    pub fn user(&self, number: usize) -> Value {
        self.find(&upn(number)).unwrap_or_else(|| panic!("{:?}: there is no user{number}", self.way))
    }

    #[track_caller]
    pub fn id(&self, number: usize) -> String {
        self.user(number)["UserId"].as_str().expect("an id").to_owned()
    }

    #[track_caller]
    pub fn is_enabled(&self, number: usize) -> bool {
        match self.user(number)["UserStatus"].as_str() {
            Some("ENABLED") => true,
            Some("DISABLED") => false,
            other => panic!("a status of {other:?}"),
        }
    }

    /// Whether somebody is put out of use in the way that this profile has, as far as the store shows it.
    #[track_caller]
    pub fn is_out(&self, number: usize) -> bool {
        assert!(self.groups_of(number).is_empty(), "{:?}: user{number} is in groups", self.way);
        match self.way {
            Way::Revoke | Way::Report => self.is_enabled(number),
            Way::Delete => self.find(&upn(number)).is_none(),
            Way::Beside | Way::Scim => !self.is_enabled(number),
        }
    }

    /// The groups that a user is in, without the domain.
    pub fn groups_of(&self, number: usize) -> BTreeSet<String> {
        let contents = self.contents();
        let of = contents.members.iter().filter(|(_, members)| members.contains(&upn(number)));
        of.map(|(group, _)| group.replace(&format!("@{DOMAIN}"), "")).collect()
    }

    pub fn group_id(&self, name: &str) -> String {
        let name = format!("{name}@{DOMAIN}");
        let groups = self.sandbox.store().groups();
        let group = groups.iter().find(|group| group["DisplayName"] == name);
        group.expect("a group")["GroupId"].as_str().expect("an id").to_owned()
    }

    /// Someone in the store has nothing to do with the directory.
    pub fn stranger(&self, name: &str) -> String {
        let user = json!({
            "UserName": name, "DisplayName": name, "Name": { "GivenName": "S", "FamilyName": "T" },
        });
        self.sandbox.store().call("CreateUser", user)["UserId"].as_str().expect("an id").to_owned()
    }

    /// Somebody sets this by hand in the target.
    pub fn set_active(&self, id: &str, active: bool) {
        let operations = json!([{ "op": "replace", "path": "active", "value": active }]);
        let (status, answer) = self.sandbox.scim().patch(&format!("/Users/{id}"), operations);
        assert!(status < 300, "{answer}");
    }
}

/// The steps of a plan's or a cycle's JSON, each as `action object [member]` without the domain, in the order of the
/// alphabet.
pub fn steps(document: &Value) -> Vec<String> {
    let mut steps: Vec<String> = steps_of(document).iter().map(line).collect();
    steps.sort();
    steps
}

/// The step that [`steps`] writes so.
#[track_caller]
pub fn step<'a>(document: &'a Value, wanted: &str) -> &'a Value {
    let found = steps_of(document).iter().find(|step| line(step) == wanted);
    found.unwrap_or_else(|| panic!("no {wanted:?}: {document:#}"))
}

fn steps_of(document: &Value) -> &Vec<Value> {
    let plan = if document["plan"].is_object() { &document["plan"] } else { document };
    plan["steps"].as_array().expect("steps")
}

fn line(step: &Value) -> String {
    let domain = format!("@{DOMAIN}");
    let of =
        |what: &str| step[what]["label"].as_str().map(|label| format!(" {}", label.replace(&domain, "")));
    let action = step["action"].as_str().expect("an action").to_owned();
    [Some(action), of("object"), of("member")].into_iter().flatten().collect()
}
