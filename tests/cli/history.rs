//! `history`: what an auditor asks.

use super::offline;
use super::support::export::Export;
use super::support::idcsync::Idcsync;

const SCOPE: [&str; 1] = ["Team"];

/// Ten days between any two cycles: p01 is taken out and put in again, p02 comes.
fn lived() -> Idcsync {
    let mut export = Export::of(3).group("Team", ["p00", "p01"]);
    let idcsync = offline(&export, &SCOPE);
    let mut sync = |at: &str, members: &[&str]| {
        *export.members("Team") = members.iter().map(|name| (*name).to_owned()).collect();
        idcsync.write("directory.ldif", &export.text());
        idcsync.run_at(at, &["sync"]).exits(0);
    };
    sync("0s", &["p00", "p01"]);
    sync("10d", &["p00"]);
    sync("20d", &["p00", "p01", "p02"]);
    idcsync
}

/// As seen thirty days after the first cycle.
fn ask(idcsync: &Idcsync, arguments: &[&str]) -> super::support::idcsync::Run {
    idcsync.run_at("30d", &[&["history"], arguments].concat())
}

/// Without the times, which differ from run to run.
fn timeless(text: &str) -> String {
    let time = regex::Regex::new(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC").unwrap();
    let took = regex::Regex::new(r" in \d+ s").unwrap();
    took.replace_all(&time.replace_all(text, "TIME"), "").into_owned()
}

#[test]
fn past_cycles_and_the_steps_of_one() {
    let idcsync = lived();
    let before = idcsync.files();
    let run = ask(&idcsync, &[]).exits(0);
    insta::assert_snapshot!(timeless(&run.stdout), @r"
    cycle 3  TIME  done: 2 add-member, 1 create-user
    cycle 2  TIME  done: 1 remove-member
    cycle 1  TIME  done: 2 add-member, 1 create-group, 2 create-user
    ");
    let run = ask(&idcsync, &["2"]).exits(0);
    insta::assert_snapshot!(timeless(&run.stdout), @r"
    cycle 2  TIME  done: 1 remove-member

      TIME  cycle 2  remove-member p01@ex.test in Team@ex.test: done (no longer a member, directly or nested: every group below was read completely)
    ");
    let run = ask(&idcsync, &["--limit", "1"]).exits(0);
    run.never_says("cycle 2").says("cycle 3").says("there are older ones");
    let run = ask(&idcsync, &["--since", "25d", "--until", "15d"]).exits(0);
    run.says("cycle 2").never_says("cycle 1").never_says("cycle 3");
    ask(&idcsync, &["--since", "3h"]).exits(0).says("No cycle in that time.");
    let json = idcsync.run_json(&["history", "2"]).exits(0).json();
    assert_eq!(json["schema"], "idcsync/history/v1");
    assert_eq!(json["cycle"]["outcome"], "done");
    assert_eq!(json["steps"][0]["action"], "remove-member");
    assert_eq!(json["steps"][0]["member"], "p01@ex.test");
    assert!(idcsync.files() == before, "it writes nothing");
}

#[test]
fn who_was_in_a_group_on_that_day_and_why() {
    let idcsync = lived();
    let run = ask(&idcsync, &["--group", "team@ex.test", "--at", "25d"]).exits(0);
    insta::assert_snapshot!(timeless(&run.stdout), @r"
    The group Team@ex.test (CN=Team,DC=ex,DC=test) at TIME: 2 members by idcsync
      p00@ex.test  since TIME, cycle 1: a direct member
      p01@ex.test  since TIME, cycle 1: a direct member

    The records go back to TIME (state.keep-history).
    ");
    let members = |at: &str| {
        let run = ask(&idcsync, &["--group", "team", "--at", at, "--output", "json"]).exits(0).json();
        let list = run["members"].as_array().unwrap().clone();
        list.iter()
            .map(|m| (m["object"]["label"].as_str().unwrap().to_owned(), m["cycle"].as_i64()))
            .collect::<Vec<_>>()
    };
    let named = |list: &[(&str, i64)]| {
        list.iter().map(|(name, cycle)| (format!("{name}@ex.test"), Some(*cycle))).collect::<Vec<_>>()
    };
    assert_eq!(members("31d"), []);
    assert_eq!(members("25d"), named(&[("p00", 1), ("p01", 1)]));
    assert_eq!(members("15d"), named(&[("p00", 1)]));
    assert_eq!(members("5d"), named(&[("p00", 1), ("p01", 3), ("p02", 3)]));
    let run = ask(&idcsync, &["--user", "p01", "--at", "15d"]).exits(0);
    run.says("0 groups");
    let run = ask(&idcsync, &["--user", "p01@ex.test"]).exits(0);
    insta::assert_snapshot!(timeless(&run.stdout), @r"
    The user p01@ex.test (CN=p01,DC=ex,DC=test)
      TIME  cycle 1  create-user p01@ex.test: done (in scope by Team)
      TIME  cycle 1  add-member p01@ex.test in Team@ex.test: done (a direct member)
      TIME  cycle 2  remove-member p01@ex.test in Team@ex.test: done (no longer a member, directly or nested: every group below was read completely)
      TIME  cycle 3  add-member p01@ex.test in Team@ex.test: done (a direct member)

    The records go back to TIME (state.keep-history).
    ");
    let run = ask(&idcsync, &["--user", "p01", "--since", "15d"]).exits(0);
    run.says("cycle 3").never_says("cycle 1");
}

#[test]
fn what_cannot_be_answered_is_said() {
    let idcsync = lived();
    ask(&idcsync, &["77"]).exits(2).complains("error: There is no cycle 77 on record.");
    ask(&idcsync, &["--user", "nobody"]).exits(2).complains("error: No such object is or was linked.");
    ask(&idcsync, &["--at", "3d"]).exits(2).complains("--at needs --group NAME or --user NAME");
    ask(&idcsync, &["--user", "p01", "--at", "2199-01-01"]).exits(2).complains("has not come yet");
    ask(&idcsync, &["--since", "1d", "--until", "2d"]).exits(2).complains("--since comes before --until");
    ask(&idcsync, &["--since", "tuesday"]).exits(2).complains("neither a time");
    ask(&idcsync, &["2", "--user", "p01"]).exits(2).complains("cannot be used with");
    let fresh = offline(&Export::of(1).group("Team", ["p00"]), &SCOPE);
    fresh.run(&["history"]).exits(0).says("No cycle in that time.");
}

/// Untied by hand: who was in it before is as certain as it was, and nothing is said to have ended.
#[test]
fn a_group_that_was_let_go_has_ended_for_nobody() {
    let idcsync = lived();
    let at = ["--group", "team", "--at", "25d"];
    let before = ask(&idcsync, &at).exits(0);
    idcsync.run_at("25d", &["unlink", "group", "Team", "--yes"]).exits(0);
    let after = ask(&idcsync, &at).exits(0);
    let after = after.says("p00@ex.test  since").never_says("ended by somebody else");
    assert_eq!(before.stdout.matches("since").count(), after.stdout.matches("since").count());
    ask(&idcsync, &["--group", "team", "--at", "3d"]).exits(0).says("0 members").says("let go by hand");
}
