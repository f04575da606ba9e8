//! What the service gives to Prometheus is read by a parser that is not ours, and held to docs/metrics.md.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use idcsync::config::Config;
use idcsync::model::{Code, Finding, Subject};
use idcsync::plan::Sort;
use idcsync::run::Metrics;
use idcsync::service::http::{router, serve};
use idcsync::service::{Board, Lease};
use idcsync::state::{CycleKind, CycleOutcome, CycleWord, State, StateUrl};
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// A scrape over a socket, of a service that has something to say of everything.
async fn scrape(dir: &Path) -> String {
    let config = Arc::new(Config::load(&support::dirs::root().join("config/quickstart.toml")).unwrap());
    let url = StateUrl::parse(&format!("sqlite://{}/state.db", dir.display()), dir).unwrap();
    let state = State::open(&url, "quickstart").await.unwrap();
    let now = Timestamp::now();
    // Odd characters go as far as labels: here, the holder of the lease.
    let subject = |id: &str| Subject { kind: None, id: id.to_owned(), label: id.to_owned() };
    let findings: Vec<Finding> =
        Code::ALL.iter().map(|code| Finding::new(*code, subject("x"), "…")).collect();
    state.replace_findings(now, &findings).await.unwrap();

    let (asks, _worker) = mpsc::channel(1);
    let board = Arc::new(Board::new(Arc::clone(&config), asks));
    board.set_state(Some(state));
    board.change(|view| {
        view.next = Some(now);
        view.lease = Some(Lease {
            holder: "host \"a\\b\"\nführung".to_owned(),
            until: now.checked_add(SignedDuration::from_hours(1)).ok(),
            mine: true,
        });
    });
    let metrics = Arc::new(Metrics::new(&config.profile).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve(listener, router(board, metrics), stopped));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(url).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
    let text = response.text().await.unwrap();
    stop.send(true).unwrap();
    server.await.unwrap().unwrap();
    text
}

fn judge(scrape: &str, dir: &Path) -> Output {
    let file = dir.join("scrape.prom");
    fs::write(&file, scrape).unwrap();
    let root = support::dirs::root();
    let mut command = Command::new(support::moto::venv("python3"));
    command.arg(root.join("scripts/check-metrics.py")).arg(file).arg(root.join("docs/metrics.md"));
    support::process::output(&mut command)
}

#[tokio::test]
async fn an_independent_parser_finds_all_that_is_documented() {
    let dir = tempfile::tempdir().unwrap();
    let text = scrape(dir.path()).await;
    let judged = judge(&text, dir.path());
    let said = String::from_utf8_lossy(&judged.stdout) + String::from_utf8_lossy(&judged.stderr);
    assert!(judged.status.success(), "{said}\n{text}");

    // And it would say so if something were amiss.
    let line = "idcsync_paused{profile=\"quickstart\"} 0\n";
    let wrong = [
        (text.replace(line, &format!("{line}{line}")), "twice"),
        (text.replace("# TYPE idcsync_paused gauge", "# TYPE idcsync_paused untyped"), "documented as gauge"),
        (text.replace("outcome=\"held\"", "outcome=\"other\""), "documented as one of"),
        (
            text.lines().filter(|l| !l.contains("idcsync_memberships")).map(|l| format!("{l}\n")).collect(),
            "not there",
        ),
        (format!("{text}# HELP idcsync_new x\n# TYPE idcsync_new gauge\nidcsync_new 1\n"), "is not in"),
    ];
    for (scrape, why) in wrong {
        assert_ne!(scrape, text, "{why}");
        let judged = judge(&scrape, dir.path());
        let said = String::from_utf8_lossy(&judged.stdout);
        assert!(!judged.status.success() && said.contains(why), "{why}: {said}");
    }
}

/// The words of outcomes and kinds of step: the table must have every one, not only those that were scraped.
#[test]
fn the_table_has_every_word() {
    let text = fs::read_to_string(support::dirs::root().join("docs/metrics.md")).unwrap();
    let row = |name: &str| text.lines().find(|line| line.contains(&format!("`{name}`"))).unwrap();
    for word in CycleWord::ALL {
        assert!(row("idcsync_cycles_total").contains(word.word()), "{}", word.word());
    }
    for sort in Sort::ALL {
        assert!(row("idcsync_steps_total").contains(sort.word()), "{}", sort.word());
    }
}

#[tokio::test]
async fn the_last_success_is_that_of_a_cycle_that_ended_well() {
    let dir = tempfile::tempdir().unwrap();
    let url = StateUrl::parse(&format!("sqlite://{}/state.db", dir.path().display()), dir.path()).unwrap();
    let state = State::open(&url, "corp").await.unwrap();
    assert_eq!(state.last_success().await.unwrap(), None);
    let at = |hour: i64| Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_hours(hour)).unwrap();
    let mut expected = None;
    for (hour, (kind, word)) in (1..).zip([
        (CycleKind::Normal, CycleWord::Failed),
        (CycleKind::Full, CycleWord::Held),
        (CycleKind::Normal, CycleWord::Nothing),
        (CycleKind::Sweep, CycleWord::Done),
        (CycleKind::Repair, CycleWord::Done),
        (CycleKind::Normal, CycleWord::Stopped),
        (CycleKind::Normal, CycleWord::Unreachable),
        (CycleKind::Normal, CycleWord::Unsettled),
    ]) {
        let cycle = state.begin_cycle(kind, at(hour)).await.unwrap();
        assert_eq!(state.last_success().await.unwrap(), expected, "one that runs is no success");
        let outcome = CycleOutcome { word, counts: serde_json::json!({}), finished: at(hour) };
        state.finish_cycle(cycle, &outcome).await.unwrap();
        if word.is_well() && kind != CycleKind::Repair {
            expected = Some(at(hour));
        }
        assert_eq!(state.last_success().await.unwrap(), expected, "{word:?}");
    }
    assert_eq!(expected, Some(at(4)));
}
