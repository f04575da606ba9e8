//! Lists to their end, look-ups by every key, members.

use super::*;

#[tokio::test]
async fn short_and_empty_pages_do_not_end_a_list_and_a_repeated_cursor_is_an_error() {
    let rig = Rig::start().await;
    let listing = [
        page(users(0..1), Some("a b+c")),
        page(json!([]), Some("2")),
        page(users(1..61), Some("3")),
        page(users(61..62), None),
    ];
    rig.script.prepare(listing);
    let (users_found, cut) = rig.target.pages(Kind::User, None).await.unwrap();
    assert_eq!((users_found.len(), cut), (62, false));
    assert_eq!(
        rig.script.lines(),
        [
            "GET /Users?count=100&cursor=",
            "GET /Users?count=100&cursor=a%20b%2Bc",
            "GET /Users?count=100&cursor=2",
            "GET /Users?count=100&cursor=3"
        ]
    );
    rig.script.prepare([
        page(users(0..1), Some("1")),
        page(json!([]), Some("2")),
        page(json!([]), Some("1")),
    ]);
    assert_eq!(kind(rig.target.pages(Kind::User, None).await).1, "RepeatedPage");
}

#[tokio::test]
async fn a_page_that_ends_where_the_older_form_ends_is_not_all_until_that_is_shown() {
    // The older form, which says nothing of the rest.
    let rig = Rig::start().await;
    rig.script.prepare([sole_page(users(0..50), 50), sole_page(users(0..1), 1)]);
    assert!(rig.target.pages(Kind::User, None).await.unwrap().1);
    assert_eq!(rig.script.lines(), ["GET /Users?count=100&cursor=", "GET /Users?count=1&cursor="]);
    // One that does say.
    let rig = Rig::start().await;
    rig.script.prepare([sole_page(users(0..50), 51)]);
    assert!(rig.target.pages(Kind::User, None).await.unwrap().1);
    assert_eq!(rig.script.lines().len(), 1);
    // Just so many, and pages by cursor: asked once.
    let rig = Rig::start().await;
    rig.script.prepare([page(users(0..50), None), page(users(0..1), Some("c")), page(users(0..70), None)]);
    assert!(!rig.target.pages(Kind::User, None).await.unwrap().1);
    assert!(!rig.target.pages(Kind::User, None).await.unwrap().1);
    assert_eq!(rig.script.lines().len(), 3);
    // Just so many, and the total tells the truth.
    let rig = Rig::start().await;
    rig.script.prepare([sole_page(users(0..60), 60), sole_page(users(0..1), 60)]);
    assert!(!rig.target.pages(Kind::User, None).await.unwrap().1);
    // Fewer need no proof.
    let rig = Rig::start().await;
    rig.script.prepare([sole_page(users(0..49), 49)]);
    assert!(!rig.target.pages(Kind::User, None).await.unwrap().1);
}

#[tokio::test]
async fn where_the_list_is_cut_short_everything_wanted_is_asked_for_by_itself() {
    let rig = Rig::start().await;
    rig.script.prepare([sole_page(users(0..50), 50), sole_page(users(0..1), 1)]);
    rig.script.prepare((50..60).map(|n| sole_page(users(n..n + 1), 1)));
    let user_names = (0..60).map(|n| format!("N{n}@x")).collect();
    let wants = Wants { user_names, ..Wants::default() };
    assert_eq!(rig.target.observe(&wants).await.unwrap().users.len(), 60);
    // In whatever order the look-ups come in.
    let lines = rig.script.lines();
    assert_eq!(lines.len(), 12);
    let filter = "GET /Users?filter=userName%20eq%20%22N57%40x%22&count=100&cursor=";
    assert!(lines.iter().any(|l| l == filter), "{lines:?}");
}

#[tokio::test]
async fn reading_back_a_cut_list_is_an_error_for_users_and_single_questions_for_groups() {
    let groups = |range: std::ops::Range<usize>| -> Value {
        range.map(|n| json!({"id": format!("g{n}"), "displayName": format!("g{n}"), "members": []})).collect()
    };
    let rig = Rig::start().await;
    rig.script.prepare([sole_page(users(0..50), 70)]);
    assert_eq!(kind(rig.target.all_users().await), (TargetErrorKind::Unavailable, "ListingCut".to_owned()));
    rig.script.prepare([
        sole_page(groups(0..50), 70),
        says(200, json!({"schemas": [], "id": "g60", "displayName": "g60"})),
        sole_page(users(3..5), 2),
    ]);
    let wanted = BTreeSet::from([id("g60")]);
    let found = rig.target.all_groups(&wanted).await.unwrap();
    assert_eq!(found.len(), 51);
    assert_eq!(found[&id("g60")].members, Some(ids(3..5).into_iter().collect()));
    assert_eq!(found[&id("g1")].members, None);
    // Members that cannot all be listed are not a smaller group.
    rig.script.prepare([sole_page(groups(0..1), 1), sole_page(users(0..50), 99)]);
    assert_eq!(kind(rig.target.all_groups(&[id("g0")].into()).await).1, "ListingCut");
}

