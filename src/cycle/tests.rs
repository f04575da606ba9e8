//! Whole cycles over a directory that answers one read so and the next one otherwise, into a sandbox and a real state
//! database: what only was not seen is taken away for nobody before it has been looked at again.
#![allow(clippy::unwrap_used, reason = "this is test code, where a panic is the report")]

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use jiff::SignedDuration;
use tempfile::TempDir;

use super::*;
use crate::ids::Anchor;
use crate::model::{
    Absence, ChangeCookie, DeletionProof, Fate, FateRequest, Fates, Kind, ReadRequest, Shortfall,
    ShortfallKind, Snapshot, Subject,
};
use crate::plan::Sweep;
use crate::plan::tests::world::{World, mapping};
use crate::state::{State, StateUrl};
use crate::target::{Access, Gate, SandboxSettings, TargetSettings, connect};

/// Gives one prepared answer for each read; `None`: no server can be used.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Option<Snapshot>>>,
    asked: Mutex<Vec<ReadRequest>>,
    /// Deleted, by the change log: said to whoever has read it to `b"1"`.
    deleted: Mutex<BTreeSet<Anchor>>,
    /// Looking anybody up by anchor fails.
    deaf: AtomicBool,
}

#[async_trait]
impl Directory for Scripted {
    async fn read(&self, request: &ReadRequest) -> Result<Snapshot, DirectoryError> {
        self.asked.lock().unwrap().push(request.clone());
        let answer = self.answers.lock().unwrap().pop_front().expect("a read that was foreseen");
        answer.ok_or_else(|| DirectoryError::NoServer(Vec::new()))
    }

    async fn fates(&self, request: &FateRequest) -> Result<Fates, DirectoryError> {
        let Some(read) = &request.cookie else {
            let of = request.objects.keys().map(|anchor| (*anchor, Fate::Absent)).collect();
            let cookie = Some(ChangeCookie { server: "dc1".to_owned(), bytes: b"1".to_vec() });
            return Ok(Fates { of, cookie, ..Fates::default() });
        };
        let reported =
            if read.bytes == b"1" { self.deleted.lock().unwrap().clone() } else { BTreeSet::new() };
        let fate = |anchor: &Anchor| match reported.contains(anchor) {
            _ if self.deaf.load(Ordering::Relaxed) => Fate::Unread(Shortfall {
                kind: ShortfallKind::Timeout,
                what: String::new(),
                detail: "busy".to_owned(),
            }),
            true => Fate::Deleted(DeletionProof::ChangeLog),
            false => Fate::Absent,
        };
        let of = request.objects.keys().map(|anchor| (*anchor, fate(anchor))).collect();
        let cookie = Some(ChangeCookie { bytes: b"2".to_vec(), ..read.clone() });
        Ok(Fates { of, reported, cookie, requests: 1 })
    }
}

struct Bed {
    dir: TempDir,
    world: World,
    directory: Scripted,
    now: Timestamp,
    sweep: Option<Sweep>,
    trusts_log: bool,
    only: Option<Only>,
}

/// How a cycle went: its steps and its findings.
struct Ran {
    steps: Vec<String>,
    codes: BTreeSet<Code>,
    reads: Vec<ReadRequest>,
    /// Sent to the target before the first write.
    requests: u64,
}

impl Bed {
    /// Six people in `devs` and in `all`, synced.
    async fn new() -> Self {
        let mut world = World::new();
        for group in ["devs", "all"] {
            world.group(group, &["anna", "bob", "carl", "dora", "eve", "finn"]);
            world.enter(group);
        }
        let now = world.now;
        let bed = Self {
            dir: tempfile::tempdir().unwrap(),
            world,
            directory: Scripted::default(),
            now,
            sweep: None,
            trusts_log: false,
            only: None,
        };
        let first = bed.run(&[Some(bed.world.read())]).await;
        assert_eq!(first.steps.len(), 6 + 2 + 12);
        bed
    }

