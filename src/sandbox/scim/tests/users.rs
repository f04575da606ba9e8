use super::*;

#[tokio::test]
async fn a_whole_user_comes_back_as_it_was_written() {
    let bed = Bed::new();
    let written = json!({
        "schemas": [user::CORE, ENTERPRISE],
        "externalId": "701984",
        "userName": "bjensen",
        "name": {"formatted": "Ms. B", "familyName": "Jensen", "givenName": "Barbara", "middleName": "J",
                 "honorificPrefix": "Ms.", "honorificSuffix": "III"},
        "displayName": "Babs Jensen", "nickName": "Babs", "profileUrl": "https://example.com/b",
        "emails": [{"value": "b@example.com", "type": "work", "primary": true}],
        "addresses": [{"type": "work", "streetAddress": "1 Plaza", "locality": "H", "region": "CA",
                       "postalCode": "91608", "country": "USA", "formatted": "1 Plaza H", "primary": true}],
        "phoneNumbers": [{"value": "555", "type": "work"}],
        "roles": [{"value": "Researcher", "type": "work", "primary": true}],
        "userType": "Employee", "title": "Guide", "preferredLanguage": "en-US", "locale": "en-US",
        "timezone": "America/Los_Angeles", "active": true,
        ENTERPRISE: {"employeeNumber": "7", "costCenter": "4130", "organization": "U", "division": "T",
                     "department": "Tours", "manager": {"value": "m-1"}},
    });
    let (status, made) = bed.send("POST", "/Users", written.clone()).await;
    assert_eq!(status, 201, "{made}");
    let mut rest = made.clone();
    let meta = rest["meta"].take();
    assert_eq!(meta["resourceType"], "User");
    assert!(
        meta["created"].as_str().unwrap().ends_with('Z') && meta["created"].as_str().unwrap().len() == 20
    );
    let rest = rest.as_object_mut().unwrap();
    let id = rest.remove("id").unwrap();
    rest.remove("meta");
    assert_eq!(Value::Object(rest.clone()), written);
    let path = format!("/Users/{}", id.as_str().unwrap());
    assert_eq!(bed.get(&path).await, (200, made.clone()));
    // What was read may be written.
    let (status, put) = bed.send("PUT", &path, made.clone()).await;
    assert_eq!((status, put["id"].clone()), (200, id.clone()));

    let (_, described) =
        bed.api("DescribeUser", json!({"UserId": id, "Extensions": ["aws:identitystore:enterprise"]})).await;
    assert_eq!(described["UserStatus"], "ENABLED");
    let issuer = issuer("eu-west-1", "tenant");
    assert_eq!(described["ExternalIds"], json!([{"Issuer": issuer, "Id": "701984"}]));
    assert_eq!(described["Extensions"]["aws:identitystore:enterprise"]["department"], "Tours");
    let by = json!({"AlternateIdentifier": {"ExternalId": {"Issuer": issuer, "Id": "701984"}}});
    assert_eq!(bed.api("GetUserId", by).await.1["UserId"], id);
}

#[tokio::test]
async fn what_the_api_wrote_scim_shows() {
    let bed = Bed::new();
    let made = json!({"UserName": "ada", "DisplayName": "Ada", "Name": {"GivenName": "A", "FamilyName": "L"},
                      "Emails": [{"Value": "ada@example.com"}], "Website": "https://ada.example"});
    let (_, made) = bed.api("CreateUser", made).await;
    let path = format!("/Users/{}", made["UserId"].as_str().unwrap());
    let (status, shown) = bed.get(&path).await;
    assert_eq!((status, &shown["userName"], &shown["active"]), (200, &json!("ada"), &json!(true)));
    assert_eq!((shown.get("externalId"), shown.get("website")), (None, None));
    // An address that SCIM would not have taken does not keep a user from being disabled.
    let (status, off) = bed.patch(&path, json!([{"op": "replace", "path": "active", "value": false}])).await;
    assert_eq!((status, &off["active"]), (200, &json!(false)));
    let (_, described) = bed.api("DescribeUser", json!({"UserId": made["UserId"]})).await;
    assert_eq!(
        (&described["UserStatus"], &described["Website"]),
        (&json!("DISABLED"), &json!("https://ada.example"))
    );
    assert_eq!(described["Emails"], json!([{"Value": "ada@example.com"}]));
}

