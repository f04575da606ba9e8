//! What people and scripts see of a plan.

use super::world::World;
use crate::model::UserAttribute;
use crate::plan::{ApprovedPlan, Colors, Hold, Look, PlanPage, PlanView, StepNo, render, render_to, shown};

#[test]
fn what_could_disguise_a_value_is_escaped() {
    assert_eq!(shown("plain ümlaut 日本"), "plain ümlaut 日本");
    assert_eq!(shown("a\u{1b}[2Kb\r\nc\u{7}"), r"a\u{1b}[2Kb\r\nc\u{7}");
    for hidden in [
        '\u{200b}',
        '\u{200e}',
        '\u{202e}',
        '\u{2066}',
        '\u{feff}',
        '\u{61c}',
        '\u{2028}',
        '\u{2029}',
        '\u{ad}',
        '\u{85}',
        '\u{9b}',
        '\u{7f}',
        '\u{e0041}',
    ] {
        let shown = shown(&format!("x{hidden}y"));
        assert!(shown.is_ascii() && shown.contains("\\u{"), "{shown}");
    }
}

#[test]
fn hostile_names_and_values_stay_on_their_line() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    w.group("ops", &["anna"]);
    w.enter("ops");
    w.person("anna").set("title", "x\" → \"y\\");
    // What others put into the target is shown as well.
    w.store.change_user(&w.id("anna"), UserAttribute::Title, "\u{1b}[31m\r\nUsers");
    let boss = w.store.put_user("bo\u{202e}ss\n  + member root", None);
    w.store.put_group("ops", &[&boss]);
    let text = w.text();
    insta::assert_snapshot!(text, @r#"
    Plan 2873c0884bb5 for profile corp: 1 membership to remove, 1 user to update, 1 group to adopt, 1 membership to add.
    3 steps are held:
      2 steps: it exists in the target already and would be taken over (target.adopt)
      Approve with: idcsync approve 2873c0884bb5

    Taken away: groups
      ~ ops
          - member bo\u{202e}ss\n  + member root  (nobody in the directory: membership of a managed group is authoritative)  [held]

    Users
      ~ anna@x.example  (the directory has other values)
          title "\u{1b}[31m\r\nUsers" → "x\" → \"y\\"

    Groups
      ~ ops (adopt other-5)  (the target has ops already)  [held]
          + member anna@x.example  (a direct member)  [held]
    "#);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!text.contains('\u{202e}'));
}

#[test]
fn colours_are_only_there_when_asked_for() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    w.leave("devs", "anna");
    let approved = w.prepare().approved;
    assert!(!render(&approved, Colors::Off).contains('\u{1b}'));
    let coloured = render(&approved, Colors::On);
    assert!(coloured.contains("\u{1b}[31m- member anna@x.example\u{1b}[0m"));
    assert!(coloured.contains("\u{1b}[31mTaken away: groups\u{1b}[0m"));
    let plain = coloured.replace("\u{1b}[31m", "").replace("\u{1b}[33m", "").replace("\u{1b}[0m", "");
    assert_eq!(plain, render(&approved, Colors::Off));
}

