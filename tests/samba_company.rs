//! A whole company in a real Active Directory domain (Samba), pushed into a target: it ends exactly as an independent
//! reading of the directory says, a dry run writes nothing and promises what is then done, and a second run sends nothing.
#![allow(clippy::expect_used, reason = "this is test code, where a panic is the report")]

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::company::{self, Company, ScopeGroup};
use support::forecast::Target;
use support::idcsync::{Idcsync, Run, Sandbox, is_write, target};
use support::moto::Moto;
use support::oracle::{Kind, Question};
use support::samba::Samba;

fn bench(samba: &Samba, scope: &[ScopeGroup], target: &str) -> Idcsync {
    let entries: Vec<_> =
        scope.iter().map(|g| format!("{{ group = \"{}\", write = {} }}", g.name, g.write)).collect();
    let directory = samba.directory();
    let groups = entries.join(", ");
    let config = format!(
        "profile = \"corp\"\n{directory}\n[scope]\ngroups = [{groups}]\n\n{target}\n[state]\nurl = \"sqlite:state.db\"\n"
    );
    let idcsync = Idcsync::new(&config);
    idcsync.write("password", samba.password());
    idcsync
}

/// The order of the steps and all that each of them says.
fn steps(plan: &Value) -> &Vec<Value> {
    plan["steps"].as_array().expect("a plan has steps")
}

fn assert_same_steps(dry: &Run, sync: &Run) {
    let (dry, sync) = (dry.json(), sync.json());
    assert_eq!(dry["schema"], "idcsync/plan/v1");
    assert_eq!(sync["schema"], "idcsync/cycle/v1");
    assert_eq!(dry["plan"], sync["plan"]["plan"], "the id of the plan");
    let (dry, sync) = (steps(&dry), steps(&sync["plan"]));
    assert_eq!(dry.len(), sync.len());
    for (promised, done) in dry.iter().zip(sync) {
        assert_eq!(promised, done);
    }
}

#[test]
fn samba_company_reaches_the_sandbox_exactly_and_only_once() {
    // Fewer memberships than people would have: each is a request.
    let company = Company { memberships: 800, ..Company::new(2_000, 200) };
    let samba = Samba::start(&company);
    let sandbox = Sandbox::start();
    let idcsync = bench(&samba, &company.scope(), &sandbox.target());

    // The state database isn't there, and a dry run does not make it.
    let files = idcsync.files();
    let (dry, requests) = sandbox.requests_of(|| idcsync.run_json(&["sync", "--dry-run"]).exits(0));
    assert!(!requests.is_empty() && !requests.iter().any(is_write), "a dry run only looks");
    assert!(idcsync.files() == files, "a dry run left {:?}", idcsync.files().keys());
    let pending = idcsync.run(&["sync", "--dry-run", "--detailed-exitcode", "-q"]).exits(8);
    assert_eq!(pending.stderr, "");

    let (sync, requests) = sandbox.requests_of(|| idcsync.run_json(&["sync"]).exits(0));
    assert_same_steps(&dry, &sync);
    let sent = requests.iter().filter(|r| is_write(r)).fold(BTreeMap::new(), |mut counts, request| {
        *counts.entry(request["operation"].as_str().expect("an operation")).or_insert(0) += 1;
        counts
    });
    let planned = dry.json();
    for (operation, action) in [
        ("CreateUser", "create-user"),
        ("CreateGroup", "create-group"),
        ("CreateGroupMembership", "add-member"),
    ] {
        let wanted = steps(&planned).iter().filter(|step| step["action"] == action).count();
        assert_eq!(sent.get(operation), Some(&wanted), "{sent:?}");
    }
    assert_eq!(sent.len(), 3, "{sent:?}");

    let expected = Question::new(Kind::ActiveDirectory, company.scope()).answer(&samba.dump());
    assert!(expected.members["Everyone@corp.example.com"].len() > 1_300);
    assert!(!expected.members["AWS-Contractors@corp.example.com"].is_empty(), "members by primary group");
    assert_eq!(expected.members["Ring-A@corp.example.com"], expected.members["Ring-C@corp.example.com"]);
    let store = sandbox.store();
    expected.assert_same(&store.contents());
    Target::default().after(&planned).assert_same(&Target::read(&store));

    // Nothing has changed: nothing is sent, and a dry run leaves the files that are there as they are.
    let files = idcsync.files();
    let (_, requests) = sandbox.requests_of(|| {
        idcsync
            .run(&["sync", "--dry-run", "--detailed-exitcode"])
            .exits(0)
            .says("Nothing to do: the target is as the directory has it.\n")
    });
    assert_eq!(requests, Vec::<Value>::new());
    assert!(idcsync.files() == files, "a dry run changed a file");
    let (_, requests) = sandbox.requests_of(|| {
        idcsync.run(&["sync"]).exits(0).says("Nothing to do: the target is as the directory has it.\n")
    });
    assert_eq!(requests, Vec::<Value>::new());
}