    /// One cycle, which reads exactly so often.
    async fn run(&self, answers: &[Option<Snapshot>]) -> Ran {
        *self.directory.answers.lock().unwrap() = answers.iter().cloned().collect();
        self.directory.asked.lock().unwrap().clear();
        let url = StateUrl::parse("sqlite:state.db", self.dir.path()).unwrap();
        let state = State::open(&url, "corp").await.unwrap();
        let settings = SandboxSettings {
            identity_store_id: None,
            store: self.dir.path().join("store.json"),
            request_log: None,
            requests_per_second: 100_000,
        };
        let identity_store = settings.identity_store();
        let target =
            connect(&TargetSettings::Sandbox(settings), Access::ReadWrite, Gate::Open).await.unwrap();
        let now = self.now;
        let clock = move || now;
        let usage = Arc::clone(&target);
        let parts = Parts { directory: &self.directory, target, identity_store, clock: &clock };
        let (mapping, mut policy) = (mapping(), Policy::default());
        policy.lifecycle.trust_change_log = self.trusts_log;
        let wanted = Wanted {
            entries: self.world.read().entries.into_iter().map(|e| e.entry).collect(),
            nested: true,
            user_filter: None,
            primary_group: true,
            distribution_groups: false,
            attributes: BTreeSet::new(),
        };
        let profile = Profile {
            name: "corp",
            wanted,
            mapping: &mapping,
            policy: &policy,
            nested: NestedGroups::Flatten,
            max_apply: Duration::from_secs(60),
            keep_history: Duration::from_secs(86_400),
            full: false,
            drift_check: Duration::from_secs(365 * 86_400),
            full_read_every: None,
            rebind: false,
            only: self.only.clone(),
            rests: false,
            notes: Vec::new(),
            assignments: false,
        };
        let cycle = begin(&state, CycleKind::Normal, now).await.unwrap();
        let journal = StateJournal { state: &state, cycle };
        let prepared = match self.sweep {
            Some(sweep) => prepare_sweep(&profile, &parts, state.reader(), &journal, sweep).await,
            None => prepare(&profile, &parts, state.reader(), &journal).await,
        }
        .unwrap();
        let requests = usage.usage().requests;
        let (_keep, stop) = tokio::sync::watch::channel(false);
        let report = carry_out(&profile, &parts, &state, cycle, prepared, &stop, &|_| {}).await.unwrap();
        assert!(self.directory.answers.lock().unwrap().is_empty(), "as many reads as foreseen");
        let plan = report.approved.plan();
        assert!(report.applied.undone.is_empty());
        let steps = plan
            .steps
            .iter()
            .map(|step| {
                let names = [step.action.object(), step.action.member()].into_iter().flatten();
                let names: Vec<&str> = names.map(|no| plan.label(no)).collect();
                format!("{} {}", step.action.sort().word(), names.join(" "))
            })
            .collect();
        state.close().await;
        let codes = report.findings.iter().map(|f| f.code).collect();
        Ran { steps, codes, requests, reads: self.directory.asked.lock().unwrap().clone() }
    }

    /// What an earlier cycle has found of somebody.
    async fn found(&self, code: Code, handle: &str) {
        let url = StateUrl::parse("sqlite:state.db", self.dir.path()).unwrap();
        let state = State::open(&url, "corp").await.unwrap();
        let read = self.world.read();
        let anchor = self.world.anchor_of(handle);
        let user = read.users.iter().find(|u| u.anchor == anchor).unwrap();
        let id = user.sid.as_ref().map_or_else(|| anchor.to_string(), ToString::to_string);
        let subject = Subject { kind: Some(Kind::User), id, label: handle.to_owned() };
        state.replace_findings(self.now, &[Finding::new(code, subject, "no")]).await.unwrap();
        state.close().await;
    }

    /// What the directory shows without this member.
    fn without(&mut self, group: &str, member: &str) -> Snapshot {
        self.world.leave(group, member);
        let snapshot = self.world.read();
        self.world.join(group, member);
        snapshot
    }
}

fn from(server: &str, snapshot: &Snapshot) -> Option<Snapshot> {
    let mut snapshot = snapshot.clone();
    server.clone_into(&mut snapshot.source.server);
    Some(snapshot)
}

#[tokio::test]
async fn a_refusal_stands_while_its_step_is_left_out() {
    let mut bed = Bed::new().await;
    bed.world.join("devs", "gus");
    bed.world.join("devs", "hans");
    bed.found(Code::TargetRefused, "hans").await;
    bed.only = Some(Only::About(bed.world.anchor_of("gus")));
    let gus = bed.run(&[Some(bed.world.read())]).await;
    assert!(gus.codes.contains(&Code::TargetRefused), "{:?}", gus.codes);
    bed.only = None;
    let all = bed.run(&[Some(bed.world.read())]).await;
    assert!(all.steps.contains(&"create-user hans@x.example".to_owned()), "{:?}", all.steps);
    assert!(!all.codes.contains(&Code::TargetRefused), "{:?}", all.codes);
}

#[tokio::test]
async fn a_member_whom_the_second_look_shows_stays() {
    let mut bed = Bed::new().await;
    let (whole, part) = (bed.world.read(), bed.without("devs", "bob"));
    let ran = bed.run(&[Some(part.clone()), Some(whole.clone())]).await;
    assert!(ran.steps.is_empty(), "{:?}", ran.steps);
    assert!(ran.codes.contains(&Code::RemovalWithheld));
    // The group alone is read again, by its GUID, from the same server.
    let [first, second] = ran.reads.as_slice() else { panic!("two reads") };
    assert_eq!((first.server.as_deref(), second.server.as_deref()), (None, Some("dc1")));
    assert_eq!((first.wanted.entries.len(), second.wanted.entries.len()), (2, 1));
    assert_eq!(second.wanted.entries[0].name, bed.world.anchor_of("devs").to_string());
    assert!(bed.run(&[Some(whole)]).await.codes.is_empty());
    let ran = bed.run(&[Some(part.clone()), Some(part)]).await;
    assert_eq!(ran.steps, ["remove-member devs bob@x.example"]);
}

