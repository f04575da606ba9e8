//! The pages, without a browser: tests/page.rs has one.

use super::*;
use crate::ids::{Fingerprint, PlanId};
use crate::state::{CycleKind, CycleOutcome, CycleWord};

const PAGES: [&str; 5] = ["/", "/objects", "/held", "/leaving", "/findings"];
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x>\u{1b}[2J\u{202e}";

async fn hold(state: &State, count: u32) -> PlanId {
    let plan = PlanId::new("0123456789ab".to_owned());
    let cycle = state.begin_cycle(CycleKind::Normal, clock::now()).await.unwrap();
    let step = |no: u32| {
        let step = json!({
            "step": no + 1, "action": "remove-member", "object": { "kind": "group", "label": HOSTILE },
            "member": { "kind": "user", "label": format!("p{no:02}{HOSTILE}") }, "reason": HOSTILE,
            "held": [
                { "why": "over-limit", "limit": "max-removals", "count": 700, "allowed": 500 },
                { "why": "of another version" },
            ],
        });
        (Fingerprint::new(format!("{no:032}")), step)
    };
    state.save_held(&plan, cycle, &(0..count).map(step).collect::<Vec<_>>(), clock::now()).await.unwrap();
    let counts = json!({ "done": { "create-user": 7 }, "held": count });
    let outcome = CycleOutcome { word: CycleWord::Held, counts, finished: clock::now() };
    state.finish_cycle(cycle, &outcome).await.unwrap();
    plan
}

#[tokio::test]
async fn every_page_is_one_and_lets_in_nothing_but_its_own() {
    let (service, _state) = Service::ready().await;
    for path in PAGES {
        let page = service.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_eq!(page.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(page.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(page.headers[header::REFERRER_POLICY], "no-referrer");
        let policies: Vec<_> = page.headers.get_all(header::CONTENT_SECURITY_POLICY).iter().collect();
        let [policy] = policies.as_slice() else { panic!("{path}: {policies:?}") };
        let policy = policy.to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"), "{policy}");
        assert!(policy.ends_with("form-action 'self'; frame-ancestors 'none'; base-uri 'none'"), "{policy}");
        assert!(page.text.starts_with("<!doctype html>\n<html lang=\"en\">"), "{}", page.text);
        assert!(page.text.contains(&format!("<li><a href=\"{path}\" aria-current=\"page\">")), "{path}");
        // What the policy refuses is not there.
        assert!(
            !page.text.contains("<style") && !page.text.contains(" style=") && !page.text.contains("onclick")
        );
        assert_eq!(page.text.matches("<script").count(), 1);
    }
    for (path, form) in
        [("/page.css", "text/css"), ("/page.js", "text/javascript"), ("/icon.svg", "image/svg+xml")]
    {
        let file = service.get(path).await;
        assert_eq!(file.status, StatusCode::OK, "{path}");
        assert!(file.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with(form), "{path}");
    }
    let status = service.get("/api/status").await;
    assert_eq!(status.headers[header::CONTENT_SECURITY_POLICY], NO_PAGE);
}

#[tokio::test]
async fn without_a_state_database_the_pages_say_what_is_waited_for() {
    let service = Service::new(true);
    for path in PAGES {
        let page = service.get(path).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(page.text.contains("the service still waits for the state database"), "{}", page.text);
        assert!(page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("style-src 'self'"));
    }
    let (service, state) = Service::ready().await;
    state.close().await;
    for path in PAGES {
        let page = service.get(path).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(page.text.contains("the state database cannot be used"), "{}", page.text);
    }
}

#[tokio::test]
async fn a_name_that_was_made_to_point_here_reads_no_page() {
    let (service, _state) = Service::ready().await;
    for path in PAGES {
        let mut request =
            Request::get(path).header(header::HOST, "evil.example").body(Body::empty()).unwrap();
        request
            .extensions_mut()
            .insert(ConnectInfo::<std::net::SocketAddr>("127.0.0.1:5000".parse().unwrap()));
        assert_eq!(service.send(request).await.status, StatusCode::MISDIRECTED_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn what_others_wrote_is_text() {
    let (service, state) = Service::ready().await;
    let subject = Subject { kind: None, id: HOSTILE.to_owned(), label: HOSTILE.to_owned() };
    state
        .replace_findings(clock::now(), &[Finding::new(Code::AttributeInvalid, subject, HOSTILE)])
        .await
        .unwrap();
    hold(&state, 3).await;
    service.post("/api/pause", &json!({ "reason": HOSTILE, "by": HOSTILE }).to_string()).await;
    service.board.change(|view| {
        view.config_problem = Some(HOSTILE.to_owned());
        view.lease = Some(Lease { holder: HOSTILE.to_owned(), until: None, mine: false });
    });
    let q = "/objects?q=%3Cscript%3E%22%27%3E%1b&kind=%3Cb%3E&standing=%22%3E&page=%3Cb%3E";
    for path in ["/", "/held", "/findings", "/findings?code=%3Cscript%3E", q] {
        let page = service.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_eq!(page.text.matches("<script").count(), 1, "{path}: {}", page.text);
        assert!(!page.text.contains("<img"), "{path}");
        assert!(page.text.chars().all(|c| c == '\n' || !printable::is_hidden(c)), "{path}");
        assert!(page.text.contains("&lt;script&gt;"), "{path}: {}", page.text);
    }
    let held = service.get("/held").await.text;
    assert!(held.contains(r"\u{1b}[2J\u{202e}"), "{held}");
    assert!(held.contains("700 in this cycle, guard.max-removals allows 500"), "{held}");
}

#[tokio::test]
async fn whoever_approves_on_the_page_sees_what_a_step_means() {
    let (service, state) = Service::ready().await;
    let cycle = state.begin_cycle(CycleKind::Normal, clock::now()).await.unwrap();
    let list = json!([{ "account": "111122223333", "permissionSet": "arn", "permissionSetName": "AdministratorAccess" }]);
    let steps = [
        json!({ "step": 1, "action": "delete-group", "object": { "kind": "group", "label": "Team" }, "assignments": list }),
        json!({ "step": 2, "action": "adopt-user", "object": { "kind": "user", "label": "p00", "targetId": "u-77" } }),
        json!({ "step": 3, "action": "update-user", "object": { "kind": "user", "label": "p01", "targetId": "u-78" } }),
    ];
    let steps: Vec<_> = (0..).zip(steps).map(|(no, s)| (Fingerprint::new(format!("{no:032}")), s)).collect();
    state.save_held(&PlanId::new("0123456789ab".to_owned()), cycle, &steps, clock::now()).await.unwrap();
    let page = service.get("/held").await.text;
    assert!(page.contains("goes with it for good: AdministratorAccess in 111122223333"), "{page}");
    assert!(page.contains("takes over u-77") && !page.contains("u-78"), "{page}");
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let (service, state) = Service::ready().await;
    hold(&state, 120).await;
    let rows = |page: &Answer| page.text.matches("<tr><td class=\"number\">").count();
    let first = service.get("/held").await;
    assert_eq!(rows(&first), 50);
    assert!(first.text.contains("href=\"/held?page=2\">Next") && !first.text.contains("Previous"));
    let last = service.get("/held?page=99").await;
    assert_eq!(rows(&last), 20);
    assert!(last.text.contains("101 to 120 of 120") && last.text.contains("Page 3 of 3"), "{}", last.text);
    let finding = |no: u32| {
        let subject = Subject { kind: None, id: no.to_string(), label: format!("o{no:04}") };
        Finding::new(if no == 7 { Code::StepsHeld } else { Code::EmailMissing }, subject, "none")
    };
    state.replace_findings(clock::now(), &(0..1000).map(finding).collect::<Vec<_>>()).await.unwrap();
    let findings = service.get("/findings?code=EmailMissing&page=20").await.text;
    assert!(findings.contains("951 to 999 of 999") && findings.contains("o0999"), "{findings}");
    assert!(findings.contains("href=\"/findings?code=EmailMissing&amp;page=19\""), "{findings}");
    let home = service.get("/").await;
    assert!(home.text.contains("o0000, o0001, o0002, o0003, o0004 and 994 more"), "{}", home.text);
    assert!(home.text.len() < 30_000, "{}", home.text.len());
    // What is counted is what the link shows.
    assert!(home.text.contains("href=\"/objects?kind=user&amp;standing=linked\""), "{}", home.text);
}

#[tokio::test]
async fn controls_are_only_there_with_a_token() {
    let (service, _state) = Service::ready().await;
    let with = service.get("/").await.text;
    assert!(with.contains("data-do=\"pause\"") && with.contains("type=\"password\""), "{with}");
    assert!(!with.contains(TOKEN));
    let mut config = service.board.config().as_ref().clone();
    config.service.token = None;
    service.board.set_config(Arc::new(config));
    let without = service.get("/").await.text;
    assert!(without.contains("Changes over HTTP are off: name a file"), "{without}");
    assert!(!without.contains("data-do=") && !without.contains("<form data-needs-script"), "{without}");
}

#[tokio::test]
async fn held_steps_are_approved_by_their_plan() {
    let (service, state) = Service::ready().await;
    let plan = hold(&state, 3).await;
    let body = |plan: &str| json!({ "plan": plan, "by": "ada" }).to_string();
    for (wrong, status) in [
        (body("ffffffffffff"), StatusCode::NOT_FOUND),
        (String::new(), StatusCode::BAD_REQUEST),
        ("{}".to_owned(), StatusCode::BAD_REQUEST),
        (r#"{"plan": 7}"#.to_owned(), StatusCode::BAD_REQUEST),
        (r#"{"plan": "0123456789ab", "all": true}"#.to_owned(), StatusCode::BAD_REQUEST),
    ] {
        let refused = service.post("/api/approve", &wrong).await;
        assert_eq!(refused.status, status, "{wrong}");
        assert!(!refused.error().is_empty());
    }
    assert_eq!(
        service.post_as("/api/approve", &[], &body(plan.as_str())).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(service.get("/api/approve").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(state.load(clock::now()).await.unwrap().approvals.len(), 0);
    assert!(service.get("/held").await.text.contains("data-do=\"approve\" data-plan=\"0123456789ab\""));

    // What is held under the same plan may be something else than what somebody has looked at.
    let sealed = |seal: &str| json!({ "plan": plan.as_str(), "by": "ada", "seal": seal }).to_string();
    let other = service.post("/api/approve", &sealed("0011223344556677")).await;
    assert_eq!(other.status, StatusCode::CONFLICT, "{}", other.text);
    assert_eq!(state.load(clock::now()).await.unwrap().approvals.len(), 0);
    let page = service.get("/held").await.text;
    let seal = page.split("data-seal=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let approved = service.post("/api/approve", &sealed(&seal)).await;
    assert_eq!(approved.status, StatusCode::OK, "{}", approved.text);
    let said = approved.json();
    assert_eq!((&said["schema"], &said["plan"]), (&json!("idcsync/approval/v1"), &json!("0123456789ab")));
    assert_eq!(said["steps"].as_array().unwrap().len(), 3);
    let until: Timestamp = said["approvedUntil"].as_str().unwrap().parse().unwrap();
    let hours = until.duration_since(clock::now()).as_hours();
    assert!((71..=72).contains(&hours), "{hours}");
    assert_eq!(state.load(clock::now()).await.unwrap().approvals.len(), 3);
    let page = service.get("/held").await.text;
    assert!(page.contains("all are approved") && !page.contains("data-do=\"approve\""), "{page}");
}
