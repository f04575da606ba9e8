//! Plan files that are not what `sync --dry-run --out` wrote: refused, or a choice among what is planned anyway.

use serde_json::{Value, json};

use super::screen::{HOSTILE, Screened as _};
use super::support::export::{Export, people};
use super::support::idcsync::Idcsync;

fn bench() -> Idcsync {
    let idcsync = Idcsync::new(&format!(
        "profile = \"p\"\n{}\n[target]\nkind = \"sandbox\"\nstore = \"store.json\"\nrequests-per-second = 100000\n\n\
         [state]\nurl = \"sqlite:state.db\"\n",
        Export::config(&["Team"])
    ));
    idcsync.write("directory.ldif", &Export::of(4).group("Team", people(0..4)).text());
    idcsync
}

/// The plan, and its file as JSON.
fn planned(idcsync: &Idcsync) -> Value {
    idcsync.run(&["sync", "--dry-run", "--out", "plan.json"]).exits(0);
    serde_json::from_str(&std::fs::read_to_string(idcsync.path("plan.json")).unwrap()).unwrap()
}

#[test]
fn what_is_no_plan_is_refused() {
    let idcsync = bench();
    let plan = planned(&idcsync);
    let deep =
        format!("{{\"schema\": \"idcsync/plan/v1\", \"profile\": \"p\", \"steps\": {}", "[".repeat(1 << 20));
    let text = plan.to_string();
    let other = |key: &str, value: Value| {
        let mut plan = plan.clone();
        plan[key] = value;
        plan.to_string()
    };
    for bytes in [
        deep.into_bytes(),
        text.as_bytes()[..text.len() / 2].to_vec(),
        [text.as_bytes(), b"trailing"].concat(),
        [&[0xff, 0xfe][..], text.as_bytes()].concat(),
        b"\0\0\0\0".to_vec(),
        vec![],
        b"[1, 2]".to_vec(),
        other("schema", json!(HOSTILE)).into_bytes(),
        other("profile", json!(HOSTILE)).into_bytes(),
        other("schema", json!(7)).into_bytes(),
        other("steps", json!({ "a": 1 })).into_bytes(),
        other("steps", json!([{ "action": "delete-user" }])).into_bytes(),
        format!("{{\"schema\": \"idcsync/plan/v1\", \"schema\": \"x\", {}", &text[1..]).into_bytes(),
    ] {
        std::fs::write(idcsync.path("bad.json"), &bytes).unwrap();
        let run = idcsync.run(&["apply", "bad.json"]).shows_clean().exits(2).never_says("panicked");
        assert!(run.stderr.len() < 3000, "{:.3000}", run.report());
    }
    assert!(!idcsync.path("store.json").exists());
}

#[test]
fn a_file_chooses_and_adds_nothing() {
    let idcsync = bench();
    let plan = planned(&idcsync);
    let steps = plan["steps"].as_array().unwrap();
    let print = |step: &Value| step["fingerprint"].as_str().unwrap().to_owned();
    let create = steps.iter().find(|s| s["action"] == "create-user").unwrap();
    // The words of one step under the fingerprint of another, one invented, and hostile text wherever text goes.
    let forged =
        json!({ "action": "delete-user", "object": { "label": HOSTILE }, "fingerprint": print(create) });
    let invented = json!({ "action": HOSTILE, "object": { "label": HOSTILE }, "member": { "label": HOSTILE }, "fingerprint": HOSTILE });
    let mut file = plan.clone();
    file["steps"] = json!([forged, invented, forged]);
    std::fs::write(idcsync.path("forged.json"), file.to_string()).unwrap();
    idcsync.run(&["apply", "forged.json"]).shows_clean().never_says("panicked");
    // What was done is the one step that was planned by that fingerprint, as it was planned.
    let after = planned(&idcsync);
    let left: Vec<String> = after["steps"].as_array().unwrap().iter().map(print).collect();
    let before: Vec<String> = steps.iter().map(print).collect();
    let gone: Vec<&String> = before.iter().filter(|f| !left.contains(f)).collect();
    assert!(gone.iter().all(
        |f| **f == print(create) || steps.iter().any(|s| print(s) == **f && s["action"] == "add-member")
    ));
    assert!(gone.contains(&&print(create)), "{gone:?}");
    assert_eq!(after["steps"].as_array().unwrap().iter().filter(|s| s["action"] == "create-user").count(), 3);
}
