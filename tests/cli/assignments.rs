//! What a plan says of AWS accounts, on the small company of the quickstart.

use std::fs;

use serde_json::{Value, json};

use super::support::dirs;
use super::support::idcsync::{Idcsync, Sandbox};

const ALICE: &str = "alice@corp.example.com";
const ADMINS: &str = "AWS-Admins@corp.example.com";

fn set(n: u8) -> String {
    format!("arn:aws:sso:::permissionSet/ssoins-d123456789000000/ps-{n:016}")
}

fn config(target: &str) -> String {
    format!(
        "profile = \"p\"\n[directory]\nkind = \"ldif\"\nfile = \"directory.ldif\"\n\
         base-dn = \"DC=corp,DC=example,DC=com\"\n[scope]\ngroups = [\"AWS-Admins\", \"AWS-Developers\"]\n\
         [target]\n{target}\n[state]\nurl = \"sqlite:state.db\"\n"
    )
}

fn in_process(assignments: bool) -> String {
    config(&format!(
        "kind = \"sandbox\"\nstore = \"store.json\"\nrequests-per-second = 100000\nassignments = {assignments}"
    ))
}

fn over_http(sandbox: &Sandbox) -> String {
    config(&format!("{}assignments = true", sandbox.target().trim_start_matches("[target]\n")))
}

fn directory() -> String {
    fs::read_to_string(dirs::root().join("testdata/quickstart.ldif")).unwrap()
}

/// Synced into the in-process sandbox, and then someone assigned permission sets: to Alice two of her own, to the
/// admins one in two accounts.
fn assigned() -> Idcsync {
    let idcsync = Idcsync::new(&in_process(true));
    idcsync.write("directory.ldif", &directory());
    idcsync.run(&["sync"]).exits(0).says("Applied: ").never_says("assigned");
    let mut store: Value = serde_json::from_slice(&fs::read(idcsync.path("store.json")).unwrap()).unwrap();
    let find = |list: &str, name: &dyn Fn(&Value) -> bool| -> Value {
        store[list].as_array().unwrap().iter().find(|o| name(o)).unwrap()["id"].clone()
    };
    let alice = find("users", &|u| u["attributes"]["userName"] == ALICE);
    let admins = find("groups", &|g| g["displayName"] == ADMINS);
    let to = |kind: &str, id: &Value, account: &str, n: u8| json!({ "principalType": kind, "principalId": id, "accountId": account, "permissionSetArn": set(n) });
    store["permissionSets"] = json!([
        { "permissionSetArn": set(1), "name": "AdministratorAccess" },
        { "permissionSetArn": set(2), "name": "ReadOnly" },
    ]);
    store["assignments"] = json!([
        to("USER", &alice, "111122223333", 1),
        to("USER", &alice, "111122223333", 2),
        to("USER", &alice, "444455556666", 2),
        to("GROUP", &admins, "111122223333", 1),
        to("GROUP", &admins, "444455556666", 1),
    ]);
    idcsync.write("store.json", &store.to_string());
    idcsync
}

/// Alice's account is disabled.
fn without_alice() -> String {
    let text = directory();
    let alice = text.find("dn: CN=Alice Adams").unwrap();
    let (before, from) = text.split_at(alice);
    before.to_owned() + &from.replacen("userAccountControl: 512", "userAccountControl: 514", 1)
}

/// A sandbox over HTTP on a copy of the store.
fn served(idcsync: &Idcsync, options: &[&str]) -> Sandbox {
    let copy = idcsync.path("served.json");
    fs::copy(idcsync.path("store.json"), &copy).unwrap();
    Sandbox::start_with(&[&["--store", copy.to_str().unwrap()], options].concat())
}

fn plan_id(text: &str) -> &str {
    text.lines().find_map(|l| l.strip_prefix("Plan ")).unwrap().split(' ').next().unwrap()
}

/// The steps of these actions on this object.
fn steps<'p>(plan: &'p Value, action: &str, object: &str) -> Vec<&'p Value> {
    let all = plan["steps"].as_array().unwrap().iter();
    all.filter(|s| s["action"] == action && s["object"]["label"] == object).collect()
}

fn sso_requests(requests: &[Value]) -> Vec<&str> {
    let of_sso = ["ListInstances", "ListAccountAssignmentsForPrincipal", "DescribePermissionSet"];
    requests.iter().filter_map(|r| r["operation"].as_str()).filter(|o| of_sso.contains(o)).collect()
}

