//! Reads of changes alone, against real servers: after any changes they show what a read of everything shows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "in a test, a panic is the report"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use idcsync::directory::{Bind, Directory, Kept, LdapDirectory, LdapSettings, ReadOn, Servers, Since};
use idcsync::ids::{Anchor, Dn};
use idcsync::model::{
    DirectoryKind, DirectoryUser, Entries, EntryOutcome, Kind, Mirror, MirrorChange, ObjectRef, Pin,
    ReadRequest, ScopeEntry, Snapshot, Wanted,
};
use idcsync::secret::SecretSource;
use support::company::chance::Chance;
use support::ldap::Client;
use support::samba::{Samba, content};
use support::slapd::{Options, Slapd};

const BASE: &str = "DC=corp,DC=example,DC=com";
const UNITS: [&str; 2] = ["Staff", "Old\\, closed"];

/// A directory of which everything may happen, as somebody sees it who may change it.
struct World {
    kind: DirectoryKind,
    admin: Client,
    chance: Chance,
    directory: LdapDirectory,
    request: ReadRequest,
    mirror: Option<Mirror>,
    /// What the last read has shown.
    before: Option<String>,
    /// People who are in no group.
    loose: Vec<String>,
    hired: usize,
    /// The server does something by itself after a change.
    settles: bool,
    tally: BTreeMap<&'static str, usize>,
    _secret: tempfile::NamedTempFile,
}

fn request(entries: &[&str]) -> ReadRequest {
    let group = |name: &&str| ScopeEntry { kind: Kind::Group, name: (*name).to_owned(), write: true };
    ReadRequest {
        wanted: Wanted {
            entries: entries.iter().map(group).collect(),
            nested: true,
            user_filter: Some("(!(description=not meant))".to_owned()),
            primary_group: true,
            distribution_groups: false,
            attributes: ["displayname", "givenname", "sn", "description"].map(str::to_owned).into(),
        },
        pins: BTreeMap::new(),
        now: "2026-11-22T12:00:00Z".parse().unwrap(),
        server: None,
    }
}