#[tokio::test]
async fn a_server_without_cursors_is_asked_without() {
    for status in [400, 501] {
        let rig = Rig::start().await;
        rig.script.prepare([refusal(status), sole_page(users(0..1), 1), sole_page(users(0..1), 1)]);
        assert_eq!(rig.target.pages(Kind::User, None).await.unwrap().0.len(), 1);
        assert_eq!(rig.target.pages(Kind::User, None).await.unwrap().0.len(), 1);
        let lines = rig.script.lines();
        assert_eq!(lines, ["GET /Users?count=100&cursor=", "GET /Users?count=100", "GET /Users?count=100"]);
    }
    // A filter that is refused is refused either way, and the cursor is not blamed.
    let rig = Rig::start().await;
    rig.script.prepare([refusal(400), refusal(400), page(users(0..1), None)]);
    assert_eq!(rig.target.find_user("a b").await.unwrap(), None);
    rig.target.pages(Kind::User, None).await.unwrap();
    assert!(rig.script.lines()[2].ends_with("cursor="));
}

/// It gives cursors, and takes none together with a filter: what is told of the one list is not told of the other.
#[tokio::test]
async fn a_filter_that_takes_no_cursor_gives_one_page_that_may_not_be_all() {
    let rig = Rig::start().await;
    rig.script.prepare([page(users(0..60), Some("c")), page(users(60..61), None)]);
    assert_eq!(rig.target.pages(Kind::User, None).await.unwrap().0.len(), 61);
    let in_group = Some("groups.value eq \"g\"");
    rig.script.prepare([refusal(400), page(users(0..100), None)]);
    let (found, cut) = rig.target.pages(Kind::User, in_group).await.unwrap();
    assert_eq!((found.len(), cut), (100, true));
    rig.script.prepare([refusal(400), page(users(0..3), None)]);
    assert!(!rig.target.pages(Kind::User, in_group).await.unwrap().1);
    rig.script.lines();
    rig.script.prepare([page(users(0..60), Some("c")), page(users(60..61), None)]);
    assert_eq!(rig.target.pages(Kind::User, None).await.unwrap().0.len(), 61);
    assert!(rig.script.lines()[0].ends_with("cursor="));
}

#[tokio::test]
async fn members_are_asked_of_the_users_and_a_membership_of_the_groups() {
    let rig = Rig::start().await;
    let team = json!({"schemas": [], "id": "g\"1", "displayName": "Team", "externalId": "E", "members": []});
    rig.script.prepare([page(json!([team]), None), page(users(0..2), Some("c")), page(users(2..3), None)]);
    let wants = Wants { group_external_ids: ["e".to_owned()].into(), ..Wants::default() };
    let found = rig.target.observe(&wants).await.unwrap().groups;
    let found = &found[&id("g\"1")];
    assert_eq!(found.members, Some(ids(0..3).into_iter().collect()));
    assert_eq!(found.external_ids, [(String::new(), "E".to_owned())]);
    let lines = rig.script.lines();
    assert_eq!(lines[1], "GET /Users?filter=groups.value%20eq%20%22g%5C%221%22&count=100&cursor=");
    // A server that shows members is believed.
    let shown = json!({"schemas": [], "id": "g", "displayName": "Team", "members": [{"value": "u7"}]});
    rig.script.prepare([page(json!([shown]), None)]);
    let wants = Wants { group_names: ["team".to_owned()].into(), ..Wants::default() };
    let found = rig.target.observe(&wants).await.unwrap().groups;
    assert_eq!(found[&id("g")].members, Some([id("u7")].into()));
    assert_eq!(rig.script.lines().len(), 1);

    rig.script.prepare([page(json!([{"id": "g"}]), None), page(json!([]), None)]);
    assert!(rig.target.is_member(&id("g"), &id("u")).await.unwrap());
    assert!(!rig.target.is_member(&id("g"), &id("u")).await.unwrap());
    let filter = "filter=id%20eq%20%22g%22%20and%20members%20eq%20%22u%22";
    assert_eq!(rig.script.lines()[0], format!("GET /Groups?{filter}&count=100&cursor="));
}

#[tokio::test]
async fn an_answer_that_does_not_have_the_name_asked_for_is_nobody() {
    let rig = Rig::start().await;
    rig.script.prepare([page(users(0..3), None), page(users(0..3), None)]);
    assert_eq!(rig.target.find_user("someone@x").await.unwrap(), None);
    let (found, _) = rig.target.find_user("N2@X").await.unwrap().unwrap();
    assert_eq!(found, id("u2"));
}

#[tokio::test]
async fn an_address_is_found_by_listing_and_never_asked_for() {
    let rig = Rig::start().await;
    let anna = json!({"id": "u", "userName": "a", "emails": [{"value": "Anna@x"}]});
    rig.script.prepare([page(json!([]), Some("c")), page(json!([anna]), None)]);
    let wants = Wants { emails: ["anna@X".to_owned(), "bert@x".to_owned()].into(), ..Wants::default() };
    assert!(rig.target.observe(&wants).await.unwrap().users.contains_key(&id("u")));
    assert_eq!(rig.script.lines(), ["GET /Users?count=100&cursor=", "GET /Users?count=100&cursor=c"]);
}