#[test]
fn an_adoption_says_what_it_takes_over_and_stays_the_same_plan() {
    let idcsync = assigned();
    fs::remove_file(idcsync.path("state.db")).unwrap();
    let run = idcsync
        .run(&["sync", "--dry-run"])
        .exits(4)
        .says("      assigned: AdministratorAccess in 111122223333, ReadOnly in 2 accounts\n")
        .says("      assigned: AdministratorAccess in 2 accounts\n")
        .says("      assigned: nothing directly\n");
    let lines: Vec<&str> = run.stdout.lines().collect();
    let alice = lines.iter().position(|l| l.contains(ALICE) && l.contains("(adopt ")).unwrap();
    assert!(lines[alice + 1].contains("ReadOnly in 2 accounts"), "{}", run.report());

    let plan = idcsync.run_json(&["sync", "--dry-run"]).exits(4).json();
    let of_alice = steps(&plan, "adopt-user", ALICE)[0];
    let expected = json!([
        { "account": "111122223333", "permissionSet": set(1), "permissionSetName": "AdministratorAccess" },
        { "account": "111122223333", "permissionSet": set(2), "permissionSetName": "ReadOnly" },
        { "account": "444455556666", "permissionSet": set(2), "permissionSetName": "ReadOnly" },
    ]);
    assert_eq!(of_alice["assignments"], expected);
    assert_eq!(steps(&plan, "adopt-group", ADMINS)[0]["assignments"].as_array().unwrap().len(), 2);
    // Who is a member already gets nothing by it: there is no such step.
    assert!(plan["steps"].as_array().unwrap().iter().all(|s| s.get("member").is_none()), "{plan}");

    let id = plan_id(&run.stdout).to_owned();
    idcsync
        .run(&["approve", &id, "--show"])
        .exits(0)
        .says("      assigned: AdministratorAccess in 111122223333, ReadOnly in 2 accounts\n");
    idcsync.configure(&in_process(false));
    let without = idcsync.run(&["sync", "--dry-run"]).exits(4).never_says("assigned");
    assert_eq!(plan_id(&without.stdout), id);
    let bare = idcsync.run_json(&["sync", "--dry-run"]).exits(4).json();
    let prints = |plan: &Value| -> Vec<Value> {
        plan["steps"].as_array().unwrap().iter().map(|s| s["fingerprint"].clone()).collect()
    };
    assert_eq!(prints(&bare), prints(&plan));
    // An approval of the one is one of the other.
    idcsync.run(&["approve", &id]).exits(0);
    idcsync.configure(&in_process(true));
    idcsync.run(&["sync"]).exits(0).says("assigned: AdministratorAccess in 2 accounts").says("Applied: ");
}

#[test]
fn a_revoke_lists_what_stays_and_nothing_is_asked_for_other_steps() {
    let idcsync = assigned();
    let sandbox = served(&idcsync, &[]);
    idcsync.configure(&over_http(&sandbox));
    let check = idcsync.run(&["check"]).exits(0);
    assert!(check.stdout.contains("✓ account assignments: allowed"), "{}", check.report());

    let renamed = directory().replace("telephoneNumber: ", "telephoneNumber: 1");
    idcsync.write("directory.ldif", &renamed.replace("displayName: Alice Adams", "displayName: Alice A."));
    let (_, requests) = sandbox.requests_of(|| {
        idcsync.run(&["sync"]).exits(0).says("1 user to update").says("Applied: ").never_says("assigned")
    });
    assert_eq!(sso_requests(&requests), [""; 0]);
    idcsync.run(&["sync"]).exits(0).says("Nothing to do");

    idcsync.write("directory.ldif", &without_alice());
    let (run, requests) = sandbox.requests_of(|| idcsync.run(&["sync"]));
    let run = run.says("(revoke: memberships go; sign-in and direct assignments stay)").says("Applied: ");
    let lines: Vec<&str> = run.stdout.lines().collect();
    let revoke = lines.iter().position(|l| l.contains(ALICE) && l.contains("(revoke")).unwrap();
    // Not what the group of the admins has.
    let expected =
        "      stays, assigned directly: AdministratorAccess in 111122223333, ReadOnly in 2 accounts";
    assert_eq!(lines[revoke + 1], expected, "{}", run.report());
    // What her membership of the admins gave her stands above it, once.
    let taken = "      takes away from each member: AdministratorAccess in 2 accounts";
    let at = lines.iter().position(|l| *l == taken).unwrap_or_else(|| panic!("{}", run.report()));
    assert!(lines[at - 1].contains(ADMINS) && lines[at + 1].contains(ALICE), "{}", run.report());
    let mut asked = sso_requests(&requests);
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked, ["DescribePermissionSet", "ListAccountAssignmentsForPrincipal", "ListInstances"]);
}

