use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;

use super::*;
use crate::config::Config;
use crate::cycle::Times;
use crate::ids::{Anchor, CycleId, Fingerprint, LinkNo, PlanId, TargetId};
use crate::model::{Code, DisableCause, DisableHow, Disabled, Finding, Kind, Known, Link, Subject};
use crate::plan::{Sort, countdowns};
use crate::state::{CycleWord, HeldPlan, Pause};
use crate::target::Usage;

fn metrics() -> Metrics {
    Metrics::new("corp").unwrap()
}

/// The value of one series; the profile's label is left out in `series`.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.render().unwrap();
    let values: BTreeMap<String, f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let bare = series.replace(",profile=\"corp\"", "").replace("profile=\"corp\",", "");
            assert_ne!(bare.replace("{profile=\"corp\"}", ""), series, "{line} has no profile");
            (bare.replace("{profile=\"corp\"}", ""), value.parse().unwrap())
        })
        .collect();
    values.get(series).copied()
}

fn at(text: &str) -> Timestamp {
    format!("2026-03-{text}:00:00Z").parse().unwrap()
}

fn stats(word: CycleWord) -> CycleStats {
    CycleStats {
        cycle: CycleId(1),
        word,
        times: Times {
            read: Duration::from_millis(1500),
            plan: Duration::from_millis(500),
            apply: Duration::from_secs(10),
        },
        done: BTreeMap::from([(Sort::AddMember, 7), (Sort::CreateUser, 2)]),
        failed: BTreeMap::from([(Sort::AddMember, 1)]),
        usage: Usage { requests: 120, writes: 60, throttled: 3, retried: 4, slowed: 2 },
        usage_of_apply: Usage { requests: 100, writes: 60, throttled: 3, retried: 4, slowed: 2 },
    }
}

#[test]
fn every_outcome_and_step_is_there_before_the_first_cycle() {
    let metrics = metrics();
    for word in CycleWord::ALL {
        let series = format!("idcsync_cycles_total{{outcome=\"{}\"}}", word.word());
        assert_eq!(value(&metrics, &series), Some(0.0), "{series}");
    }
    for sort in Sort::ALL {
        let series = format!("idcsync_steps_total{{kind=\"{}\",outcome=\"failed\"}}", sort.word());
        assert_eq!(value(&metrics, &series), Some(0.0), "{series}");
    }
    assert_eq!(value(&metrics, "idcsync_cycle_phase_seconds_count{phase=\"apply\"}"), Some(0.0));
}

#[test]
fn cycles_are_counted() {
    let metrics = metrics();
    metrics.cycle(&stats(CycleWord::Done), 20);
    metrics.cycle(&stats(CycleWord::Done), 20);
    let value = |series: &str| value(&metrics, series).unwrap();
    assert_eq!(value("idcsync_cycles_total{outcome=\"done\"}"), 2.0);
    assert_eq!(value("idcsync_steps_total{kind=\"add-member\",outcome=\"done\"}"), 14.0);
    assert_eq!(value("idcsync_steps_total{kind=\"add-member\",outcome=\"failed\"}"), 2.0);
    assert_eq!(value("idcsync_target_requests_total"), 240.0);
    assert_eq!(value("idcsync_target_throttled_total"), 6.0);
    assert_eq!(value("idcsync_target_rate_lowered_total"), 4.0);
    assert_eq!(value("idcsync_cycle_phase_seconds_sum{phase=\"read\"}"), 3.0);
    assert_eq!(value("idcsync_last_cycle_seconds{phase=\"read\"}"), 1.5);
    assert_eq!(value("idcsync_rate_limit_requests_per_second"), 20.0);
    // A hundred in ten seconds, where two hundred were allowed.
    assert_eq!(value("idcsync_rate_limit_use_ratio"), 0.5);
}

#[test]
fn a_phase_that_was_not_reached_is_no_quick_one() {
    let metrics = metrics();
    let times = Times { read: Duration::from_secs(1), ..Times::default() };
    metrics.cycle(&stats(CycleWord::Done), 20);
    metrics
        .cycle(&CycleStats { times, usage_of_apply: Usage::default(), ..stats(CycleWord::Unreachable) }, 20);
    let value = |series: &str| value(&metrics, series).unwrap();
    assert_eq!(value("idcsync_cycle_phase_seconds_count{phase=\"read\"}"), 2.0);
    assert_eq!(value("idcsync_cycle_phase_seconds_count{phase=\"apply\"}"), 1.0);
    assert_eq!(value("idcsync_last_cycle_seconds{phase=\"apply\"}"), 0.0);
    assert_eq!(value("idcsync_rate_limit_use_ratio"), 0.0);
}

