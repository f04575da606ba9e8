//! Plans that someone reviews: written to a file, and done from it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::support::export::{Export, people};
use super::support::idcsync::{Idcsync, Sandbox, is_write};
use super::{contents_of, offline, online};

const SCOPE: [&str; 2] = ["Team", "Everybody"];

fn export() -> Export {
    Export::of(24).group("Team", people(0..20)).group("Everybody", people(0..24))
}

fn plan_of(idcsync: &Idcsync) -> Value {
    serde_json::from_slice(&fs::read(idcsync.path("plan.json")).unwrap()).unwrap()
}

#[test]
fn a_plan_is_written_reviewed_and_done() {
    let export = export();
    let idcsync = offline(&export, &SCOPE);
    let before = idcsync.files();
    idcsync
        .run(&["sync", "--dry-run", "--out", "plan.json"])
        .exits(0)
        .says("24 users to create")
        .complains("nothing was written but plan.json")
        .complains("idcsync apply plan.json");
    let mut after = idcsync.files();
    let (_, text) = after.remove(&idcsync.path("plan.json")).expect("the plan");
    assert!(after == before, "only that file is written");
    let mode = fs::metadata(idcsync.path("plan.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let shown = idcsync.run_json(&["sync", "--dry-run"]).exits(0).json();
    assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), shown);
    assert!(shown["steps"].as_array().unwrap().iter().all(|s| s["fingerprint"].is_string()));

    // It takes the place of an older one.
    idcsync.run(&["sync", "--dry-run", "--out", "plan.json", "--detailed-exitcode"]).exits(8);
    idcsync.run(&["apply", "plan.json"]).exits(0).says("24 users to create").says("Applied: 70 done.");
    export.expected(&SCOPE).assert_same(&contents_of(&idcsync));
    idcsync.run(&["sync"]).exits(0).says("Nothing to do");
    // And a second time there is nothing left of it.
    let run = idcsync.run(&["apply", "plan.json"]).exits(0).says("Nothing to do");
    let run = run.complains("No longer planned, and not done (plan.json, 70):").complains("and 50 more");
    assert_eq!(
        run.stderr.lines().filter(|l| l.starts_with("  create-") || l.starts_with("  add-")).count(),
        20
    );
}

