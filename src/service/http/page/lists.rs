//! The lists that the first page shows the beginning of.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State as Shared};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::{Frame, Paging, When, html, remedy, waits};
use crate::model::{Code, DisableHow, Finding, Kind};
use crate::plan::{Coming, Hold, counted, grouped};
use crate::run::{Changed, Leaver, Overview, assigned, changed, seal, taken_over};
use crate::service::http::FromWeb;

/// What stands behind the `?` of an address.
pub(super) type Asked = Query<BTreeMap<String, String>>;

/// The plan that waits, in few words.
pub(super) struct HeldView {
    pub plan: String,
    pub seal: String,
    pub count: String,
    pub since: When,
    pub unapproved: usize,
    pub reasons: Vec<(String, String)>,
}

impl HeldView {
    pub fn of(overview: &Overview) -> Option<Self> {
        let held = overview.held.as_ref()?;
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        for (_, step) in &held.steps {
            for hold in holds(step).iter().filter(|hold| hold.is_of_itself()) {
                *reasons.entry(hold.to_string()).or_default() += 1;
            }
        }
        Some(Self {
            plan: held.plan.to_string(),
            seal: seal(&held.steps),
            count: counted(held.steps.len() as u64, "step", "steps"),
            since: When(overview.held_since().unwrap_or(held.held_at)),
            unapproved: overview.unapproved(),
            reasons: reasons.into_iter().map(|(why, n)| (why, counted(n, "step", "steps"))).collect(),
        })
    }
}

/// As the step's JSON has them; what another version wrote otherwise is left out.
fn holds(step: &Value) -> Vec<Hold> {
    let all = step["held"].as_array().into_iter().flatten();
    all.filter_map(|hold| serde_json::from_value(hold.clone()).ok()).collect()
}

#[derive(Template)]
#[template(path = "status/held.html")]
struct Held {
    frame: Frame,
    held: Option<HeldView>,
    rows: Vec<StepRow>,
    paging: Paging,
}

struct StepRow {
    number: String,
    action: String,
    who: String,
    group: Option<String>,
    values: Vec<Changed>,
    /// The id in the target of what it takes over.
    target_id: Option<String>,
    assigned: Option<String>,
    reason: String,
    held: Vec<String>,
    approved: bool,
}

impl StepRow {
    fn of(step: &Value, approved: bool) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let object = text(&step["object"]["label"]).or_else(|| text(&step["entry"]["name"]));
        let (who, group) = match text(&step["member"]["label"]) {
            Some(member) => (member, object),
            None => (object.unwrap_or_default(), None),
        };
        Self {
            number: grouped(step["step"].as_u64().unwrap_or_default()),
            action: text(&step["action"]).unwrap_or_default().replace('-', " "),
            who,
            group,
            values: changed(step),
            target_id: taken_over(step).map(str::to_owned),
            assigned: assigned(step),
            reason: text(&step["reason"]).unwrap_or_default(),
            held: holds(step).iter().map(ToString::to_string).collect(),
            approved,
        }
    }
}

pub async fn held(Shared(web): FromWeb, Query(asked): Asked) -> Response {
    let overview = match web.overview().await {
        Ok(overview) => overview,
        Err(refusal) => return waits(&web, "/held", refusal),
    };
    let steps = overview.held.as_ref().map(|held| held.steps.as_slice()).unwrap_or_default();
    let paging = Paging::new(asked.get("page").map(String::as_str), steps.len() as u64, "/held".to_owned());
    let approved = |print| overview.approvals.contains(print);
    let rows = paging.cut(steps).iter().map(|(print, step)| StepRow::of(step, approved(print))).collect();
    html(
        StatusCode::OK,
        &Held { frame: Frame::new(&web, "/held"), held: HeldView::of(&overview), rows, paging },
    )
}

#[derive(Template)]
#[template(path = "status/leaving.html")]
struct Leaving {
    frame: Frame,
    rows: Vec<LeaverRow>,
    paging: Paging,
}