fn link(no: u32, kind: Kind) -> Link {
    let mut link = Link::new(LinkNo(no), kind, Anchor::from_u128(no.into()), format!("CN={no}"));
    link.target_id = Some(TargetId::new(no.to_string()));
    link
}

fn finding(code: Code, id: &str, since: &str) -> (Finding, Timestamp) {
    let subject = Subject { kind: None, id: id.to_owned(), label: id.to_owned() };
    (Finding::new(code, subject, "…"), at(since))
}

fn status(links: Vec<Link>) -> Status {
    let config = Config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/quickstart.toml")).unwrap();
    let known = Known { links: links.into_iter().map(|l| (l.no, l)).collect(), ..Known::default() };
    let now = at("29T12");
    Status {
        countdowns: countdowns(known.links.values(), &config.policy.lifecycle, now),
        config,
        now,
        database: "here".to_owned(),
        pause: None,
        last: None,
        last_ended: None,
        last_success: None,
        known,
        held: None,
        findings: Vec::new(),
    }
}

#[test]
fn what_is_not_known_yet_is_not_shown() {
    let metrics = metrics();
    assert_eq!(value(&metrics, "idcsync_paused"), None);
    assert_eq!(value(&metrics, "idcsync_config_loaded"), None);
    metrics.status(&status(Vec::new()));
    assert_eq!(value(&metrics, "idcsync_paused"), Some(0.0));
    assert_eq!(value(&metrics, "idcsync_last_success_timestamp_seconds"), Some(0.0));
    assert_eq!(value(&metrics, "idcsync_held_since_timestamp_seconds"), Some(0.0));
    assert_eq!(value(&metrics, "idcsync_config_loaded"), None);
}

#[test]
fn the_state_is_taken_over() {
    let metrics = metrics();
    let inside = link(1, Kind::User);
    // Disabled after 28 days: in 2 days and a half, in 12 hours, in 24 days.
    let out: Vec<Link> = (2..)
        .zip(["04T00", "02T00", "25T12"])
        .map(|(no, since)| {
            let mut link = link(no, Kind::User);
            link.out_since = Some(at(since));
            link
        })
        .collect();
    let mut disabled = link(5, Kind::User);
    disabled.out_since = Some(at("01T00"));
    disabled.disabled =
        Some(Disabled { at: at("29T00"), cause: DisableCause::OutOfScope, how: DisableHow::Revoked });
    let mut group = link(6, Kind::Group);
    group.applied = (1..=3).collect();
    let mut unlinked = link(7, Kind::Group);
    unlinked.target_id = None;
    // Out of scope by its finding alone.
    let frozen = link(8, Kind::Group);
    let id = frozen.anchor.to_string();
    let mut now = status([vec![inside, disabled, group, unlinked, frozen], out].concat());
    now.findings.push(finding(Code::GroupOutOfScope, &id, "28T00"));
    let listed: Vec<_> = now.json()["outOfScope"].as_array().unwrap().clone();
    assert_eq!(
        listed.iter().filter(|o| o["kind"] == "group" && o["since"] == at("28T00").to_string()).count(),
        1
    );
    now.last_ended = Some(at("29T11"));
    now.last_success = Some(at("29T10"));
    now.known.last_complete_read = Some(at("29T11"));
    now.pause = Some(Pause { at: at("29T11"), reason: None, by: None, until: None, warned: None });
    metrics.status(&now);
    let value = |series: &str| value(&metrics, series).unwrap();
    assert_eq!(value("idcsync_objects_linked{kind=\"user\"}"), 5.0);
    assert_eq!(value("idcsync_objects_linked{kind=\"group\"}"), 2.0);
    assert_eq!(value("idcsync_objects_in_scope{kind=\"user\"}"), 1.0);
    assert_eq!(value("idcsync_objects_in_scope{kind=\"group\"}"), 1.0);
    assert_eq!(value("idcsync_memberships"), 3.0);
    assert_eq!(value("idcsync_users_disabled"), 1.0);
    let within = ["1d", "3d", "7d", "14d", "any"]
        .map(|within| value(&format!("idcsync_users_to_disable{{within=\"{within}\"}}")));
    assert_eq!(within, [1.0, 2.0, 2.0, 2.0, 3.0]);
    assert_eq!(value("idcsync_paused"), 1.0);
    let seconds = |text: &str| at(text).as_second() as f64;
    assert_eq!(value("idcsync_last_cycle_timestamp_seconds"), seconds("29T11"));
    assert_eq!(value("idcsync_last_success_timestamp_seconds"), seconds("29T10"));
    assert_eq!(value("idcsync_last_complete_read_timestamp_seconds"), seconds("29T11"));
}