impl World {
    fn new(
        kind: DirectoryKind,
        url: String,
        ca: &Path,
        admin: Client,
        bind: (String, &str),
        seed: u64,
    ) -> Self {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), bind.1).unwrap();
        let directory = LdapDirectory::new(LdapSettings {
            kind,
            servers: Servers::Urls(vec![url]),
            base_dn: Dn::parse(BASE).unwrap(),
            bind: Bind::Simple { dn: bind.0, password: SecretSource::File(secret.path().to_owned()) },
            ca_file: Some(ca.to_owned()),
            starttls: true,
            allow_plaintext: false,
            page_size: 5,
            timeout: Duration::from_secs(60),
        });
        println!("seed {seed}");
        Self {
            kind,
            admin,
            chance: Chance::of(seed),
            directory,
            request: request(&["group0", "group1"]),
            mirror: None,
            before: None,
            loose: Vec::new(),
            hired: 100,
            settles: false,
            tally: BTreeMap::new(),
            _secret: secret,
        }
    }

    fn linked(&self) -> bool {
        self.kind == DirectoryKind::ActiveDirectory
    }

    /// Reads in both ways, holds one against the other, and remembers what is to be remembered.
    async fn read(&mut self) -> Snapshot {
        let whole = self.directory.read(&self.request).await.unwrap();
        let mirror = self.mirror.take();
        let had = mirror.is_some();
        if let Some(mirror) = &mirror
            && is_quiet(&self.directory, &self.request.wanted, mirror).await
        {
            assert_eq!(Some(told(&whole)), self.before, "nothing was said to have changed");
            *self.tally.entry("nothing has changed that counts").or_default() += 1;
        }
        self.before = Some(told(&whole));
        let ReadOn { snapshot, by_changes, mirror: change } =
            self.directory.read_on(&self.request, mirror.clone()).await.unwrap();
        assert_eq!(told(&snapshot), told(&whole), "read by changes: {by_changes:?}");
        let word = match (by_changes, had) {
            (Some(0), _) => "reads without changes",
            (Some(_), _) => "reads of changes",
            (None, true) => "reads of everything for a doubt",
            (None, false) => "reads of everything",
        };
        *self.tally.entry(word).or_default() += 1;
        self.mirror = kept(mirror, change);
        for entry in &whole.entries {
            if let EntryOutcome::Resolved { object: ObjectRef::Group(ix), name, .. } = &entry.outcome {
                let pin = Pin { anchor: whole.group(*ix).anchor, name: name.clone() };
                self.request.pins.insert((Kind::Group, entry.entry.name.clone()), pin);
            }
        }
        whole
    }

    fn hire(&mut self) -> String {
        self.hired += 1;
        let (n, unit) = (self.hired, UNITS[self.chance.below(2)]);
        let dn = format!("CN=Person {n},OU={unit},{BASE}");
        let (name, mail) = (format!("person{n}"), format!("person{n}@corp.example.com"));
        let mut attributes = match self.kind {
            DirectoryKind::ActiveDirectory => vec![
                ("objectClass", "user"),
                ("sAMAccountName", name.as_str()),
                ("userAccountControl", "514"),
                ("userPrincipalName", mail.as_str()),
            ],
            DirectoryKind::Ldap => vec![("objectClass", "inetOrgPerson"), ("uid", name.as_str())],
        };
        attributes.extend([
            ("mail", mail.as_str()),
            ("givenName", "P"),
            ("sn", "Doe"),
            ("displayName", "P Doe"),
        ]);
        self.admin.create(&dn, &attributes);
        dn
    }

    /// One thing happens, chosen by chance among what is possible.
    fn happen(&mut self, now: &Snapshot) {
        let people: Vec<String> = now.users.iter().map(|u| u.dn.as_str().to_owned()).collect();
        let groups: Vec<String> = now.groups.iter().map(|g| g.dn.as_str().to_owned()).collect();
        let (Some(group), Some(person)) = (self.chance.pick(&groups), self.chance.pick(&people)) else {
            return;
        };
        let inside = now.groups.iter().find(|g| g.dn.as_str() == group).unwrap();
        let members: Vec<String> = (inside.members.users.iter())
            .filter(|ix| !inside.members.primary.contains(*ix))
            .map(|ix| now.users[ix as usize].dn.as_str().to_owned())
            .collect();
        let nested: Vec<String> =
            inside.members.groups.iter().map(|ix| now.groups[ix as usize].dn.as_str().to_owned()).collect();
        let what = self.chance.below(18);
        self.hired += 1;
        let number = self.hired;
        match what {
            0 => {
                let new = self.hire();
                self.loose.push(new);
            }
            1 => {
                let new = self.hire();
                self.admin.add_member(&group, &new);
            }
            2 | 3 => {
                let Some(at) = (!self.loose.is_empty()).then(|| self.chance.below(self.loose.len())) else {
                    return;
                };
                let new = self.loose.remove(at);
                self.admin.add_member(&group, &new);
            }
            4 | 5 => {
                let mine = members.iter().any(|m| Dn::parse(m).unwrap() == Dn::parse(&person).unwrap());
                let primary =
                    inside.members.primary.iter().any(|ix| now.users[ix as usize].dn.as_str() == person);
                if !mine && !primary {
                    self.admin.add_member(&group, &person);
                }
            }
            6 | 7 => {
                if let Some(leaver) = self.chance.pick(&members).filter(|_| members.len() > 1) {
                    self.admin.remove_member(&group, &leaver);
                }
            }
            8 => {
                let inner = self.chance.one_of(&groups);
                if !nested.contains(&inner) && inner != group {
                    self.admin.add_member(&group, &inner);
                }
            }
            9 => {
                if let Some(inner) = self.chance.pick(&nested).filter(|_| !members.is_empty()) {
                    self.admin.remove_member(&group, &inner);
                }
            }
            10 => self.admin.rename(&person, &format!("CN=Person {number}")),
            11 => {
                let parent = format!("OU={},{BASE}", UNITS[self.chance.below(2)]);
                if !person.to_lowercase().ends_with(&parent.to_lowercase()) {
                    self.admin.move_to(&person, &parent);
                }
            }
            12 => self.admin.delete(&person),
            // Nobody asks for it.
            16 | 17 => self.admin.replace(&person, "title", &[&format!("No. {number}")]),
            13 => {
                let text = if self.chance.one_in(2) { "not meant" } else { "meant" };
                self.admin.replace(&person, "description", &[text]);
            }
            14 if self.linked() => {
                let control = if self.chance.one_in(2) { "514" } else { "546" };
                self.admin.replace(&person, "userAccountControl", &[control]);
            }
            14 => self.admin.replace(&person, "mail", &[&format!("m{number}@corp.example.com")]),
            _ if self.linked() && members.contains(&person) => {
                // A person's primary group is one that they are in; they are taken out of its list then.
                let sid = inside.sid.as_ref().and_then(|sid| sid.rid()).unwrap().to_string();
                self.admin.replace(&person, "primaryGroupID", &[&sid]);
            }
            _ => self.admin.rename(&group, &format!("CN=Group {number}")),
        }
    }

    /// Somebody gives another name to what people and groups lie in, of which only the container is reported.
    fn rename_unit(&mut self) {
        let (old, new) = (format!("OU={},{BASE}", UNITS[0]), "OU=Other");
        self.admin.rename(&old, new);
        self.admin.rename(&format!("{new},{BASE}"), &format!("OU={}", UNITS[0]));
        self.admin.rename(&format!("OU=Groups,{BASE}"), "OU=Groups 2");
    }

    async fn live(&mut self, rounds: usize) {
        let mut now = self.read().await;
        for round in 0..rounds {
            for _ in 0..self.chance.below(3) {
                self.happen(&now);
                if self.settles {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                // What happens next must be possible: it is chosen by what is there.
                now = self.directory.read(&self.request).await.unwrap();
            }
            if round == rounds / 2 {
                self.rename_unit();
            }
            now = self.read().await;
        }
        println!("{:?}", self.tally);
        let count = |word: &str| self.tally.get(word).copied().unwrap_or(0);
        assert!(count("reads of changes") > rounds / 8, "{:?}", self.tally);
        assert!(count("reads without changes") > 0, "{:?}", self.tally);
        let quiet = count("nothing has changed that counts");
        assert!(quiet > count("reads without changes"), "{:?}", self.tally);
        assert!(count("reads of everything for a doubt") >= 1, "{:?}", self.tally);
    }
}

