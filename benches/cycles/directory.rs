//! A directory from which cycles read: the floor, and the program beside it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::Options;
use crate::measure::{self, Cost, medians};
use crate::support::company::{Company, Flavour, ScopeGroup};
use crate::support::dirs;
use crate::support::idcsync::{Idcsync, Sandbox};
use crate::support::ldap::{Client, replace};
use crate::support::samba::Samba;
use crate::support::slapd::{self, Slapd};
use crate::support::ways::Way;
use crate::tap::Tap;

/// What a cycle asks for of people, and of groups beside.
const LDAP: Floor = Floor {
    people: "(|(objectClass=person)(objectClass=inetOrgPerson)(objectClass=organizationalPerson)(objectClass=posixAccount))",
    groups: "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=groupOfMembers)\
             (objectClass=groupOfEntries)(objectClass=ipaUserGroup)(objectClass=posixGroup))",
    attributes: "objectClass entryUUID nsUniqueId uid cn mail nsAccountLock createTimestamp memberUid givenName sn \
                 displayName initials",
    members: "member uniqueMember",
};
const AD: Floor = Floor {
    people: "(&(objectClass=user)(!(objectClass=computer)))",
    groups: "(objectClass=group)",
    attributes: "objectClass objectGUID objectSid sAMAccountName sAMAccountType userPrincipalName mail \
                 userAccountControl accountExpires whenCreated groupType primaryGroupID givenName sn displayName \
                 initials",
    members: "member",
};
const CHANGES: usize = 100;

/// The same entries and attributes, by a program that does nothing with them.
struct Floor {
    people: &'static str,
    groups: &'static str,
    attributes: &'static str,
    members: &'static str,
}

/// A server with a company in it.
struct Bed {
    flavour: Flavour,
    floor: Floor,
    company: Company,
    scope: Vec<ScopeGroup>,
    base: String,
    url: String,
    address: SocketAddr,
    bind_dn: String,
    password: &'static str,
    admin: Client,
    runs: usize,
}

/// With all of the company in scope: teams five deep below the container.
pub fn of_slapd(options: &Options) -> Value {
    let mut company = Company::new(options.people, options.groups);
    company.seed = options.seed;
    company.every_tree = true;
    let server = Slapd::start_with(&company, &slapd::Options { syncprov: true, ..Default::default() });
    let url = server.ldap_url();
    let bed = Bed {
        flavour: Flavour::OpenLdap,
        floor: LDAP,
        scope: company.scope(),
        company,
        base: server.base_dn().to_owned(),
        address: address(&url),
        url,
        bind_dn: server.reader_dn(),
        password: server.password(),
        admin: server.admin(),
        runs: options.runs,
    };
    bed.measure()
}

/// A tenth of everything, since the server is the limit.
pub fn of_samba(options: &Options) -> Value {
    let mut company = Company::new(options.people / 10, options.groups / 10);
    company.seed = options.seed;
    company.every_tree = true;
    let server = Samba::start(&company);
    server.show_deleted_to_reader();
    let url = server.ldap_url();
    let bed = Bed {
        flavour: Flavour::ActiveDirectory,
        floor: AD,
        scope: company.scope(),
        company,
        base: server.base_dn().to_owned(),
        address: format!("{}:389", url.trim_start_matches("ldap://")).parse().expect("an address"),
        url,
        bind_dn: server.bind_dn(),
        password: server.password(),
        admin: server.admin(),
        // Each takes seconds.
        runs: options.runs.min(3),
    };
    bed.measure()
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("ldap://").parse().expect("an address")
}