#[tokio::test]
async fn a_second_look_that_fails_or_is_cut_short_confirms_nothing() {
    let mut bed = Bed::new().await;
    let part = bed.without("devs", "bob");
    bed.world.groups.get_mut("devs").unwrap().cut_at = Some(0);
    let short = bed.world.read();
    bed.world.groups.get_mut("devs").unwrap().cut_at = None;
    for second in [None, Some(short)] {
        let ran = bed.run(&[Some(part.clone()), second]).await;
        assert!(ran.steps.is_empty(), "{:?}", ran.steps);
        assert!(ran.codes.contains(&Code::RemovalWithheld));
    }
}

#[tokio::test]
async fn additions_need_no_second_look() {
    let mut bed = Bed::new().await;
    bed.world.join("devs", "gus");
    let ran = bed.run(&[Some(bed.world.read())]).await;
    assert_eq!(ran.steps.len(), 2);
}

#[tokio::test]
async fn who_is_shown_in_scope_by_the_second_look_is_not_disabled() {
    let mut bed = Bed::new().await;
    let whole = bed.world.read();
    for group in ["devs", "all"] {
        bed.world.leave(group, "bob");
    }
    let part = bed.world.read();
    bed.run(&[Some(part.clone()), Some(part.clone())]).await;
    bed.now = bed.now.checked_add(SignedDuration::from_hours(27 * 24)).unwrap();
    bed.run(&[Some(part.clone())]).await;
    bed.now = bed.now.checked_add(SignedDuration::from_hours(30)).unwrap();
    let ran = bed.run(&[Some(part.clone()), Some(whole)]).await;
    assert!(ran.steps.is_empty(), "{:?}", ran.steps);
    assert_eq!(ran.reads[1].wanted.entries.len(), 2, "the whole scope is read again");
    let ran = bed.run(&[Some(part.clone()), Some(part)]).await;
    assert_eq!(ran.steps, ["revoke-user bob@x.example"]);
}

#[tokio::test]
async fn what_a_new_server_is_the_first_to_miss_waits_for_a_second_cycle() {
    let mut bed = Bed::new().await;
    let part = bed.without("devs", "bob");
    let new = || from("dc2", &part);
    let ran = bed.run(&[new()]).await;
    assert!(ran.steps.is_empty(), "{:?}", ran.steps);
    assert!(ran.codes.contains(&Code::RemovalWithheld));
    assert_eq!(bed.run(&[new(), new()]).await.steps, ["remove-member devs bob@x.example"]);
}

/// Somebody is deleted after the read that still has them, or when nobody can be looked up: the log says it once, and it
/// is not lost.
#[tokio::test]
async fn what_the_change_log_says_is_heard_however_late() {
    for deaf in [false, true] {
        let mut bed = Bed::new().await;
        bed.trusts_log = true;
        // From here on the log is followed.
        bed.world.delete_person("carl");
        let whole = bed.world.read();
        bed.run(&[Some(whole.clone()), Some(whole.clone())]).await;
        let bob = bed.world.anchor_of("bob");
        bed.directory.deleted.lock().unwrap().insert(bob);
        bed.world.delete_person("bob");
        let without = bed.world.read();
        bed.directory.deaf.store(deaf, Ordering::Relaxed);
        // Groups tell for themselves who is in them no more.
        let (read, lost) = if deaf { (&without, 2) } else { (&whole, 0) };
        assert_eq!(bed.run(&vec![Some(read.clone()); lost.max(1)]).await.steps.len(), lost);
        bed.directory.deaf.store(false, Ordering::Relaxed);
        let ran = bed.run(&[Some(without)]).await;
        assert_eq!(
            ran.steps.last().map(String::as_str),
            Some("revoke-user bob@x.example"),
            "{:?}",
            ran.steps
        );
    }
}

#[tokio::test]
async fn servers_that_take_turns_do_not_put_a_removal_off_for_ever() {
    let mut bed = Bed::new().await;
    let part = bed.without("devs", "bob");
    assert!(bed.run(&[from("dc2", &part)]).await.steps.is_empty());
    let ran = bed.run(&[Some(part.clone()), Some(part)]).await;
    assert_eq!(ran.steps, ["remove-member devs bob@x.example"]);
}

#[tokio::test]
async fn a_sweep_asks_another_clock_before_it_takes_the_time_for_granted() {
    let mut bed = Bed::new().await;
    let whole = bed.world.read();
    assert_eq!(bed.run(&[Some(whole)]).await.requests, 0, "a cycle without changes asks nobody");
    let since = bed.now;
    let later = |days: i64| since.checked_add(SignedDuration::from_hours(days * 24)).unwrap();
    let limit = SignedDuration::from_hours(28 * 24);
    bed.now = later(30);
    let proof = Absence::from_pause(since, Some(later(28)), limit, bed.now).unwrap();
    bed.sweep = Some(Sweep { cause: crate::model::DisableCause::Paused, since, proof });
    let ran = bed.run(&[]).await;
    assert_eq!(ran.steps.len(), 12 + 6);
    assert_eq!(ran.requests, 1, "to revoke asks the target nothing by itself");
    assert!(bed.run(&[]).await.steps.is_empty());
}
