//! `idcsync check`: every problem in one go, each in a line. Changes nothing.

use jiff::{SignedDuration, Timestamp};

use super::{Surroundings, open};
use crate::config::Config;
use crate::cycle::{self, CycleError, Needs, Parts, chain};
use crate::directory;
use crate::ids::IdentityStoreId;
use crate::model::{CheckLine, CheckState, Known};
use crate::state::{Cycle, Reader, StateError};
use crate::target::{Access, Gate, Target};

/// What belongs together, with its lines.
#[derive(Clone, Debug)]
pub struct Area {
    /// For programs: `state`.
    pub area: &'static str,
    pub title: &'static str,
    pub lines: Vec<CheckLine>,
}

impl Area {
    fn is_well(&self) -> bool {
        self.lines.iter().all(|l| l.state != CheckState::Fail)
    }
}

/// Quotas of IAM Identity Center ("IAM Identity Center quotas" in its user guide); those of users and groups can be raised.
const MOST_USERS: u64 = 100_000;
const MOST_GROUPS: u64 = 100_000;
const MOST_GROUPS_OF_ONE: u64 = 1_000;

/// Of a quota, in percent: from here on it is worth a look.
const NEAR: u64 = 90;

/// Config, directory, target, state database; and, where all of these are well, whether what the next cycle would make fits
/// into the target.
pub async fn check(around: &dyn Surroundings, config: &Config, place: &str) -> Vec<Area> {
    let wanted = config.scope.wanted(config.mapping.attributes_needed());
    let warnings = config.warnings.list().iter().map(ToString::to_string);
    let mut lines = vec![CheckLine::ok("config file", place)];
    lines.extend(warnings.map(|w| CheckLine::warn("config file", w, "see config/reference.toml")));
    let mut areas = vec![Area { area: "config", title: "Config", lines }];

    let by_changes = config.full_read_every.is_some();
    let known = known(config, around.now()).await;
    let lines = Box::pin(directory::check(&config.directory, &wanted, &known, by_changes)).await;
    areas.push(Area { area: "directory", title: "Directory", lines });

    let mut reached = None;
    let lines = match around.target(config, Access::ReadOnly, Gate::Open).await {
        Ok(target) => {
            let mut lines = target.check().await;
            // Where the target cannot be asked at all, that is what is to be mended first.
            if lines.iter().all(|l| l.state != CheckState::Fail) {
                if config.assignments {
                    lines.extend(target.check_assignments().await);
                }
                reached = target.identity_store().await.ok().map(|store| (target, store));
            }
            lines
        }
        Err(error) => vec![CheckLine::fail("connection", chain(&error), "correct [target]")],
    };
    areas.push(Area { area: "target", title: "Target", lines });

    let store = reached.as_ref().map(|(_, store)| store);
    let lines = state(config, store, around.now()).await;
    areas.push(Area { area: "state", title: "State database", lines });

    let lines = match reached {
        Some((target, store)) if areas.iter().all(Area::is_well) => {
            quotas(around, config, target, store).await
        }
        _ => {
            let why = "not counted: that takes a dry run, and for one everything above must be well";
            vec![CheckLine::unknown(NEEDS, why)]
        }
    };
    areas.push(Area { area: "quotas", title: "Quotas", lines });
    areas
}

/// As of the last cycle. Where the database cannot be read, its own lines say so.
async fn known(config: &Config, now: Timestamp) -> Known {
    let Ok(copy) = open::state_copy(config).await else { return Known::default() };
    copy.reader().load(now).await.unwrap_or_default()
}

async fn state(config: &Config, store: Option<&IdentityStoreId>, now: Timestamp) -> Vec<CheckLine> {
    const NAME: &str = "state database";
    let url = match open::url(config) {
        Ok(url) => url,
        Err(error) => return vec![CheckLine::fail(NAME, error.with_remedy(), "correct [state] url")],
    };
    let failed = |error: &StateError| CheckLine::fail(NAME, chain(error), "see [state] url");
    let copy = match open::try_state_copy(&url, config).await {
        Ok(copy) => copy,
        Err(error @ StateError::Older { .. }) => {
            let remedy = "make a back-up; the next sync brings it up to date";
            return vec![CheckLine::warn(NAME, chain(&error), remedy)];
        }
        Err(error) => return vec![failed(&error)],
    };
    let mut lines = Vec::new();
    match copy.cycles(1).await {
        Ok(cycles) => lines.push(CheckLine::ok(NAME, last_cycle(copy.place(), cycles.first(), now))),
        Err(error) => return vec![failed(&error)],
    }
    match copy.check(&url).await {
        Ok(more) => lines.extend(more),
        Err(error) => lines.push(failed(&error)),
    }
    lines.extend(match store {
        Some(store) => lease(copy.reader(), store).await.unwrap_or_else(|error| Some(failed(&error))),
        None => None,
    });
    lines
}

fn last_cycle(place: &str, cycle: Option<&Cycle>, now: Timestamp) -> String {
    let Some(cycle) = cycle else { return format!("{place}, no cycle yet") };
    let how = match &cycle.outcome {
        Some(outcome) => outcome.word.word(),
        None => "running, or killed before its end",
    };
    format!("{place}, last cycle {} ({}): {how}", cycle.started, ago(cycle.started, now))
}