impl Bed {
    fn measure(&self) -> Value {
        let home = dirs::private();
        let out = home.path().join("out");
        // In memory, and without a limit: what the target takes is measured elsewhere.
        let sandbox = Sandbox::start();
        let tap = Tap::start(self.address);
        let bench = Idcsync::new("");
        bench.write("password", self.password);
        bench.write("token", sandbox.scim().token());
        let configure = |url: &str| bench.configure(&self.config(url, &sandbox));
        let by_changes = |url: &str| {
            bench
                .configure(&format!("{}[schedule]\nfull-read-every = \"24h\"\n", self.config(url, &sandbox)));
            // The first reads everything, the second finds nothing to do, and from then on there is something to rest on.
            for _ in 0..3 {
                measure::run(bench.command(&["-v", "sync"]), &out);
            }
        };
        let counted = |work: &dyn Fn()| {
            configure(&tap.url());
            tap.take();
            work();
            configure(&self.url);
            tap.take()
        };
        configure(&self.url);
        let dry = || measure::run(bench.command(&["-v", "sync", "--dry-run"]), &out);
        let mut runs = Vec::new();
        let mut add = |name: &str, costs: &[Cost], counts: Value, note: String| {
            eprintln!("{name}: {:.2} s {note}", costs[0].wall);
            let mut row = medians(costs);
            row["name"] = json!(name);
            row["ldap"] = counts;
            row["plan"] = json!(note);
            runs.push(row);
        };

        // Side by side: what else the machine does falls on both.
        self.read_floor(&self.url, &out);
        let (mut floor, mut first) = (Vec::new(), Vec::new());
        for _ in 0..self.runs {
            floor.push(self.read_floor(&self.url, &out));
            first.push(dry());
        }
        let planned = plan_of(&out);
        tap.take();
        self.read_floor(&tap.url(), &out);
        add("ldapsearch, the same entries", &floor, tap.take(), String::new());
        let counts = counted(&|| {
            dry();
        });
        add("sync --dry-run, the first", &first, counts, planned);

        let before = sandbox.requests().len();
        let applied = measure::run(bench.command(&["-v", "sync"]), &out);
        let sent = sandbox.requests().len() - before;
        add("sync, the first", &[applied], Value::Null, format!("{sent} requests"));

        let (mut floor, mut idle, mut idle_dry) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.runs {
            floor.push(self.read_floor(&self.url, &out));
            idle.push(measure::run(bench.command(&["-v", "sync"]), &out));
            idle_dry.push(dry());
        }
        let planned = plan_of(&out);
        let counts = counted(&|| {
            measure::run(bench.command(&["-v", "sync"]), &out);
        });
        add("ldapsearch, again", &floor, Value::Null, String::new());
        add("sync, no change", &idle, counts, planned.clone());
        add("sync --dry-run, no change", &idle_dry, Value::Null, planned);

        self.change(0, CHANGES);
        let changed: Vec<Cost> = (0..self.runs).map(|_| dry()).collect();
        let planned = plan_of(&out);
        let counts = counted(&|| {
            dry();
        });
        add("sync --dry-run, 100 changes", &changed, counts, planned);
        let before = sandbox.requests().len();
        let applied = measure::run(bench.command(&["-v", "sync"]), &out);
        let sent = sandbox.requests().len() - before;
        add("sync, 100 changes", &[applied], Value::Null, format!("{sent} requests"));

        let by_hand = |round, changes| {
            self.change(round, changes);
            measure::run(bench.command(&["-v", "sync"]), &out)
        };
        by_changes(&tap.url());
        tap.take();
        measure::run(bench.command(&["-v", "sync"]), &out);
        let counts_at_rest = tap.take();
        by_hand(1, 1);
        let counts_of_one = tap.take();
        by_hand(2, CHANGES);
        let counts_of_changes = tap.take();
        by_changes(&self.url);
        let (mut floor, mut rested, mut one, mut followed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.runs {
            floor.push(self.read_floor(&self.url, &out));
            rested.push(measure::run(bench.command(&["-v", "sync"]), &out));
            one.push(by_hand(3 + 2 * round, 1));
            followed.push(by_hand(4 + 2 * round, CHANGES));
            // Two more, so that the next one has something to rest on.
            measure::run(bench.command(&["-v", "sync"]), &out);
            measure::run(bench.command(&["-v", "sync"]), &out);
        }
        add("ldapsearch, a third time", &floor, Value::Null, String::new());
        add("sync by changes, no change", &rested, counts_at_rest, String::new());
        add("sync by changes, one change", &one, counts_of_one, String::new());
        add("sync by changes, 100 changes", &followed, counts_of_changes, String::new());
        let size = std::fs::metadata(bench.path("state.db")).map_or(0, |file| file.len());
        json!({
            "people": self.company.people,
            "groups": self.company.groups,
            "runs": runs,
            "state_bytes": size,
        })
    }

    fn config(&self, url: &str, sandbox: &Sandbox) -> String {
        let kind = match self.flavour {
            Flavour::ActiveDirectory => "active-directory",
            Flavour::OpenLdap => "ldap",
        };
        let groups: Vec<_> = self
            .scope
            .iter()
            .map(|entry| format!("{{ group = \"{}\", write = {} }}", entry.name, entry.write))
            .collect();
        format!(
            "profile = \"bench\"\n[directory]\nkind = \"{kind}\"\nurls = [\"{url}\"]\nbase-dn = \"{}\"\n\
             bind = {{ dn = \"{}\", password-file = \"password\" }}\nallow-plaintext = true\n\
             [scope]\ngroups = [{}]\n{}max-apply = \"1d\"\n\
             [log]\nformat = \"json\"\n[state]\nurl = \"sqlite:state.db\"\n",
            self.base,
            self.bind_dn,
            groups.join(", "),
            // A hundred members in a request: with the API alone, each of millions would be one.
            Way::Scim.target(sandbox),
        )
    }

    fn read_floor(&self, url: &str, out: &Path) -> Cost {
        let Floor { people, groups, attributes, members } = self.floor;
        let part = |filter: &str, attributes: &str| {
            let mut command = Command::new("ldapsearch");
            command.env("LDAPCONF", "/dev/null");
            command.args(["-x", "-LLL", "-o", "ldif-wrap=no", "-E", "pr=1000/noprompt", "-H", url]);
            command.args(["-D", &self.bind_dn, "-w", self.password, "-b", &self.base, filter]);
            command.args(attributes.split_whitespace());
            measure::run(command, out)
        };
        let (people, groups) = (part(people, attributes), part(groups, &format!("{attributes} {members}")));
        Cost {
            wall: people.wall + groups.wall,
            cpu: people.cpu + groups.cpu,
            peak: people.peak.max(groups.peak),
            ..Cost::default()
        }
    }

    /// Other names for so many people.
    fn change(&self, round: usize, changes: usize) {
        let step = (self.company.people / changes).max(1);
        let contained = (0..self.company.people).step_by(step).map(|index| self.company.person(index));
        let ldif: String = contained
            .take(changes)
            .map(|person| {
                let dn = self.company.person_dn(&person, self.flavour);
                replace(&dn, "displayName", &[&format!("Renamed {} {round}", person.index)])
            })
            .collect();
        self.admin.modify(&ldif);
    }
}

/// The line that says what is planned.
fn plan_of(out: &PathBuf) -> String {
    let text = std::fs::read_to_string(out).expect("what was printed");
    let line = text.lines().find(|line| line.starts_with("Plan ") || line.starts_with("Nothing to do"));
    let line = line.unwrap_or_default();
    line.split_once(": ").map_or(line, |(_, rest)| rest).to_owned()
}