#[tokio::test]
async fn a_new_user_must_be_whole_and_plain() {
    let bed = Bed::new();
    let with = |name: &str, value: Value| {
        let mut body = person("ada");
        body[name] = value;
        body
    };
    let mail = |value: Value| json!([value]);
    for body in [
        with("userName", Value::Null),
        with("displayName", Value::Null),
        with("name", json!({"givenName": "A"})),
        with("name", json!({"familyName": "L"})),
        with("userName", json!("ada lovelace")),
        with("userName", json!("")),
        with("userName", json!(1)),
        with("displayName", json!("")),
        with("emails", mail(json!({"value": "a@example.com"}))),
        with("emails", mail(json!({"value": "a@example.com", "primary": false}))),
        with("emails", mail(json!({"value": "a@example.com", "primary": "true"}))),
        with("emails", mail(json!({"type": "work", "primary": true}))),
        with("emails", mail(json!({"value": "a@example.com", "primary": true, "display": "A"}))),
        with(
            "emails",
            json!([{"value": "a@example.com", "primary": true}, {"value": "b@example.com", "primary": true}]),
        ),
        with("phoneNumbers", json!([{"value": "1"}, {"value": "2"}])),
        with("addresses", json!([{"locality": "a"}, {"locality": "b"}])),
        with("roles", json!([{"value": "a"}, {"value": "b"}])),
        with("roles", json!([{"value": "a", "display": "A"}])),
        with("groups", json!([])),
        with("password", json!("x")),
        with("photos", json!([])),
        with("nonsense", json!("x")),
        with("active", json!("yes")),
        with("externalId", json!("")),
        with("schemas", json!(["urn:other"])),
        with(ENTERPRISE, json!({"manager": {"value": "m", "displayName": "M"}})),
        with(ENTERPRISE, json!({"salary": "1"})),
        json!([]),
        json!("x"),
    ] {
        let (status, answer) = bed.send("POST", "/Users", body.clone()).await;
        assert_eq!(status, 400, "{body}");
        let detail = answer["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("Request is unparsable, syntactically incorrect, or violates schema"),
            "{detail}"
        );
        assert_eq!((&answer["status"], &answer["schemas"]), (&json!("400"), &answer["schema"]));
    }
    assert_eq!(bed.0.inspect(|s| s.users().len()), 0);
    let mut bare = person("ada");
    bare.as_object_mut().unwrap().retain(|name, _| name != "emails" && name != "active");
    let (status, made) = bed.send("POST", "/Users", bare).await;
    assert_eq!((status, &made["active"]), (201, &json!(false)));
}

#[tokio::test]
async fn names_addresses_and_external_ids_are_unique_on_every_way_in() {
    let bed = Bed::new();
    let mut ada = person("ada");
    ada["externalId"] = json!("guid-1");
    assert_eq!(bed.send("POST", "/Users", ada).await.0, 201);
    let bob = format!("/Users/{}", bed.user("bob").await);
    let like = |name: &str, value: Value| {
        let mut body = person("bob");
        body[name] = value;
        body
    };
    let mail = json!([{"value": "ADA@example.com", "primary": true}]);
    for (name, value) in [("userName", json!("ADA")), ("emails", mail), ("externalId", json!("guid-1"))] {
        let body = like(name, value.clone());
        let (status, answer) = bed.send("PUT", &bob, body).await;
        assert_eq!(
            (status, &answer["detail"]),
            (409, &json!("Refused to create a new, duplicate resource.")),
            "{name}"
        );
        let (status, _) = bed.patch(&bob, json!([{"op": "replace", "path": name, "value": value}])).await;
        assert_eq!(status, 409, "{name}");
        let mut eve = person("eve");
        eve[name] = value;
        assert_eq!(bed.send("POST", "/Users", eve).await.0, 409, "{name}");
    }
    assert_eq!(bed.get(&bob).await.1["userName"], "bob");
}