/// Whether nothing that counts has changed since this mirror was made.
async fn is_quiet(directory: &LdapDirectory, wanted: &Wanted, mirror: &Mirror) -> bool {
    matches!(directory.since(wanted, &mirror.mark, &Held(mirror)).await, Since::Nothing(_))
}

struct Held<'a>(&'a Mirror);

#[async_trait::async_trait]
impl Kept for Held<'_> {
    async fn mirror(&self) -> Option<Mirror> {
        Some(self.0.clone())
    }

    async fn entries(&self, anchors: &BTreeSet<Anchor>) -> Option<Entries> {
        let entries = self.0.entries.iter().filter(|(anchor, _)| anchors.contains(anchor));
        Some(entries.map(|(anchor, content)| (*anchor, content.clone())).collect())
    }

    async fn answers(&self) -> Option<BTreeMap<String, BTreeSet<Anchor>>> {
        Some(self.0.answers.clone())
    }
}

/// Everything that a snapshot says but where it comes from.
fn told(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for user in &snapshot.users {
        let _ = writeln!(text, "{user:?}");
    }
    for group in &snapshot.groups {
        let _ = writeln!(text, "{group:?}");
    }
    for entry in &snapshot.entries {
        let _ = writeln!(text, "{entry:?}");
    }
    let mut findings: Vec<String> =
        snapshot.findings.iter().map(|f| format!("{} {:?}\n", f.code, f.subject)).collect();
    findings.sort();
    text + &findings.concat()
}