#[test]
fn findings_that_are_gone_vanish() {
    let metrics = metrics();
    let mut now = status(Vec::new());
    now.findings = vec![
        finding(Code::RemovalWithheld, "a", "27T00"),
        finding(Code::RemovalWithheld, "b", "26T00"),
        finding(Code::AccountDisabled, "c", "01T00"),
    ];
    metrics.status(&now);
    let withheld = "idcsync_findings{code=\"RemovalWithheld\",severity=\"error\"}";
    let disabled = "idcsync_findings{code=\"AccountDisabled\",severity=\"info\"}";
    let since = "idcsync_withheld_since_timestamp_seconds";
    assert_eq!(value(&metrics, withheld), Some(2.0));
    assert_eq!(value(&metrics, disabled), Some(1.0));
    assert_eq!(value(&metrics, since), Some(at("26T00").as_second() as f64));
    now.findings.drain(..2);
    metrics.status(&now);
    assert_eq!(value(&metrics, withheld), None);
    assert_eq!(value(&metrics, disabled), Some(1.0));
    assert_eq!(value(&metrics, since), Some(0.0));
}

#[test]
fn steps_are_held_since_the_first_cycle_that_held_any() {
    let metrics = metrics();
    let mut now = status(Vec::new());
    // Each cycle that holds steps writes them anew.
    now.held = Some(HeldPlan {
        plan: PlanId::new("p".to_owned()),
        cycle: CycleId(9),
        held_at: at("29T11"),
        steps: vec![(Fingerprint::new("f".to_owned()), serde_json::json!({}))],
    });
    now.findings = vec![finding(Code::StepsHeld, "corp", "20T00")];
    metrics.status(&now);
    let since = "idcsync_held_since_timestamp_seconds";
    assert_eq!(value(&metrics, "idcsync_held_steps"), Some(1.0));
    assert_eq!(value(&metrics, since), Some(at("20T00").as_second() as f64));
    now.findings.clear();
    metrics.status(&now);
    assert_eq!(value(&metrics, since), Some(at("29T11").as_second() as f64));
    now.held = None;
    metrics.status(&now);
    assert_eq!(value(&metrics, since), Some(0.0));
}

#[test]
fn the_lease_has_one_holder() {
    let metrics = metrics();
    let mut now = ServiceState {
        next: Some(at("29T13") + SignedDuration::from_millis(500)),
        lease_holder: Some("a\"b\\c"),
        lease_is_mine: true,
        config_loaded: false,
    };
    metrics.service(&now);
    assert_eq!(value(&metrics, "idcsync_lease_holder_info{holder=\"a\\\"b\\\\c\"}"), Some(1.0));
    assert_eq!(value(&metrics, "idcsync_lease_held"), Some(1.0));
    assert_eq!(value(&metrics, "idcsync_config_loaded"), Some(0.0));
    let next = "idcsync_next_cycle_timestamp_seconds";
    assert_eq!(value(&metrics, next), Some(at("29T13").as_second() as f64 + 0.5));
    now = ServiceState { next: None, lease_holder: Some("other"), lease_is_mine: false, config_loaded: true };
    metrics.service(&now);
    assert_eq!(value(&metrics, "idcsync_lease_holder_info{holder=\"a\\\"b\\\\c\"}"), None);
    assert_eq!(value(&metrics, "idcsync_lease_holder_info{holder=\"other\"}"), Some(1.0));
    assert_eq!(value(&metrics, "idcsync_lease_held"), Some(0.0));
    assert_eq!(value(&metrics, next), Some(0.0));
}