#[tokio::test]
async fn a_user_is_enabled_and_disabled_by_truth_in_either_form() {
    let bed = Bed::new();
    let id = bed.user("ada").await;
    let path = format!("/Users/{id}");
    for (value, active, status) in [
        (json!(false), false, "DISABLED"),
        (json!(true), true, "ENABLED"),
        (json!("False"), false, "DISABLED"),
        (json!("true"), true, "ENABLED"),
    ] {
        let (code, body) =
            bed.patch(&path, json!([{"op": "replace", "path": "active", "value": value}])).await;
        assert_eq!((code, &body["active"]), (200, &json!(active)), "{value}");
        assert_eq!(bed.api("DescribeUser", json!({"UserId": id})).await.1["UserStatus"], status);
    }
    for operations in [
        json!([{"op": "remove", "path": "active"}]),
        json!([{"op": "replace", "path": "active", "value": "off"}]),
        json!([{"op": "replace", "path": "active", "value": false}, {"op": "replace", "value": {"active": true}}]),
        json!([{"op": "replace", "path": "userName", "value": "b"}, {"op": "add", "path": "userName", "value": "c"}]),
    ] {
        assert_eq!(bed.patch(&path, operations.clone()).await.0, 400, "{operations}");
    }
    assert_eq!(bed.get(&path).await.1["active"], true);
}

#[tokio::test]
async fn a_patch_is_done_whole_or_not_at_all() {
    let bed = Bed::new();
    let path = format!("/Users/{}", bed.user("ada").await);
    let (status, body) = bed
        .patch(
            &path,
            json!([
                {"op": "replace", "path": "userName", "value": "ada.l"},
                {"op": "replace", "path": "emails", "value": [{"value": "l@example.com", "primary": true}]},
                {"op": "add", "path": format!("{ENTERPRISE}:department"), "value": "Engines"},
            ]),
        )
        .await;
    assert_eq!((status, &body["userName"]), (200, &json!("ada.l")));
    assert_eq!(body[ENTERPRISE], json!({"department": "Engines"}));
    assert_eq!(body["schemas"], json!([user::CORE, ENTERPRISE]));
    for operations in [
        json!([{"op": "replace", "path": "title", "value": "x"}, {"op": "remove", "path": "displayName"}]),
        json!([{"op": "replace", "path": "title", "value": "x"}, {"op": "remove", "path": "name.givenName"}]),
        json!([{"op": "replace", "path": "title", "value": ""}]),
        json!([{"op": "replace", "path": "emails", "value": [{"value": "x@example.com"}]}]),
        json!([{"op": "add", "path": "emails", "value": [{"value": "second@example.com", "primary": true}]}]),
        json!([{"op": "replace", "path": "website", "value": "https://x.example"}]),
    ] {
        assert_eq!(bed.patch(&path, operations.clone()).await.0, 400, "{operations}");
    }
    assert_eq!(bed.get(&path).await.1, body);
    let (_, less) = bed
        .patch(&path, json!([{"op": "remove", "path": ENTERPRISE}, {"op": "remove", "path": "emails"}]))
        .await;
    assert_eq!((less.get(ENTERPRISE), less.get("emails")), (None, None));
}

#[tokio::test]
async fn put_replaces_the_user_and_keeps_what_scim_has_no_word_for() {
    let bed = Bed::new();
    let id = bed.user("ada").await;
    let update = json!({"UserId": id, "Operations": [
        {"AttributePath": "website", "AttributeValue": "https://ada.example"},
        {"AttributePath": "title", "AttributeValue": "Countess"},
    ]});
    assert_eq!(bed.api("UpdateUser", update).await.0, 200);
    let mut new = person("ada");
    new.as_object_mut().unwrap().remove("active");
    let (status, body) = bed.send("PUT", &format!("/Users/{id}"), new).await;
    assert_eq!((status, body.get("title"), &body["active"]), (200, None, &json!(false)));
    assert_eq!(bed.api("DescribeUser", json!({"UserId": id})).await.1["Website"], "https://ada.example");
}

#[tokio::test]
async fn who_is_gone_is_not_found() {
    let bed = Bed::new();
    let id = bed.user("ada").await;
    let path = format!("/Users/{id}");
    let gone = bed.raw("DELETE", &path, None).await.unwrap();
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert_eq!(bed.api("DescribeUser", json!({"UserId": id})).await.1["__type"], "ResourceNotFoundException");
    for path in [path.as_str(), "/Users/ada"] {
        assert_eq!(bed.get(path).await.0, 404, "{path}");
        assert_eq!(bed.delete(path).await, 404, "{path}");
        assert_eq!(bed.send("PUT", path, person("ada")).await.0, 404, "{path}");
        assert_eq!(bed.patch(path, json!([{"op": "remove", "path": "title"}])).await.0, 404, "{path}");
    }
}
