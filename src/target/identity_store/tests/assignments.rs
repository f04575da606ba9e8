//! Who is assigned to what.

use super::*;
use crate::model::Assignment;

const INSTANCE: &str = "arn:aws:sso:::instance/ssoins-1111111111111111";

fn instances() -> Answer {
    let other = json!({"InstanceArn": "arn:aws:sso:::instance/ssoins-2222222222222222", "IdentityStoreId": "d-2222222222"});
    let ours = json!({"InstanceArn": INSTANCE, "IdentityStoreId": "d-1234567890", "Status": "ACTIVE"});
    Answer::Says(200, json!({"Instances": [other, ours]}))
}

fn set(name: &str) -> String {
    format!("arn:aws:sso:::permissionSet/ssoins-1111111111111111/ps-{name}")
}

fn listed(of: &[(&str, &str, &str, &str)], token: Option<&str>) -> Answer {
    let list = of.iter().map(|(kind, id, account, name)| {
        json!({"PrincipalType": kind, "PrincipalId": id, "AccountId": account, "PermissionSetArn": set(name)})
    });
    Answer::Says(200, json!({"AccountAssignments": list.collect::<Vec<_>>(), "NextToken": token}))
}

fn described(name: &str) -> Answer {
    Answer::Says(200, json!({"PermissionSet": {"Name": name, "PermissionSetArn": set(name)}}))
}

fn gone() -> Answer {
    refusal("ResourceNotFoundException", &json!({}))
}

fn denied() -> Answer {
    refusal("AccessDeniedException", &json!({}))
}

fn assignment(account: &str, name: &str, named: bool) -> Assignment {
    let permission_set_name = named.then(|| name.to_owned());
    Assignment { account: account.to_owned(), permission_set: set(name), permission_set_name }
}

fn one(kind: Kind) -> BTreeMap<TargetId, Kind> {
    BTreeMap::from([(id("u-1"), kind)])
}

#[tokio::test]
async fn nobody_is_asked_about_and_nothing_is_sent() {
    let script = Script::default();
    let target = script.target([]);
    assert_eq!(target.assignments(&BTreeMap::new()).await.unwrap(), BTreeMap::new());
    assert_eq!(script.operations(), [""; 0]);
}

#[tokio::test]
async fn direct_ones_are_read_page_by_page_and_each_permission_set_once() {
    let script = Script::default();
    let first = [("USER", "u-1", "2", "Admin"), ("GROUP", "g-1", "3", "Billing")];
    let second = [("USER", "u-1", "1", "Admin"), ("USER", "u-1", "1", "Read")];
    let target = script.target([
        instances(),
        listed(&first, Some("t")),
        listed(&second, None),
        described("Admin"),
        described("Read"),
    ]);
    let found = target.assignments(&one(Kind::User)).await.unwrap();
    // What comes through a group is the group's.
    let expected =
        vec![assignment("1", "Admin", true), assignment("1", "Read", true), assignment("2", "Admin", true)];
    assert_eq!(found, BTreeMap::from([(id("u-1"), expected)]));
    let requests = script.requests.lock().unwrap().clone();
    let asked =
        json!({"InstanceArn": INSTANCE, "PrincipalId": "u-1", "PrincipalType": "USER", "MaxResults": 100});
    assert_eq!(requests[1], ("ListAccountAssignmentsForPrincipal".to_owned(), asked));
    assert_eq!(requests[2].1["NextToken"], "t");
    let described = json!({"InstanceArn": INSTANCE, "PermissionSetArn": set("Admin")});
    assert_eq!(requests[3], ("DescribePermissionSet".to_owned(), described));
    assert_eq!(requests.len(), 5);

    // The instance is known by now.
    script.answers.lock().unwrap().push_back(listed(&[("GROUP", "u-1", "1", "Admin")], None));
    script.answers.lock().unwrap().push_back(gone());
    let found = target.assignments(&one(Kind::Group)).await.unwrap();
    assert_eq!(found[&id("u-1")], [assignment("1", "Admin", false)]);
    assert_eq!(script.requests.lock().unwrap()[5].1["PrincipalType"], "GROUP");
}

#[tokio::test]
async fn who_is_gone_is_assigned_to_nothing() {
    let script = Script::default();
    let target = script.target([instances(), gone()]);
    assert_eq!(target.assignments(&one(Kind::User)).await.unwrap(), BTreeMap::from([(id("u-1"), vec![])]));
}

#[tokio::test]
async fn names_that_may_not_be_read_leave_the_arns() {
    let script = Script::default();
    let list = [("USER", "u-1", "1", "Admin"), ("USER", "u-1", "1", "Read")];
    let target = script.target([instances(), listed(&list, None), denied()]);
    let found = target.assignments(&one(Kind::User)).await.unwrap();
    assert_eq!(found[&id("u-1")], [assignment("1", "Admin", false), assignment("1", "Read", false)]);
    // The answer to the second would be the same.
    assert_eq!(script.operations().len(), 3);
}

#[tokio::test]
async fn a_denied_call_names_the_permission_that_it_lacks() {
    for (answers, permission) in [
        (vec![denied()], "sso:ListInstances"),
        (vec![instances(), denied()], "sso:ListAccountAssignmentsForPrincipal"),
    ] {
        let target = Script::default().target(answers);
        let error = target.assignments(&one(Kind::User)).await.unwrap_err();
        assert_eq!(error.kind, TargetErrorKind::AccessDenied);
        assert!(error.message.ends_with(&format!("; allow {permission}")), "{error}");
    }
    // Throttling and time-outs lack no permission.
    let target = Script::default().target([instances(), refusal("ValidationException", &json!({}))]);
    let error = target.assignments(&one(Kind::User)).await.unwrap_err();
    assert_eq!(error.kind, TargetErrorKind::Validation);
    assert!(!error.message.contains("allow"), "{error}");
}