/// As the state database keeps it.
fn kept(before: Option<Mirror>, change: MirrorChange) -> Option<Mirror> {
    match change {
        MirrorChange::Drop => None,
        MirrorChange::Whole(mirror) => Some(mirror),
        MirrorChange::Part { mark, put, gone, answers } => {
            let mut mirror = before.unwrap();
            mirror.entries.retain(|anchor, _| !gone.contains(anchor));
            mirror.entries.extend(put);
            mirror.answers.extend(answers);
            Some(Mirror { mark, ..mirror })
        }
    }
}

fn seed(of: u64) -> u64 {
    std::env::var("IDCSYNC_SEED").ok().map_or(of, |text| text.parse().unwrap())
}

#[tokio::test]
async fn samba_reads_of_changes_show_what_reads_of_everything_show() {
    let mut ldif: String = UNITS.iter().chain(&["Groups"]).map(|name| unit(name)).collect();
    let person = |n: usize| format!("CN=Person {n},OU={},{BASE}", UNITS[n % 2]);
    let group = |n: usize| format!("CN=Group {n},OU=Groups,{BASE}");
    ldif.extend((0..12).map(|n| content::user(&person(n), n, "corp.example.com")));
    ldif.extend((0..5).map(|n| content::group(&group(n), &format!("group{n}"))));
    for n in 0..5 {
        let mut list: Vec<String> = (0..12).filter(|p| p % 5 == n || p % 3 == n).map(person).collect();
        list.extend((n + 1..5).filter(|inner| inner % 2 == 0).map(group));
        ldif += &content::members(&group(n), list);
    }
    let samba = Samba::start_ldif("corp.example.com", &ldif);
    samba.show_deleted_to_reader();
    let bind = (samba.bind_dn(), samba.password());
    let (kind, url) = (DirectoryKind::ActiveDirectory, samba.ldaps_url());
    let mut world = World::new(kind, url, samba.ca_file(), samba.admin(), bind, seed(7));
    world.live(60).await;
    // A deleted object that comes back is in its groups again.
    let now = world.read().await;
    let name = |user: &DirectoryUser| user.attributes.text("samaccountname").unwrap_or_default().to_owned();
    let in_a_group =
        |at: &usize| now.groups.iter().any(|g| g.members.users.contains(u32::try_from(*at).unwrap()));
    let somebody = (0..now.users.len()).filter(in_a_group).map(|at| name(&now.users[at])).next().unwrap();
    let back = samba.delete(&somebody);
    world.read().await;
    samba.undelete(&back);
    world.read().await;
}

fn unit(name: &str) -> String {
    format!("dn: OU={name},{BASE}\nobjectClass: organizationalUnit\nou: {}\n\n", name.replace('\\', ""))
}

fn of_slapd(options: &Options) -> (Slapd, World) {
    let mut ldif =
        format!("dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Corp\ndc: corp\n\n");
    ldif.extend(UNITS.iter().chain(&["Groups"]).map(|name| unit(name)));
    let person = |n: usize| format!("cn=Person {n},OU={},{BASE}", UNITS[n % 2]);
    let group = |n: usize| format!("cn=group{n},OU=Groups,{BASE}");
    for n in 0..12 {
        let _ = write!(
            ldif,
            "dn: {}\nobjectClass: inetOrgPerson\nuid: person{n}\ncn: Person {n}\nsn: Doe\ngivenName: P\nmail: \
             person{n}@corp.example.com\n\n",
            person(n)
        );
    }
    for n in 0..5 {
        let _ = writeln!(ldif, "dn: {}\nobjectClass: groupOfNames\ncn: group{n}", group(n));
        let list = (0..12).filter(|p| p % 5 == n || p % 3 == n).map(person);
        for member in list.chain((n + 1..5).filter(|inner| inner % 2 == 0).map(group)) {
            let _ = writeln!(ldif, "member: {member}");
        }
        ldif.push('\n');
    }
    let slapd = Slapd::start_ldif(&ldif, BASE, options);
    let bind = (slapd.reader_dn(), slapd.password());
    let kind = DirectoryKind::Ldap;
    let mut world = World::new(kind, slapd.ldap_url(), slapd.ca_file(), slapd.admin(), bind, seed(11));
    world.request.wanted.primary_group = false;
    (slapd, world)
}