#[test]
fn long_lists_are_folded_where_that_is_wanted() {
    let names: Vec<String> = (0..40).map(|n| format!("p{n:02}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut w = World::synced(&[("devs", &all[..3])]);
    for name in &names[3..] {
        w.join("devs", name);
    }
    w.group("eleven", &all[..11]);
    w.enter("eleven");
    w.group("twelve", &all[..12]);
    w.enter("twelve");
    let approved = w.prepare().approved;
    let fold = |folded| {
        let mut text = String::new();
        render_to(&approved, Look { colors: Colors::Off, folded }, &mut text).unwrap();
        text
    };
    let folded = fold(true);
    let lines = |start: &str| folded.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(lines("  + p"), 20, "{folded}");
    assert!(folded.contains("  … and 17 more users (17 users to create): --full-plan shows all"), "{folded}");
    assert!(folded.contains("      … and 27 more memberships to add: --full-plan shows all"), "{folded}");
    assert!(folded.contains("      … and 2 more memberships to add: --full-plan shows all"), "{folded}");
    // Of eleven none is hidden: the line would take as much room.
    assert_eq!(lines("      + member"), 10 + 11 + 10, "{folded}");
    assert_eq!(fold(false), render(&approved, Colors::Off));
    assert!(!fold(false).contains('…'));
    assert_eq!(fold(false).lines().filter(|l| l.starts_with("      + member")).count(), 37 + 11 + 12);
}

#[test]
fn the_page_has_what_is_taken_away_first_and_every_reason() {
    let mut w = World::synced(&[("devs", &["anna", "bob", "carl", "dora"])]);
    w.leave("devs", "anna");
    w.person("bob").set("title", "Smith").set("mail", "");
    w.group("ops", &["anna"]);
    w.enter("ops");
    // What others put into the target is shown as well.
    let boss = w.store.put_user("<script>alert(1)</script>\u{202e}", None);
    w.store.put_group("ops", &[&boss]);
    w.store.change_user(&w.id("anna"), UserAttribute::Title, "\"><img src=x onerror=alert(1)>\u{1b}[2J");
    w.person("anna").set("title", "Head & <b>shoulders</b>");
    let page = page(&w.prepare().approved, Some("plan.json"));
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in\n{page}"));
    assert!(at("What it would do") < at("Held: "));
    assert!(at("Held: ") < at("<h2 id=\"taken-users\""));
    assert!(at("<h2 id=\"taken-users\"") < at("<h2 id=\"taken-groups\""));
    assert!(at("<h2 id=\"taken-groups\"") < at("<h2 id=\"users\""));
    assert!(at("<h2 id=\"users\"") < at("<h2 id=\"groups\""));
    for text in [
        "idcsync apply plan.json",
        "The file was written with this page.",
        "it exists in the target already and would be taken over (target.adopt)",
        "no longer a member, directly or nested: every group below was read completely",
        "CN=anna,DC=x,DC=example",
        "&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}",
        "<del>&quot;&gt;&lt;img src=x onerror=alert(1)&gt;\\u{1b}[2J</del> → <ins>Head &amp; &lt;b&gt;shoulders&lt;/b&gt;</ins>",
    ] {
        at(text);
    }
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>shoulders"));
    assert!(page.chars().all(|c| c == '\n' || !crate::printable::is_hidden(c)));
    // Nothing from elsewhere, and the only style that may apply is its own.
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("src=\""));
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    at(&format!("default-src 'none'; style-src '{}'", crate::markup::source_hash(style)));
    let id = w.prepare().approved.plan().id.clone();
    at(&format!("idcsync approve {id}"));
}

#[test]
fn the_page_stays_openable_and_says_what_it_leaves_out() {
    let names: Vec<String> = (0..2000).map(|n| format!("p{n:04}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut w = World::new();
    w.group("all", &all);
    w.enter("all");
    let page = page(&w.prepare().approved, None);
    assert!(page.len() < 2 << 20, "{}", page.len());
    assert!(page.contains("500 users (500 users to create). The plan file (plan.json) has all."));
    assert!(page.contains("1,901 memberships to add. The plan file (plan.json) has all."));
    assert!(page.contains("<summary>1,450 more users</summary>"));
    assert!(page.contains("The file is written beside this page by"));
    assert!(page.contains("<b>2,000</b> users to create"));
}

fn page(approved: &ApprovedPlan, json: Option<&str>) -> String {
    let mut text = String::new();
    PlanPage { view: &PlanView { approved, findings: &[] }, json }.write_to(&mut text).unwrap();
    text
}

#[test]
fn what_is_held_is_read_as_it_was_written() {
    for hold in [
        Hold::OverLimit { limit: "max-deletes".into(), count: 9, allowed: 5 },
        Hold::OverPercent { what: "members of devs".into(), count: 9, of: 10, percent: 20 },
        Hold::HalfOrMore { what: "disabled".into(), count: 5, of: 6 },
        Hold::ClockUntrusted { why: "it is behind".into() },
        Hold::OutOfReach,
        Hold::WouldEmpty { group: "devs".into(), members: 3 },
        Hold::SuddenlyEmpty { groups: vec!["devs".into()] },
        Hold::Adoption,
        Hold::Rebinding,
        Hold::UnprovenRename,
        Hold::DependsOn { step: StepNo(4) },
        Hold::OnlyFor { step: StepNo(0) },
    ] {
        let json = serde_json::to_value(&hold).unwrap();
        assert_eq!(serde_json::from_value::<Hold>(json).unwrap(), hold);
    }
}

#[test]
fn the_shape_of_the_json() {
    let mut w = World::synced(&[("devs", &["anna", "bob"]), ("ops", &["carl"])]);
    w.leave("devs", "anna");
    w.leave("ops", "carl");
    w.groups.get_mut("ops").unwrap().cut_at = Some(0);
    w.person("bob").set("title", "Smith").set("mail", "");
    w.store.put_user("new@x.example", None);
    w.join("devs", "new");
    let prepared = w.prepare();
    let view = PlanView { approved: &prepared.approved, findings: &[] };
    let json = serde_json::to_string_pretty(&view).unwrap();
    insta::assert_snapshot!(json, @r#"
    {
      "schema": "idcsync/plan/v1",
      "plan": "4c85a9504999",
      "profile": "corp",
      "full": false,
      "counts": {
        "add-member": 1,
        "adopt-user": 1,
        "remove-member": 1,
        "update-user": 2
      },
      "held": 3,
      "steps": [
        {
          "step": 1,
          "action": "remove-member",
          "object": {
            "kind": "group",
            "label": "devs",
            "anchor": "00000000-0000-0000-0000-000000000003",
            "dn": "CN=devs,DC=x,DC=example",
            "targetId": "group-4"
          },
          "member": {
            "kind": "user",
            "label": "anna@x.example",
            "anchor": "00000000-0000-0000-0000-000000000001",
            "dn": "CN=anna,DC=x,DC=example",
            "targetId": "user-2"
          },
          "proof": "not-a-member",
          "reason": "no longer a member, directly or nested: every group below was read completely",
          "after": [],
          "approved": false,
          "fingerprint": "c350694d9c2f3c5a4c332b1645a5c524"
        },
        {
          "step": 2,
          "action": "update-user",
          "object": {
            "kind": "user",
            "label": "bob@x.example",
            "anchor": "00000000-0000-0000-0000-000000000002",
            "dn": "CN=bob,DC=x,DC=example",
            "targetId": "user-1"
          },
          "changes": [
            {
              "attribute": "emails[primary].value",
              "old": "bob@x.example",
              "new": null
            },
            {
              "attribute": "title",
              "old": null,
              "new": "Smith"
            }
          ],
          "purpose": "values",
          "reason": "the directory has other values",
          "after": [],
          "approved": false,
          "fingerprint": "54c03e75a3fef4f6bc31bf0ba699458f"
        },
        {
          "step": 3,
          "action": "adopt-user",
          "object": {
            "kind": "user",
            "label": "new@x.example",
            "anchor": "00000000-0000-0000-0000-000000000006",
            "dn": "CN=new,DC=x,DC=example",
            "targetId": "other-6"
          },
          "reason": "the target has new@x.example already",
          "after": [],
          "held": [
            {
              "why": "adoption"
            }
          ],
          "approved": false,
          "fingerprint": "b93306cfe40795060352fef50251254a"
        },
        {
          "step": 4,
          "action": "update-user",
          "object": {
            "kind": "user",
            "label": "new@x.example",
            "anchor": "00000000-0000-0000-0000-000000000006",
            "dn": "CN=new,DC=x,DC=example",
            "targetId": "other-6"
          },
          "changes": [
            {
              "attribute": "emails[primary].value",
              "old": null,
              "new": "new@x.example"
            }
          ],
          "purpose": "values",
          "reason": "the directory has other values",
          "after": [
            3
          ],
          "held": [
            {
              "why": "depends-on",
              "step": 3
            }
          ],
          "approved": false,
          "fingerprint": "dc90f6bcb3187b2d55ac3ae3951b10ea"
        },
        {
          "step": 5,
          "action": "add-member",
          "object": {
            "kind": "group",
            "label": "devs",
            "anchor": "00000000-0000-0000-0000-000000000003",
            "dn": "CN=devs,DC=x,DC=example",
            "targetId": "group-4"
          },
          "member": {
            "kind": "user",
            "label": "new@x.example",
            "anchor": "00000000-0000-0000-0000-000000000006",
            "dn": "CN=new,DC=x,DC=example",
            "targetId": "other-6"
          },
          "reason": "a direct member",
          "after": [
            3
          ],
          "held": [
            {
              "why": "depends-on",
              "step": 3
            }
          ],
          "approved": false,
          "fingerprint": "7f18190ee826058972e6f2fffd03a3c0"
        }
      ],
      "withheld": [
        {
          "groupId": "00000000-0000-0000-0000-000000000005",
          "groupLabel": "ops",
          "members": 1,
          "why": "members of ops: no answer in 30s"
        }
      ],
      "findings": []
    }
    "#);
    // One step alone reads as it does in the plan.
    let whole: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (no, _) in prepared.approved.plan().numbered() {
        assert_eq!(prepared.approved.step_json(no), whole["steps"][no.0 as usize]);
    }
}

#[test]
fn a_plan_has_the_same_id_as_long_as_its_steps_are_the_same() {
    let mut w = World::synced(&[("devs", &["anna", "bob"])]);
    w.person("anna").set("title", "Smith");
    let first = w.prepare().approved.plan().id.clone();
    w.later(5);
    assert_eq!(w.prepare().approved.plan().id, first);
    w.person("anna").set("title", "Cooper");
    let other = w.prepare().approved.plan().id.clone();
    assert_ne!(other, first);
    w.person("anna").set("title", "Smith");
    assert_eq!(w.prepare().approved.plan().id, first);
    w.join("devs", "new");
    assert_ne!(w.prepare().approved.plan().id, first);
}

#[test]
fn to_make_anew_is_another_step_than_to_make() {
    let w = World::synced(&[("devs", &["anna", "bob"])]);
    let mut fresh = World::new();
    fresh.group("devs", &["anna", "bob"]);
    fresh.enter("devs");
    let first = fresh.prepare();
    w.store.delete(&w.id("anna"));
    w.book.change_link(w.link("anna"), |l| l.digest = None);
    let again = w.prepare();
    let print = |p: &super::world::Prepared, at: u32| {
        let plan = p.approved.plan();
        plan.fingerprint(&plan.step(StepNo(at)))
    };
    assert!(matches!(
        again.approved.plan().step(StepNo(0)).action,
        crate::plan::Action::CreateUser { again: true, .. }
    ));
    assert!((0..first.approved.plan().steps.len() as u32).all(|at| print(&first, at) != print(&again, 0)));
}