/// moto has no UpdateUser: so no attribute changes here.
#[test]
fn samba_company_reaches_moto_exactly() {
    let company = Company { memberships: 80, large_group: 60, ..Company::new(150, 40) };
    let samba = Samba::start(&company);
    let moto = Moto::start();
    // Its identity store is found by asking.
    let idcsync = bench(&samba, &company.scope(), &target(&moto.endpoint(), None));
    let dry = idcsync.run_json(&["sync", "--dry-run"]).exits(0);
    let sync = idcsync.run_json(&["sync"]).exits(0);
    assert_same_steps(&dry, &sync);
    let question = Question::new(Kind::ActiveDirectory, company.scope());
    let expected = question.answer(&samba.dump());
    assert!(expected.users.len() > 80, "{}", expected.users.len());
    expected.assert_same(&moto.store().contents());
    idcsync.run(&["sync"]).exits(0).says("Nothing to do");
    // moto knows who asks, and has no organization before one is made.
    let check = idcsync.run(&["check"]).exits(0).says("✓ AWS credentials: found: arn:aws:sts::");
    check.says("✓ organization: the account is in none");
    expected.assert_same(&moto.store().contents());

    let admin = samba.admin();
    let (admins, ring) = (samba.dn_of(company::ADMINS), samba.dn_of(company::RING[0]));
    let newcomer = (0..company.people)
        .map(|index| company.person(index))
        .find(|p| {
            let name = p.principal_name.clone().unwrap_or_default();
            expected.users.contains(&name) && !expected.members["AWS-Admins@corp.example.com"].contains(&name)
        })
        .expect("somebody who is not an administrator");
    admin.add_member(&admins, &samba.dn_of(&newcomer.account));
    admin.remove_member(&samba.dn_of(company::RING[2]), &ring);
    let before = Target::read(&moto.store());
    let dry = idcsync.run_json(&["sync", "--dry-run"]).exits(0);
    assert_same_steps(&dry, &idcsync.run_json(&["sync"]).exits(0));
    let found = Target::read(&moto.store());
    before.after(&dry.json()).assert_same(&found);
    question.answer(&samba.dump()).assert_same(&found.contents());
    idcsync.run(&["sync"]).exits(0).says("Nothing to do");
}