/// `3 hours ago`
fn ago(at: Timestamp, now: Timestamp) -> String {
    let age = now.duration_since(at);
    let counted = |count: i64, unit: &str| format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" });
    if age < SignedDuration::ZERO {
        "in the future, by this machine's clock".to_owned()
    } else if age.as_hours() >= 48 {
        counted(age.as_hours() / 24, "day")
    } else if age.as_hours() > 0 {
        counted(age.as_hours(), "hour")
    } else {
        counted(age.as_mins(), "minute")
    }
}

async fn lease(state: &Reader, store: &IdentityStoreId) -> Result<Option<CheckLine>, StateError> {
    const NAME: &str = "lease";
    Ok(Some(match state.lease_in_force(store).await? {
        Some((holder, _)) if holder.has_ended() => {
            CheckLine::ok(NAME, format!("free: its last holder {holder} has ended"))
        }
        Some((holder, until)) => CheckLine::ok(
            NAME,
            format!("held by {holder} until {until}, if it is not renewed: a cycle is running there"),
        ),
        None => CheckLine::ok(NAME, "free: no cycle is running"),
    }))
}

async fn quotas(
    around: &dyn Surroundings,
    config: &Config,
    target: std::sync::Arc<dyn Target>,
    identity_store: IdentityStoreId,
) -> Vec<CheckLine> {
    let directory = around.directory(config);
    let clock = || around.now();
    let parts = Parts { directory: directory.as_ref(), target, identity_store, clock: &clock };
    match open::state_copy(config).await {
        Ok(state) => told(&Box::pin(cycle::needs(&open::profile(config), &parts, state.reader())).await),
        // Its own lines say so.
        Err(error) => vec![CheckLine::unknown(NEEDS, format!("not counted: {}", chain(&error)))],
    }
}

const NEEDS: &str = "what the next cycle needs";

/// Where the dry run ends, a cycle would; and what was not read to its end is not worth counting.
fn told(needs: &Result<Needs, CycleError>) -> Vec<CheckLine> {
    const MORE: &str = "run `idcsync sync --dry-run`, which says more";
    match needs {
        Ok(Needs { cut_short: Some(why), .. }) => {
            let detail = format!("not counted: the dry run could not read everything: {why}");
            vec![CheckLine::fail(NEEDS, detail, MORE)]
        }
        Ok(needs) => against(needs),
        Err(error) => vec![CheckLine::fail(NEEDS, format!("the dry run ended: {}", chain(error)), MORE)],
    }
}

/// What others have put into the target comes on top and is not counted.
fn against(needs: &Needs) -> Vec<CheckLine> {
    let of = |name: &str, count: u64, most: u64, whose: &str| {
        let detail = format!("{count} of {most}{whose}");
        if count > most {
            CheckLine::warn(name, detail, "more than AWS allows: have the quota raised, or narrow the scope")
        } else if count * 100 >= most * NEAR {
            CheckLine::warn(name, detail, "near the limit: have the quota raised, or narrow the scope")
        } else {
            CheckLine::ok(name, detail)
        }
    };
    let steps = match needs.steps {
        0 => "after the last cycle".to_owned(),
        steps => format!("after the {steps} steps of plan {}", needs.plan),
    };
    let whose = needs.in_most.as_ref().map_or_else(String::new, |who| format!(" ({who})"));
    vec![
        of("users", needs.users, MOST_USERS, &format!(" {steps}; whatever others have made comes on top")),
        of("groups", needs.groups, MOST_GROUPS, ""),
        of("groups of one user", needs.most_groups, MOST_GROUPS_OF_ONE, &whose),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_that_is_near_is_worth_a_look() {
        let of = |users| against(&Needs { users, ..Needs::default() })[0].clone();
        assert_eq!(of(89_999).state, CheckState::Ok);
        assert_eq!(of(90_000).state, CheckState::Warn);
        assert!(of(100_000).remedy.unwrap().starts_with("near"));
        assert!(of(100_001).remedy.unwrap().starts_with("more than"));
        let most = Needs { most_groups: 950, in_most: Some("alice".to_owned()), ..Needs::default() };
        assert_eq!(against(&most)[2].detail, "950 of 1000 (alice)");
        assert_eq!(against(&most)[2].state, CheckState::Warn);
    }

    #[test]
    fn a_dry_run_that_ends_or_is_cut_short_is_a_failure() {
        let error = CycleError::OtherBinding {
            profile: "p".to_owned(),
            what: "directory",
            bound: "one".to_owned(),
            found: "another".to_owned(),
        };
        let lines = told(&Err(error));
        assert_eq!((lines.len(), lines[0].state), (1, CheckState::Fail));
        assert!(lines[0].detail.contains("bound to directory one, and the config points to another"));
        let part =
            Needs { users: 3, cut_short: Some("dc1: sizeLimitExceeded".to_owned()), ..Needs::default() };
        let lines = told(&Ok(part));
        assert_eq!((lines.len(), lines[0].state), (1, CheckState::Fail));
        assert!(lines[0].detail.ends_with("dc1: sizeLimitExceeded"));
        assert!(told(&Ok(Needs::default())).iter().all(|l| l.state == CheckState::Ok));
    }

    #[test]
    fn an_age_has_one_unit() {
        let now: Timestamp = "2026-11-03T12:00:00Z".parse().unwrap();
        let of = |at: &str| ago(at.parse().unwrap(), now);
        assert_eq!(of("2026-11-03T11:59:30Z"), "0 minutes ago");
        assert_eq!(of("2026-11-03T11:00:00Z"), "1 hour ago");
        assert_eq!(of("2026-11-01T12:00:00Z"), "2 days ago");
        assert_eq!(of("2026-11-03T12:00:01Z"), "in the future, by this machine's clock");
    }
}
