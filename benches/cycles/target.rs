//! The target: what is sent against the least that would do, and how much of the allowed rate is used.

use std::collections::BTreeSet;

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
    company.seed = options.seed as u64;
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

/// The fewest writes that come to the same: one for each object, and for each membership or each hundred of a group.
fn least(steps: &[Value], way: Way) -> usize {
    let is_member = |step: &&Value| step["action"] == "add-member";
    let objects = steps.iter().filter(|step| !is_member(step)).count();
    let members: Vec<&Value> = steps.iter().filter(is_member).collect();
    match way {
        Way::Scim => {
            let groups: BTreeSet<String> = members.iter().map(|step| step["object"].to_string()).collect();
            let of = |group: &String| members.iter().filter(|s| s["object"].to_string() == *group).count();
            objects + groups.iter().map(|group| of(group).div_ceil(BATCH)).sum::<usize>()
        }
        Way::Api | Way::Beside => objects + members.len(),
    }
}
