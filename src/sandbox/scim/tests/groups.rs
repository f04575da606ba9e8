use super::*;

fn unknown() -> String {
    "1234567890-00000000-0000-4000-8000-000000000001".to_owned()
}

#[tokio::test]
async fn members_are_never_shown_but_can_be_asked_for() {
    let bed = Bed::new();
    let (ada, bob) = (bed.user("ada").await, bed.user("bob").await);
    let body = json!({"displayName": "Admins", "externalId": "g-1", "members": [{"value": ada, "type": "User"}, {"value": bob}]});
    let (status, made) = bed.send("POST", "/Groups", body).await;
    assert_eq!((status, made.get("members")), (201, None));
    let id = made["id"].as_str().unwrap();
    let (_, shown) = bed.get(&format!("/Groups/{id}")).await;
    assert_eq!((&shown["members"], &shown["externalId"]), (&json!([]), &json!("g-1")));
    assert_eq!(bed.get("/Groups").await.1["Resources"][0]["members"], json!([]));
    assert_eq!(bed.members(id).await, ["ada", "bob"]);
    let (_, described) = bed.api("DescribeGroup", json!({"GroupId": id})).await;
    assert_eq!(described["ExternalIds"], json!([{"Issuer": issuer("eu-west-1", "tenant"), "Id": "g-1"}]));
    let (_, memberships) = bed.api("ListGroupMemberships", json!({"GroupId": id})).await;
    assert_eq!(memberships["GroupMemberships"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_new_group_is_checked_before_anything_is_made() {
    let bed = Bed::new();
    let ada = bed.user("ada").await;
    bed.group("Admins", &[]).await;
    let many: Vec<_> = vec![ada.as_str(); 101];
    let stranger = unknown();
    for (body, expected) in [
        (json!({"displayName": "admins"}), 409),
        (json!({}), 400),
        (json!({"displayName": ""}), 400),
        (json!({"displayName": "New", "description": "x"}), 400),
        (json!({"displayName": "New", "schemas": [user::CORE]}), 400),
        (json!({"displayName": "New", "members": people(&many)}), 400),
        (json!({"displayName": "New", "members": [{"value": "ada"}]}), 400),
        (json!({"displayName": "New", "members": [{"value": ada, "type": "Group"}]}), 400),
        (json!({"displayName": "New", "members": people(&[&ada, &stranger])}), 404),
    ] {
        assert_eq!(bed.send("POST", "/Groups", body.clone()).await.0, expected, "{body}");
    }
    assert_eq!(bed.0.inspect(|s| (s.groups().len(), s.memberships().len())), (1, 0));
    // A hundred are allowed, and the same one twice is one.
    bed.group("Hundred", &many[..100]).await;
    assert_eq!(bed.0.inspect(|s| s.memberships().len()), 1);
}

#[tokio::test]
async fn a_group_that_cannot_have_its_members_is_not_made() {
    use crate::sandbox::store::{Quotas, Store};
    let quotas = Quotas { users: 10, groups: 10, groups_of_a_user: 1 };
    let bed = Bed(Sandbox::with_store(Settings::default(), Store::new().with_quotas(quotas)).unwrap());
    let (ada, bob) = (bed.user("ada").await, bed.user("bob").await);
    bed.group("First", &[&bob]).await;
    let body = json!({"displayName": "Second", "members": people(&[&ada, &bob])});
    assert_eq!(bed.send("POST", "/Groups", body).await.0, 400);
    assert_eq!(bed.0.inspect(|s| (s.groups().len(), s.memberships().len())), (1, 1));
}

#[tokio::test]
async fn members_come_and_go_and_twice_is_once() {
    let bed = Bed::new();
    let (ada, bob) = (bed.user("ada").await, bed.user("bob").await);
    let id = bed.group("Admins", &[]).await;
    let path = format!("/Groups/{id}");
    let add = json!([{"op": "add", "path": "members", "value": people(&[&ada, &bob])}]);
    let remove = json!([{"op": "remove", "path": "members", "value": people(&[&ada])}]);
    for _ in 0..2 {
        assert_eq!(bed.patch(&path, add.clone()).await, (204, Value::Null));
        assert_eq!(bed.members(&id).await, ["ada", "bob"]);
    }
    for _ in 0..2 {
        assert_eq!(bed.patch(&path, remove.clone()).await.0, 204);
        assert_eq!(bed.members(&id).await, ["bob"]);
    }
    let member = json!({"UserId": bob});
    assert_eq!(bed.api("GetGroupMembershipId", json!({"GroupId": id, "MemberId": member})).await.0, 200);
}

#[tokio::test]
async fn a_refused_patch_does_nothing() {
    let bed = Bed::new();
    let (ada, bob) = (bed.user("ada").await, bed.user("bob").await);
    let id = bed.group("Admins", &[&ada]).await;
    bed.group("Taken", &[]).await;
    let path = format!("/Groups/{id}");
    let stranger = unknown();
    let many: Vec<_> = vec![bob.as_str(); 101];
    let add = |ids: &[&str]| json!({"op": "add", "path": "members", "value": people(ids)});
    for (operations, expected) in [
        (json!([add(&many)]), 400),
        (json!([add(&[&bob]), {"op": "remove", "path": format!("members[value eq \"{ada}\"]")}]), 400),
        (json!([add(&[&bob]), {"op": "replace", "path": "members", "value": people(&[&bob])}]), 400),
        (json!([add(&[&bob, &stranger])]), 404),
        (json!([add(&[&bob]), {"op": "remove", "path": "members", "value": people(&[&stranger])}]), 404),
        (json!([add(&[&bob]), {"op": "replace", "path": "displayName", "value": "taken"}]), 409),
        (json!([add(&[&bob]), {"op": "replace", "path": "displayName", "value": ""}]), 400),
        (json!([add(&[&bob]), {"op": "replace", "path": "description", "value": "x"}]), 400),
        (json!([add(&[&bob]), {"op": "add", "path": "members", "value": []}]), 400),
    ] {
        assert_eq!(bed.patch(&path, operations.clone()).await.0, expected, "{operations}");
        assert_eq!(bed.members(&id).await, ["ada"], "{operations}");
    }
    assert_eq!(bed.get(&path).await.1["displayName"], "Admins");
}

/// A 400 does not prove that nothing happened.
#[tokio::test]
async fn removing_nobody_in_particular_is_refused_and_empties_the_group() {
    for op in ["remove", "replace"] {
        for value in [None, Some(json!([])), Some(json!([{"value": ""}]))] {
            let bed = Bed::new();
            let ada = bed.user("ada").await;
            let (id, other) = (bed.group("Admins", &[&ada]).await, bed.group("Other", &[&ada]).await);
            let mut operation = json!({"op": op, "path": "members"});
            if let Some(value) = &value {
                operation["value"] = value.clone();
            }
            let (status, _) = bed.patch(&format!("/Groups/{id}"), json!([operation])).await;
            assert_eq!(status, 400, "{operation}");
            assert!(bed.members(&id).await.is_empty(), "{operation}");
            assert_eq!(bed.members(&other).await, ["ada"]);
        }
    }
}

#[tokio::test]
async fn a_group_is_renamed_and_its_description_left_alone() {
    let bed = Bed::new();
    let (_, made) =
        bed.api("CreateGroup", json!({"DisplayName": "Admins", "Description": "All of them"})).await;
    let path = format!("/Groups/{}", made["GroupId"].as_str().unwrap());
    assert_eq!(bed.get(&path).await.1.get("description"), None);
    let operations = json!([{"op": "replace", "value": {"id": made["GroupId"], "displayName": "Root"}}]);
    assert_eq!(bed.patch(&path, operations).await.0, 204);
    let operations = json!([{"op": "replace", "path": "externalId", "value": "g-1"}]);
    assert_eq!(bed.patch(&path, operations).await.0, 204);
    let (_, described) = bed.api("DescribeGroup", json!({"GroupId": made["GroupId"]})).await;
    assert_eq!(
        (&described["DisplayName"], &described["Description"]),
        (&json!("Root"), &json!("All of them"))
    );
    assert_eq!(described["ExternalIds"][0]["Id"], "g-1");
    assert_eq!(bed.delete(&path).await, 204);
    assert_eq!(bed.delete(&path).await, 404);
    assert_eq!(
        bed.patch(&path, json!([{"op": "replace", "path": "displayName", "value": "x"}])).await.0,
        404
    );
}
