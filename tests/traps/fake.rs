//! An Active Directory of which a test decides what it answers: the fake server, and what is in it.

use std::sync::{Arc, Mutex};

use tokio::runtime::Runtime;

use super::fake_ldap::{BASE, Behaviour, Entry, FakeLdap, Seen, Twist};

/// A directory over LDAP that can be told to fail.
pub struct Fake {
    pub server: FakeLdap,
    script: Script,
    /// Serves as long as this is there.
    _runtime: Runtime,
}

type Script = Arc<Mutex<Option<Box<dyn Fn(&Seen) -> Option<Twist> + Send>>>>;

impl Fake {
    pub fn start(entries: Vec<Entry>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let script = Script::default();
        let told = Arc::clone(&script);
        let behaviour =
            Behaviour::of(entries).with(move |seen| told.lock().unwrap().as_ref().and_then(|f| f(seen)));
        let server = runtime.block_on(FakeLdap::start(behaviour));
        Self { server, script, _runtime: runtime }
    }

    pub fn tell(&self, script: impl Fn(&Seen) -> Option<Twist> + Send + 'static) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }

    pub fn behave(&self) {
        *self.script.lock().unwrap() = None;
    }

    pub fn config(&self, groups: &[&str], target: &str) -> String {
        format!(
            "profile = \"p\"\n[directory]\nkind = \"active-directory\"\nurls = [\"{}\"]\nbase-dn = \"{BASE}\"\n\
             bind = {{ dn = \"CN=svc,{BASE}\", password-file = \"password\" }}\nallow-plaintext = true\ntimeout = \"2s\"\n\n\
             [scope]\ngroups = {groups:?}\nprimary-group = false\n\n{target}\n[state]\nurl = \"sqlite:state.db\"\n",
            self.server.url
        )
    }
}

/// The domain, `count` people, and groups of people and groups.
pub fn domain(count: usize, groups: &[(&str, Vec<String>)]) -> Vec<Entry> {
    let sid = |number: usize| {
        let number = u32::try_from(number).unwrap().to_le_bytes();
        [&[1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0][..], &number].concat()
    };
    let guid = |number: usize| format!("guid{number:012}").into_bytes();
    let mut head = Entry::new(BASE, &[("objectClass", "domainDNS")]);
    head.add("objectSid", vec![1, 4, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0]);
    let mut all = vec![head];
    for number in 0..count {
        let name = format!("p{number}");
        let mail = format!("{name}@corp.example");
        let mut entry = Entry::new(
            &dn(&name),
            &[
                ("objectClass", "person"),
                ("objectClass", "user"),
                ("sAMAccountName", &name),
                ("userAccountControl", "512"),
                ("userPrincipalName", &mail),
                ("mail", &mail),
                ("givenName", "Given"),
                ("sn", "Family"),
                ("displayName", &name),
            ],
        );
        entry.add("objectGUID", guid(number));
        entry.add("objectSid", sid(number + 2_000));
        all.push(entry);
    }
    for (at, (name, members)) in groups.iter().enumerate() {
        let kind = [("objectClass", "group"), ("sAMAccountName", *name), ("groupType", "-2147483646")];
        let mut entry = Entry::new(&dn(name), &kind);
        entry.add("objectGUID", guid(900_000 + at));
        entry.add("objectSid", sid(900_000 + at));
        for member in members {
            entry.add("member", dn(member).into_bytes());
        }
        all.push(entry);
    }
    all
}

/// These people deleted: a tombstone each, and members of nothing.
pub fn delete(entries: &mut [Entry], numbers: std::ops::Range<usize>) {
    let gone: Vec<String> = names(numbers).iter().map(|name| dn(name)).collect();
    for entry in entries {
        if gone.contains(&entry.dn) {
            let name = entry.dn.split([',', '=']).nth(1).expect("a name").to_owned();
            entry.dn = format!("CN={name}\\0ADEL:{name},CN=Deleted Objects,{BASE}");
            entry.attributes.retain(|(name, _)| name != "mail" && name != "userPrincipalName");
            entry.add("isDeleted", b"TRUE".to_vec());
        }
        for (_, values) in entry.attributes.iter_mut().filter(|(name, _)| name == "member") {
            values.retain(|value| !gone.iter().any(|dn| dn.as_bytes() == value));
        }
    }
}

fn dn(name: &str) -> String {
    format!("CN={name},OU=All,{BASE}")
}

pub fn names(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("p{n}")).collect()
}