#[test]
fn a_plan_may_be_a_page_beside_the_file() {
    let idcsync = offline(&export(), &SCOPE);
    let before = idcsync.files();
    idcsync
        .run(&["sync", "--dry-run", "--out", "plan.html"])
        .exits(0)
        .complains("nothing was written but plan.html. To apply exactly this plan later")
        .never_says("idcsync apply plan.html");
    idcsync
        .run(&["sync", "--dry-run", "--out", "plan.html", "--out", "p.json"])
        .exits(0)
        .complains("nothing was written but plan.html and p.json. Do what it has: idcsync apply p.json");
    let mut after = idcsync.files();
    let (_, page) = after.remove(&idcsync.path("plan.html")).expect("the page");
    let (_, plan) = after.remove(&idcsync.path("p.json")).expect("the plan");
    assert!(after == before, "only those files are written");
    let mode = fs::metadata(idcsync.path("plan.html")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let page = String::from_utf8(page).unwrap();
    let plan: Value = serde_json::from_slice(&plan).unwrap();
    assert!(page.contains(&format!("<h1>Plan <code>{}</code>", plan["plan"].as_str().unwrap())), "{page}");
    assert!(page.contains("<pre>idcsync apply p.json</pre>"), "{page}");
    idcsync.run(&["apply", "plan.html"]).exits(2).complains("cannot be applied");
    idcsync.run(&["apply", "p.json"]).exits(0).says("Applied: 70 done.");
}

#[test]
fn what_has_changed_since_is_named_and_not_done() {
    let mut export = export();
    let idcsync = offline(&export, &SCOPE);
    idcsync.run(&["sync"]).exits(0);
    export.members("Team").retain(|name| name != "p00" && name != "p01");
    idcsync.write("directory.ldif", &export.text());
    idcsync.run(&["sync", "--dry-run", "--out", "plan.json"]).exits(0);
    // One comes back, another one goes, and somebody is renamed.
    export.members("Team").retain(|name| name != "p02");
    export.members("Team").push("p01".to_owned());
    export.people.get_mut("p05").expect("a person").display_name = "Renamed".to_owned();
    idcsync.write("directory.ldif", &export.text());

    idcsync
        .run(&["apply", "plan.json"])
        .exits(0)
        .says("1 membership to remove.")
        .says("- member p00@ex.test")
        .says("Applied: 1 done.")
        .complains(
            "No longer planned, and not done (plan.json, 1):\n  remove-member Team@ex.test: p01@ex.test\n",
        )
        .complains("Planned, but not in the file, and left out (plan.json, 2):")
        .complains("  remove-member Team@ex.test: p02@ex.test\n")
        .complains("  update-user p05@ex.test\n");
    let there = contents_of(&idcsync);
    assert_eq!(there.members["Team@ex.test"].len(), 19);

    let json = idcsync.run_json(&["apply", "plan.json"]).exits(0).json();
    assert_eq!(json["schema"], "idcsync/cycle/v1");
    assert_eq!(json["file"]["notPlanned"].as_array().unwrap().len(), 2, "{json}");
    assert_eq!(json["file"]["notInFile"].as_array().unwrap().len(), 2, "{json}");
    assert_eq!((&json["counts"]["planned"], &json["counts"]["leftOut"]), (&json!(0), &json!(2)), "{json}");
    assert_eq!(json["outcome"], "nothing");
    idcsync.run(&["sync"]).exits(0).says("Applied: 2 done.");
    export.expected(&SCOPE).assert_same(&contents_of(&idcsync));
}

#[test]
fn a_step_whose_needs_are_not_in_the_file_is_left_out() {
    let export = export();
    let idcsync = offline(&export, &SCOPE);
    idcsync.run(&["sync", "--dry-run", "--out", "plan.json"]).exits(0);
    let mut plan = plan_of(&idcsync);
    let is_p03 = |step: &Value| step["action"] == "create-user" && step["object"]["label"] == "p03@ex.test";
    plan["steps"].as_array_mut().unwrap().retain(|step| !is_p03(step));
    idcsync.write("plan.json", &plan.to_string());
    idcsync
        .run(&["apply", "plan.json"])
        .exits(0)
        .says("Applied: 67 done.")
        .complains("Left out, since they need steps that are not in the file (plan.json, 2):")
        .complains("  add-member Everybody@ex.test: p03@ex.test\n")
        .complains("Planned, but not in the file, and left out (plan.json, 1):\n  create-user p03@ex.test\n");
    assert_eq!(contents_of(&idcsync).users.len(), 23);
    idcsync.run(&["sync"]).exits(0).says("Applied: 3 done.");
    export.expected(&SCOPE).assert_same(&contents_of(&idcsync));
}

#[test]
fn a_plan_file_is_no_approval() {
    let mut export = export();
    let sandbox = Sandbox::start();
    let idcsync = online(&export, &SCOPE, &sandbox);
    idcsync.run(&["sync"]).exits(0);
    export.members("Team").drain(0..6);
    export.people.get_mut("p21").expect("a person").display_name = "Renamed".to_owned();
    idcsync.write("directory.ldif", &export.text());
    idcsync.run(&["sync", "--dry-run", "--out", "plan.json"]).exits(4);
    let run = idcsync.run(&["apply", "plan.json"]).exits(4).says("[held]").says("Applied: 1 done, 6 held.");
    let id = run.stdout.split(' ').nth(1).unwrap().to_owned();
    idcsync.run(&["approve", &id]).exits(0);
    // Of those that are approved, the ones of the file alone.
    let mut plan = plan_of(&idcsync);
    plan["steps"].as_array_mut().unwrap().retain(|step| step["member"]["label"] == "p04@ex.test");
    idcsync.write("part.json", &plan.to_string());
    let (_, requests) =
        sandbox.requests_of(|| idcsync.run(&["apply", "part.json"]).exits(0).says("Applied: 1 done."));
    assert_eq!(requests.iter().filter(|request| is_write(request)).count(), 1, "{requests:?}");
    // The other approvals are not used up.
    idcsync.run(&["sync"]).exits(0).says("Applied: 5 done.");
    export.expected(&SCOPE).assert_same(&sandbox.store().contents());
}

#[test]
fn a_paused_profile_applies_nothing() {
    let idcsync = offline(&export(), &SCOPE);
    idcsync.run(&["sync", "--dry-run", "--out", "plan.json"]).exits(0);
    idcsync.run(&["pause"]).exits(0);
    idcsync.run(&["apply", "plan.json"]).exits(0).complains("paused since");
    idcsync.run(&["apply", "plan.json", "--strict"]).exits(5);
    assert!(!idcsync.path("store.json").exists());
}

#[test]
fn a_file_that_is_something_else_is_refused() {
    let idcsync = offline(&export(), &SCOPE);
    let refused = |text: &str, why: &str| {
        idcsync.write("plan.json", text);
        idcsync.run(&["apply", "plan.json"]).exits(2).complains("error: plan.json ").complains(why);
    };
    refused("", "is no plan file: make one with `idcsync sync --dry-run --out FILE`");
    refused("profile = \"p\"", "is no plan file");
    refused(
        r#"{"schema": "idcsync/status/v1"}"#,
        "holds idcsync/status/v1, and this version applies idcsync/plan/v1",
    );
    refused(
        r#"{"schema": "idcsync/plan/v1", "profile": "other", "steps": []}"#,
        "is a plan of the profile other, and the config is of the profile p",
    );
    idcsync.run(&["apply", "nowhere.json"]).exits(2).complains("nowhere.json cannot be read: No such file");
    idcsync.run(&["apply", "."]).exits(2).complains("cannot be read");
    idcsync.run(&["apply"]).exits(2).complains("FILE");
    idcsync.run(&["sync", "--out", "plan.json"]).exits(2).complains("--dry-run");
    assert!(!idcsync.path("state.db").exists() && !idcsync.path("store.json").exists());
}

#[test]
fn a_place_where_no_plan_can_be_written_is_said() {
    let idcsync = offline(&export(), &SCOPE);
    let before = idcsync.files();
    for (path, why) in
        [("nowhere/plan.json", "No such file"), (".", "is no plain file"), ("/dev/full", "is no plain file")]
    {
        let run = idcsync.run(&["sync", "--dry-run", "--out", path]);
        assert!(run.code == 1 || run.code == 2, "{}", run.report());
        let run = run.complains("error: ").complains(why).complains(path);
        assert_eq!(run.stdout, "", "{}", run.report());
    }
    assert!(idcsync.files() == before);
    // No file may grow past so many blocks of 512 bytes: as good as a full disk.
    idcsync.write("plan.json", "the old one");
    let command = idcsync.command(&["sync", "--dry-run", "--out", "plan.json"]);
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", r#"ulimit -f 20; trap "" XFSZ; exec "$@""#, "sh"]);
    limited.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    limited.current_dir(command.get_current_dir().unwrap());
    let output = limited.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("error: the plan cannot be written to") && stderr.contains("plan.json"),
        "{stderr}"
    );
    assert_eq!(fs::read_to_string(idcsync.path("plan.json")).unwrap(), "the old one");
    assert_eq!(idcsync.files().len(), before.len() + 1, "nothing is left beside it");
}
