use super::*;

/// All of a list, page by page, and how large the pages were.
async fn walk(bed: &Bed, path: &str, name: &str) -> (Vec<String>, Vec<usize>) {
    let (mut all, mut sizes, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let (status, page) = bed.get(&format!("{path}cursor={cursor}")).await;
        assert_eq!(status, 200, "{page}");
        assert_eq!((page.get("totalResults"), page.get("startIndex")), (None, None));
        sizes.push(page["Resources"].as_array().unwrap().len());
        all.extend(names(&page, name));
        match page["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    all.sort();
    (all, sizes)
}

async fn full(settings: ScimSettings) -> (Bed, Vec<String>, String) {
    let bed = Bed::with(Settings { scim: settings, ..Settings::default() });
    let mut people = Vec::new();
    let mut ids = Vec::new();
    for n in 0..120 {
        let name = format!("user-{n:03}");
        ids.push(bed.user(&name).await);
        people.push(name);
    }
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let group = bed.group("Everyone", &ids[..100]).await;
    let rest = json!([{"op": "add", "path": "members", "value": self::people(&ids[100..])}]);
    assert_eq!(bed.patch(&format!("/Groups/{group}"), rest).await.0, 204);
    (bed, people, group)
}

#[tokio::test]
async fn pages_join_to_the_whole_for_users_and_for_members() {
    let (bed, everyone, group) = full(ScimSettings::default()).await;
    assert_eq!(walk(&bed, "/Users?", "userName").await, (everyone.clone(), vec![100, 20]));
    assert_eq!(walk(&bed, "/Users?count=50&", "userName").await, (everyone.clone(), vec![50, 50, 20]));
    let members = format!("/Users?filter=groups.value eq \"{group}\"&count=90&");
    assert_eq!(walk(&bed, &members, "userName").await, (everyone, vec![90, 30]));
}

#[tokio::test]
async fn short_pages_join_to_the_whole_too() {
    let (bed, everyone, group) = full(ScimSettings { short_pages: true, ..ScimSettings::default() }).await;
    assert_eq!(walk(&bed, "/Users?", "userName").await, (everyone.clone(), vec![50, 0, 1, 69]));
    let members = format!("/Users?filter=groups.value eq \"{group}\"&");
    assert_eq!(walk(&bed, &members, "userName").await, (everyone, vec![50, 0, 1, 69]));
}

#[tokio::test]
async fn without_an_empty_cursor_there_is_one_page() {
    let (bed, ..) = full(ScimSettings::default()).await;
    for path in ["/Users", "/Users?startIndex=101&count=100"] {
        let (status, page) = bed.get(path).await;
        assert_eq!((status, page["Resources"].as_array().unwrap().len()), (200, 100));
        assert_eq!((page.get("nextCursor"), &page["startIndex"]), (None, &json!(1)));
    }
    assert_eq!(bed.get("/Users?startIndex=1&cursor=").await.0, 400);
    assert_eq!(bed.get("/Users?count=101&cursor=").await.0, 400);
    let (_, first) = bed.get("/Users?count=1&cursor=").await;
    let next = first["nextCursor"].as_str().unwrap();
    // A cursor goes with its list and filter.
    assert_eq!(bed.get(&format!("/Groups?cursor={next}")).await.0, 400);
    assert_eq!(bed.get(&format!("/Users?cursor={next}&filter=userName eq \"user-001\"")).await.0, 400);
}

#[tokio::test]
async fn the_older_form_shows_fifty() {
    let (bed, ..) = full(ScimSettings { paging: ScimPaging::Older, ..ScimSettings::default() }).await;
    for path in ["/Users", "/Users?cursor=&count=100"] {
        let (_, page) = bed.get(path).await;
        assert_eq!((page["Resources"].as_array().unwrap().len(), page.get("nextCursor")), (50, None));
    }
}

#[tokio::test]
async fn filters_find_what_they_say() {
    let bed = Bed::new();
    let ada = bed.user("ada").await;
    let mut bob = person("bob");
    bob["externalId"] = json!("guid-b");
    bob[ENTERPRISE] = json!({"manager": {"value": ada}});
    let bob = bed.send("POST", "/Users", bob).await.1["id"].as_str().unwrap().to_owned();
    let admins = bed.group("Admins", &[&ada]).await;
    bed.group("Readers", &[&ada, &bob]).await;
    let stranger = "1234567890-00000000-0000-4000-8000-000000000001";
    for (filter, expected) in [
        ("userName eq \"ADA\"".to_owned(), vec!["ada"]),
        ("userName eq \"eve\"".to_owned(), vec![]),
        ("externalId eq \"guid-b\"".to_owned(), vec!["bob"]),
        ("externalId eq \"GUID-B\"".to_owned(), vec![]),
        (format!("id eq \"{ada}\""), vec!["ada"]),
        ("id eq \"ada\"".to_owned(), vec![]),
        (format!("manager eq \"{ada}\""), vec!["bob"]),
        (format!("id eq \"{bob}\" and manager eq \"{ada}\""), vec!["bob"]),
        (format!("manager eq \"{ada}\" and id eq \"{ada}\""), vec![]),
        (format!("groups.value eq \"{admins}\""), vec!["ada"]),
    ] {
        let (status, list) = bed.get(&format!("/Users?filter={filter}")).await;
        assert_eq!(
            (status, names(&list, "userName")),
            (200, expected.iter().map(|s| (*s).to_owned()).collect()),
            "{filter}"
        );
    }
    for (filter, expected) in [
        ("displayName eq \"admins\"".to_owned(), vec!["Admins"]),
        (format!("id eq \"{admins}\""), vec!["Admins"]),
        (format!("members.value eq \"{bob}\""), vec!["Readers"]),
        (format!("member eq \"{ada}\""), vec!["Admins", "Readers"]),
        (format!("id eq \"{admins}\" and member eq \"{ada}\""), vec!["Admins"]),
        (format!("members eq \"{bob}\" and id eq \"{admins}\""), vec![]),
        ("externalId eq \"none\"".to_owned(), vec![]),
    ] {
        let (status, list) = bed.get(&format!("/Groups?filter={filter}")).await;
        assert_eq!(
            (status, names(&list, "displayName")),
            (200, expected.iter().map(|s| (*s).to_owned()).collect()),
            "{filter}"
        );
    }
    for (path, expected) in [
        ("/Users?filter=displayName eq \"ada\"".to_owned(), 400),
        ("/Users?filter=userName co \"a\"".to_owned(), 400),
        ("/Users?filter=emails.value eq \"ada@example.com\"".to_owned(), 400),
        ("/Groups?filter=displayName eq \"a\" or id eq \"b\"".to_owned(), 400),
        (format!("/Users?filter=groups.value eq \"{stranger}\""), 404),
        (format!("/Groups?filter=members.value eq \"{stranger}\""), 404),
    ] {
        assert_eq!(bed.get(&path).await.0, expected, "{path}");
    }
}