/// `explain` says of each person and group what the independent reading of the directory says, by every name.
#[test]
fn samba_company_is_explained_as_it_is() {
    let company = Company { memberships: 80, large_group: 60, ..Company::new(150, 40) };
    let samba = Samba::start(&company);
    let sandbox = Sandbox::start();
    let idcsync = bench(&samba, &company.scope(), &sandbox.target());
    let expected = Question::new(Kind::ActiveDirectory, company.scope()).answer(&samba.dump());
    let (before, asked) = (idcsync.files(), |kind: &str, name: &str| {
        idcsync.run_json(&["explain", kind, name]).exits(0).json()
    });

    let admins = &expected.members["AWS-Admins@corp.example.com"];
    let direct: Vec<usize> = company
        .members(company.special(company::ADMINS))
        .filter_map(|member| match member {
            company::Member::Person(index) => Some(index),
            _ => None,
        })
        .collect();
    let people: Vec<_> = (0..company.people).map(|index| company.person(index)).collect();
    let named = |p: &company::Person| p.principal_name.clone().unwrap_or_default();
    let nested = (people.iter())
        .find(|p| admins.contains(&named(p)) && !direct.contains(&p.index))
        .expect("an administrator by a nested group");
    let explained = asked("user", &named(nested));
    assert_eq!(explained["scope"]["verdict"], "in-scope", "{explained}");
    let group = explained["memberships"].as_array().expect("memberships").iter();
    let in_admins = group.clone().find(|m| m["group"] == "AWS-Admins@corp.example.com").expect("the group");
    assert!(in_admins["through"].is_string() && in_admins["wanted"] == true, "{in_admins}");
    assert_eq!(
        group.filter(|m| m["wanted"] == true).count(),
        expected.members.values().filter(|members| members.contains(&named(nested))).count()
    );
    let dn = samba.dn_of(&nested.account);
    assert_eq!(explained["object"]["dn"], dn.as_str());
    for name in [nested.account.clone(), format!("CORP\\{}", nested.account), dn] {
        assert_eq!(asked("user", &name), explained, "{name}");
    }

    // Somebody whom no path leads to: the directory is asked for the groups above.
    let far = (people.iter())
        .filter(|p| p.principal_name.is_some() && !expected.users.contains(&named(p)))
        .map(|p| asked("user", &named(p)))
        .find(|explained| explained["scope"]["verdict"] == "out-of-scope")
        .expect("somebody outside the scope");
    assert_eq!(far["scope"]["lacks"][0]["code"], "not-a-member", "{far}");
    assert_eq!(far["scope"]["nearestUnsure"], Value::Null, "{far}");
    assert!(
        !far["scope"]["nearest"].as_array().expect("a list").is_empty(),
        "everybody is in a group: {far}"
    );

    for person in people.iter().filter(|p| p.principal_name.is_some()).step_by(12) {
        let explained = asked("user", &named(person));
        let in_scope = explained["scope"]["verdict"] == "in-scope";
        assert_eq!(in_scope, expected.users.contains(&named(person)), "{explained}");
        let says = if in_scope { &explained["scope"]["paths"] } else { &explained["scope"]["lacks"] };
        assert!(!says.as_array().expect("a list").is_empty(), "{explained}");
    }

    let explained = asked("group", "AWS-Admins");
    let members = &explained["members"];
    assert_eq!(members["synced"].as_u64(), Some(admins.len() as u64), "{members}");
    assert_eq!(members["incomplete"], serde_json::json!([]));
    let outside = idcsync.run(&["explain", "group", "Domain Users"]).exits(0);
    outside.says("The group Domain Users@corp.example.com is not in scope:\n");
    assert!(idcsync.files() == before, "explaining writes nothing");

    // One of them now, and the others with the next cycle.
    idcsync.run(&["sync", "--only", "user", &nested.account]).exits(0).says("1 user to create");
    assert_eq!(sandbox.store().users().len(), 1);
    idcsync.run(&["sync"]).exits(0);
    expected.assert_same(&sandbox.store().contents());
    idcsync.run(&["explain", "user", &nested.account]).exits(0).says("Nothing to do to it: the target is as");

    // And what there is to be said of the setup: nothing that is known stands against it.
    let check = idcsync.run(&["check"]).exits(0);
    println!("{}", check.stdout);
    for line in [
        "  ✓ certificate of ldaps://",
        "  ✓ clock of ldaps://",
        "  ✓ replication of ldaps://",
        "  ✓ objectSid of the domain: S-1-5-21-",
        "  ✓ ranges of members: ",
        "  ✓ size limit: ",
        "  ✓ permissions to write: UpdateUser, DeleteUser, ",
        "  ✓ groups of one user: ",
    ] {
        assert!(check.stdout.contains(line), "{line} {}", check.report());
    }
    assert!(check.stdout.lines().all(|line| !line.starts_with("  ✗")), "{}", check.report());
}