struct LeaverRow {
    name: String,
    kind: Kind,
    coming: String,
    at: Option<When>,
    why: &'static str,
    since: Option<When>,
}

impl LeaverRow {
    fn of(leaver: &Leaver, put_out: &str) -> Self {
        let (coming, at) = match (leaver.coming, leaver.put_out) {
            (Some((what, at, days)), _) => {
                let what = if what == Coming::Delete { "deleted" } else { put_out };
                let days = match days {
                    0 => "at the next cycle".to_owned(),
                    days => format!("in {}", counted(days.into(), "day", "days")),
                };
                (format!("to be {what} {days}"), Some(at))
            }
            (None, Some((at, _, how))) => (how_word(how).to_owned(), Some(at)),
            (None, None) => ("stays as it is".to_owned(), None),
        };
        let (why, since) = match (leaver.deleted_since, leaver.out_since, leaver.put_out) {
            (Some(at), ..) => ("deleted in the directory", Some(at)),
            (_, Some(at), _) => ("out of scope", Some(at)),
            (_, _, Some((at, cause, _))) => (cause.text(), Some(at)),
            _ => ("", None),
        };
        Self {
            name: leaver.name.clone(),
            kind: leaver.kind,
            coming,
            at: at.map(When),
            why,
            since: since.map(When),
        }
    }
}

pub(super) fn how_word(how: DisableHow) -> &'static str {
    match how {
        DisableHow::Deactivated => "disabled",
        DisableHow::Revoked => "revoked: the memberships are gone, sign-in stays",
        DisableHow::Reported => "reported: to be disabled by hand",
    }
}

pub async fn leaving(Shared(web): FromWeb, Query(asked): Asked) -> Response {
    let overview = match web.overview().await {
        Ok(overview) => overview,
        Err(refusal) => return waits(&web, "/leaving", refusal),
    };
    let total = overview.leavers.len() as u64;
    let paging = Paging::new(asked.get("page").map(String::as_str), total, "/leaving".to_owned());
    let put_out = crate::run::put_out(&web.board.config());
    let rows = paging.cut(&overview.leavers).iter().map(|leaver| LeaverRow::of(leaver, put_out)).collect();
    html(StatusCode::OK, &Leaving { frame: Frame::new(&web, "/leaving"), rows, paging })
}

#[derive(Template)]
#[template(path = "status/findings.html")]
struct Findings {
    frame: Frame,
    code: Option<&'static str>,
    rows: Vec<FindingRow>,
    paging: Paging,
}

struct FindingRow {
    label: String,
    code: &'static str,
    message: String,
    since: When,
    remedy: String,
}

pub async fn findings(Shared(web): FromWeb, Query(asked): Asked) -> Response {
    let overview = match web.overview().await {
        Ok(overview) => overview,
        Err(refusal) => return waits(&web, "/findings", refusal),
    };
    // Nothing of the address gets into the page but what is known.
    let code = asked.get("code").and_then(|word| Code::ALL.iter().copied().find(|code| code.name() == word));
    let of = |(finding, _): &&(Finding, _)| code.is_none_or(|code| finding.code == code);
    let found: Vec<_> = overview.findings.iter().filter(of).collect();
    let address = code.map_or("/findings".to_owned(), |code| format!("/findings?code={}", code.name()));
    let paging = Paging::new(asked.get("page").map(String::as_str), found.len() as u64, address);
    let row = |(finding, since): &&(Finding, jiff::Timestamp)| FindingRow {
        label: finding.subject.label.clone(),
        code: finding.code.name(),
        message: finding.message.clone(),
        since: When(*since),
        remedy: remedy(finding.code),
    };
    let rows = paging.cut(&found).iter().map(row).collect();
    let code = code.map(Code::name);
    html(StatusCode::OK, &Findings { frame: Frame::new(&web, "/findings"), code, rows, paging })
}