#[tokio::test]
async fn an_account_that_does_not_see_the_instance_is_told_so() {
    let target = Script::default().target([Answer::Says(200, json!({"Instances": []}))]);
    let error = target.assignments(&one(Kind::User)).await.unwrap_err();
    assert_eq!(error.code, "InstanceNotFound");
    assert!(error.message.contains("d-1234567890"), "{error}");
}

#[tokio::test]
async fn the_check_tries_all_of_it_and_fails_nothing() {
    let users =
        || Answer::Says(200, json!({"Users": [{"UserId": "u-1", "IdentityStoreId": "d-1234567890"}]}));
    let some = || listed(&[("USER", "u-1", "1", "Admin")], None);
    for (answers, state, words) in [
        (vec![instances(), users(), some(), described("Admin")], CheckState::Ok, "names"),
        (vec![instances(), users(), listed(&[], None)], CheckState::Ok, "not tried"),
        (vec![instances(), Answer::Says(200, json!({"Users": []}))], CheckState::Ok, "no user"),
        (vec![denied()], CheckState::Warn, "allow sso:ListInstances"),
        (
            vec![instances(), users(), denied()],
            CheckState::Warn,
            "allow sso:ListAccountAssignmentsForPrincipal",
        ),
        (vec![instances(), users(), some(), denied()], CheckState::Warn, "allow sso:DescribePermissionSet"),
    ] {
        // All assignments are looked at as well, where the instance is known.
        let instance = answers.len() > 1;
        let target = Script::default().target(answers.into_iter().chain(instance.then(denied)));
        let lines = target.check_assignments().await;
        assert_eq!(lines.len(), if instance { 2 } else { 1 });
        if let Some(orphans) = lines.get(1) {
            assert_eq!(orphans.state, CheckState::Unknown);
            assert!(orphans.detail.ends_with("; allow sso:ListPermissionSets"), "{}", orphans.detail);
        }
        let said = format!("{} {}", lines[0].detail, lines[0].remedy.as_deref().unwrap_or_default());
        assert!(lines[0].state == state && said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn assignments_of_a_group_that_is_gone_are_listed() {
    let of = |kind: &str, id: &str| json!({"PrincipalType": kind, "PrincipalId": id});
    let assigned = |list: Value| Answer::Says(200, json!({"AccountAssignments": list}));
    let target = Script::default().target([
        instances(),
        Answer::Says(200, json!({"Users": []})),
        Answer::Says(200, json!({"PermissionSets": [set("Admin")]})),
        Answer::Says(200, json!({"AccountIds": ["1"], "NextToken": "more"})),
        Answer::Says(200, json!({"AccountIds": ["2"]})),
        assigned(json!([of("USER", "u-1"), of("GROUP", "g-1")])),
        assigned(json!([of("GROUP", "g-1")])),
        described("Admin"),
        Answer::Says(200, json!({"UserId": "u-1", "IdentityStoreId": "d-1234567890"})),
        refusal("ResourceNotFoundException", &json!({"ResourceType": "GROUP"})),
    ]);
    let lines = target.check_assignments().await;
    assert_eq!(lines[1].state, CheckState::Warn, "{lines:?}");
    assert_eq!(
        lines[1].detail,
        "group g-1: Admin in 2 accounts; 3 assignments of 2 users and groups looked at"
    );
}

/// Neither many accounts nor many permission sets without any use up all requests, and what was not looked at is not well.
#[tokio::test]
async fn who_was_not_looked_at_is_not_known_to_be_there() {
    let user = || Answer::Says(200, json!({"UserId": "u-1", "IdentityStoreId": "d-1234567890"}));
    let sets = |names: Vec<String>| Answer::Says(200, json!({ "PermissionSets": names }));
    let begin = || [instances(), Answer::Says(200, json!({"Users": []}))].into_iter();
    let accounts: Vec<String> = (0..600).map(|n| n.to_string()).collect();
    let one = json!({"AccountAssignments": [{"PrincipalType": "USER", "PrincipalId": "u-1"}]});
    let listing = (0..248).map(|_| Answer::Says(200, one.clone()));
    let of_accounts = begin()
        .chain([sets(vec![set("Admin")]), Answer::Says(200, json!({ "AccountIds": accounts }))])
        .chain(listing)
        .chain([described("Admin"), user()]);
    let many: Vec<String> = (0..600).map(|n| set(&n.to_string())).collect();
    let nowhere = (0..249).map(|_| Answer::Says(200, json!({"AccountIds": []})));
    let of_sets = begin().chain([sets(many)]).chain(nowhere);
    for (answers, extent) in [
        (of_accounts.collect::<Vec<_>>(), "248 assignments of 1 users and groups looked at; there are more"),
        (of_sets.collect(), "0 assignments of 0 users and groups looked at; there are more"),
    ] {
        let lines = Script::default().target(answers).check_assignments().await;
        assert_eq!(lines[1].state, CheckState::Unknown, "{lines:?}");
        assert!(lines[1].detail.contains(extent), "{}", lines[1].detail);
    }
}