#[test]
fn a_denied_call_is_said_and_the_cycle_goes_on() {
    let idcsync = assigned();
    let sandbox = served(&idcsync, &["--fault", "ListAccountAssignmentsForPrincipal:access-denied"]);
    idcsync.configure(&over_http(&sandbox));
    idcsync.write("directory.ldif", &without_alice());
    idcsync
        .run(&["check"])
        .exits(0)
        .says("! account assignments: ")
        .says("→ allow sso:ListAccountAssignmentsForPrincipal");
    let plan = idcsync.run_json(&["sync", "--dry-run"]).json();
    let revoke = steps(&plan, "revoke-user", ALICE)[0];
    assert!(revoke.as_object().unwrap().get("assignments").is_some_and(Value::is_null), "{revoke}");
    idcsync
        .run(&["sync"])
        .says("Account assignments could not be read: the log says why.")
        .never_says("assigned: ")
        .says("Applied: ")
        .complains("account assignments could not be read, so the plan does not show them")
        .complains("allow sso:ListAccountAssignmentsForPrincipal");
    idcsync.run(&["sync"]).says("Nothing to do");
}

#[test]
fn names_that_may_not_be_read_leave_arns() {
    let idcsync = assigned();
    let sandbox = served(&idcsync, &["--fault", "DescribePermissionSet:access-denied"]);
    idcsync.configure(&over_http(&sandbox));
    idcsync.write("directory.ldif", &without_alice());
    idcsync
        .run(&["sync", "--dry-run"])
        .says(&format!("stays, assigned directly: {} in 111122223333, {} in 2 accounts", set(1), set(2)))
        .complains("allow sso:DescribePermissionSet");
}

/// What somebody may reach is told with the way to it, and only where it is asked for.
#[test]
fn explain_says_what_somebody_may_reach_and_by_which_group() {
    let idcsync = assigned();
    idcsync
        .run(&["explain", "user", ALICE])
        .exits(0)
        .says("May use in AWS accounts\n")
        .says("  AdministratorAccess in 111122223333, ReadOnly in 2 accounts (assigned to it directly)\n")
        .says(&format!("  AdministratorAccess in 2 accounts (by the group {ADMINS})\n"));
    idcsync
        .run(&["explain", "group", "AWS-Admins"])
        .exits(0)
        .says("Its members may use in AWS accounts\n  AdministratorAccess in 2 accounts (assigned to it directly)\n");
    let access = &idcsync.run_json(&["explain", "user", ALICE]).exits(0).json()["access"];
    assert_eq!(access["unread"], Value::Null);
    let by = access["by"].as_array().unwrap();
    assert_eq!(by.iter().map(|b| &b["group"]).collect::<Vec<_>>(), [&Value::Null, &json!(ADMINS)]);
    assert_eq!(by[1]["assignments"][0]["account"], "111122223333");

    let sandbox = served(&idcsync, &["--fault", "ListAccountAssignmentsForPrincipal:access-denied"]);
    idcsync.configure(&over_http(&sandbox));
    idcsync.run(&["explain", "user", ALICE]).exits(0).says("  It could not be read: ");
    idcsync.configure(&in_process(false));
    idcsync.run(&["explain", "user", ALICE]).exits(0).never_says("in AWS accounts");
    assert_eq!(idcsync.run_json(&["explain", "user", ALICE]).exits(0).json()["access"], Value::Null);
}

#[test]
fn an_addition_says_what_it_gives() {
    let idcsync = assigned();
    idcsync.write("directory.ldif", &without_alice());
    idcsync.run(&["sync"]).says("Applied: ");
    idcsync.write("directory.ldif", &directory());
    idcsync
        .run(&["sync", "--dry-run"])
        .says("      gives each member: AdministratorAccess in 2 accounts\n      + member ");
    let plan = idcsync.run_json(&["sync", "--dry-run"]).json();
    assert_eq!(steps(&plan, "add-member", ADMINS)[0]["assignments"].as_array().unwrap().len(), 2);
}

#[test]
fn what_was_deleted_by_others_comes_back_without() {
    let idcsync = assigned();
    let sandbox = served(&idcsync, &[]);
    idcsync.configure(&over_http(&sandbox));
    let users = sandbox.store().users();
    let alice = users.iter().find(|u| u["UserName"] == ALICE).unwrap()["UserId"].clone();
    sandbox.store().call("DeleteUser", json!({ "UserId": alice }));
    idcsync
        .run(&["sync", "--full"])
        .says("deleted in the target by someone else")
        .says("      assigned: nothing is left from before it was deleted\n");
}