#[tokio::test]
async fn slapd_reads_of_changes_show_what_reads_of_everything_show() {
    let (_slapd, mut world) = of_slapd(&Options { syncprov: true, ..Options::default() });
    world.live(120).await;
}

/// Members follow their objects, and no group is reported for it: neither is somebody in a group by a name that somebody
/// else had, nor does anybody who was deleted stay.
#[tokio::test]
async fn slapd_that_keeps_references_in_order_says_nothing_of_it() {
    let (_slapd, mut world) = of_slapd(&Options { syncprov: true, refint: true, ..Options::default() });
    world.settles = true;
    world.live(80).await;
    let mut recycled = 0;
    for _ in 0..6 {
        let now = world.read().await;
        let in_a_group =
            |at: &usize| now.groups.iter().any(|g| g.members.users.contains(u32::try_from(*at).unwrap()));
        let Some(at) = (0..now.users.len()).find(in_a_group) else { break };
        let dn = now.users[at].dn.as_str();
        world.admin.delete(dn);
        world.read().await;
        let person = [("objectClass", "inetOrgPerson"), ("uid", "again"), ("sn", "Doe"), ("givenName", "P")];
        world.admin.create(dn, &person);
        let after = world.read().await;
        assert!(!after.users.iter().any(|u| u.dn == now.users[at].dn), "{dn} is another person");
        recycled += 1;
    }
    assert!(recycled > 3, "{recycled}");
}

/// Without a log of what was deleted the server lists what is there instead.
#[tokio::test]
async fn slapd_without_a_session_log_tells_what_is_there_instead() {
    let options = Options { syncprov: true, session_log: false, ..Options::default() };
    let (_slapd, mut world) = of_slapd(&options);
    world.live(80).await;
}

/// Where each sign-in is noted with the account, the log is full of what makes no difference.
#[tokio::test]
async fn slapd_sign_ins_are_no_news() {
    let options = Options { syncprov: true, password_policy: true, ..Options::default() };
    let (slapd, mut world) = of_slapd(&options);
    world.read().await;
    let mirror = world.mirror.clone().unwrap();
    let sign_in = || slapd.client(&slapd.reader_dn()).search(&["-b", BASE, "-s", "base", "1.1"]);
    let mut watch = world.directory.watch(&world.request.wanted, &mirror.mark).await.unwrap();
    for _ in 0..3 {
        // It is noted by the second.
        std::thread::sleep(Duration::from_millis(1100));
        sign_in();
        assert!(!watch.look(&Held(&mirror)).await.unwrap());
    }
    let since = world.directory.since(&world.request.wanted, &mirror.mark, &Held(&mirror)).await;
    let Since::Nothing(quiet) = since else { panic!("nothing was to be read") };
    assert!(quiet.changed > 0 && quiet.position != mirror.mark.position);
    let person = format!("cn=Person 1,OU={},{BASE}", UNITS[1]);
    world.admin.replace(&person, "mail", &["other@corp.example.com"]);
    assert!(watch.look(&Held(&mirror)).await.unwrap());
    let since = world.directory.since(&world.request.wanted, &mirror.mark, &Held(&mirror)).await;
    let Since::Plain(plain) = since else { panic!("one person was changed") };
    assert!(plain.people.len() == 1 && plain.groups.is_empty());
}
