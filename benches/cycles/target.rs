//! The target: what is sent against the least that would do, and how much of the allowed rate is used.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::Options;
use crate::measure;
use crate::support::company::Company;
use crate::support::dirs;
use crate::support::idcsync::{Idcsync, Sandbox, is_write};
use crate::support::slapd::Slapd;
use crate::support::ways::Way;

/// What AWS allows all callers of an account together.
const ALLOWED: usize = 20;
const PEOPLE: usize = 300;
const GROUPS: usize = 30;
/// Members in one request over SCIM.
const BATCH: usize = 100;

/// A small company, at the real rate and with answers that take 50 to 200 ms.
pub fn measure(options: &Options) -> Value {
    let mut company = Company::new(PEOPLE, GROUPS);
    company.seed = options.seed;
    // Each is a request with the API alone: a minute of them is enough.
    company.memberships = PEOPLE;
    company.large_group = PEOPLE / 3;
    company.every_tree = true;
    let server = Slapd::start(&company);
    let rows: Vec<Value> = [(Way::Api, "Identity Store API"), (Way::Scim, "SCIM")]
        .into_iter()
        .map(|(way, name)| apply(&company, &server, way, name))
        .collect();
    json!({ "people": PEOPLE, "groups": GROUPS, "runs": rows })
}

fn apply(company: &Company, server: &Slapd, way: Way, name: &str) -> Value {
    let allowed = ALLOWED.to_string();
    let sandbox =
        Sandbox::start_with(&["--requests-per-second", &allowed, "--latency-ms", "50", "--jitter-ms", "150"]);
    let groups: Vec<_> = company
        .scope()
        .iter()
        .map(|entry| format!("{{ group = \"{}\", write = {} }}", entry.name, entry.write))
        .collect();
    let target = way.target(&sandbox).replace("= 100000", &format!("= {allowed}"));
    let bench = Idcsync::new(&format!(
        "profile = \"bench\"\n[directory]\nkind = \"ldap\"\nurls = [\"{}\"]\nbase-dn = \"{}\"\n\
         bind = {{ dn = \"{}\", password-file = \"password\" }}\nallow-plaintext = true\n\
         [scope]\ngroups = [{}]\n{target}[state]\nurl = \"sqlite:state.db\"\n",
        server.ldap_url(),
        server.base_dn(),
        server.reader_dn(),
        groups.join(", "),
    ));
    bench.write("password", server.password());
    bench.write("token", sandbox.scim().token());
    let plan = bench.run_json(&["sync", "--dry-run"]).exits(0).json();
    let steps = plan["steps"].as_array().expect("a plan has steps");
    let least = least(steps, way);
    let home = dirs::private();
    let before = sandbox.requests().len();
    measure::run(bench.command(&["sync"]), &home.path().join("out"));
    let requests = sandbox.requests().split_off(before);
    let throttled = requests.iter().filter(|r| r["outcome"] == "ThrottlingException" || r["status"] == 429);
    let throttled = throttled.count();
    let times: Vec<jiff::Timestamp> =
        requests.iter().filter_map(|r| r["time"].as_str()?.parse().ok()).collect();
    let seconds = match (times.iter().min(), times.iter().max()) {
        (Some(first), Some(last)) => last.duration_since(*first).as_secs_f64(),
        _ => 0.0,
    };
    let done = requests.len() - throttled;
    json!({
        "name": name,
        "allowed": ALLOWED,
        "steps": steps.len(),
        "least": least,
        "sent": requests.len(),
        "writes": requests.iter().filter(|r| is_write(r)).count(),
        "throttled": throttled,
        "seconds": seconds,
        "used": done.saturating_sub(1) as f64 / seconds.max(0.001) / ALLOWED as f64,
    })
}

/// The fewest writes that come to the same: one for each object, and for each membership; over SCIM for each hundred of
/// a group, the first hundred going with the group that is made.
fn least(steps: &[Value], way: Way) -> usize {
    let mut members: BTreeMap<String, usize> = BTreeMap::new();
    let mut made: BTreeSet<String> = BTreeSet::new();
    for step in steps {
        let object = step["object"].to_string();
        match step["action"].as_str() {
            Some("add-member") => *members.entry(object).or_default() += 1,
            Some("create-group") => drop(made.insert(object)),
            _ => {}
        }
    }
    let joining: usize = members.values().sum();
    let requests = |(group, count): (&String, &usize)| match way {
        Way::Scim if made.contains(group) => count.saturating_sub(BATCH).div_ceil(BATCH),
        Way::Scim => count.div_ceil(BATCH),
        Way::Api | Way::Beside => *count,
    };
    steps.len() - joining + members.iter().map(requests).sum::<usize>()
}
