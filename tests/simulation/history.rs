//! One history: a company, an administrator, time, and faults; and after each cycle the question whether anybody lost
//! what was theirs, or kept what was not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use idcsync::config::Config;
use idcsync::cycle::{Prepared, Profile};
use idcsync::directory::{Directory, DirectorySettings, LdapDirectory};
use idcsync::ids::{CycleId, LinkNo, TargetId};
use idcsync::model::{Code, Finding, Origin, UserAttribute};
use idcsync::plan::{Action, ApprovedPlan, Sort};
use idcsync::run::{
    Done, Ending, Observer, RunError, Surroundings, Wish, begin_pause, end_pause, open, perform, preview,
};
use idcsync::state::{State, StateUrl};
use idcsync::target::{Access, Gate, Target};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::chance::Chance;
use super::company::{Account, Company, Guid};
use super::hub::{Domain, Hidden, Hub, Trouble, Weather};
use super::judge::{Judge, Laws, Written};
use super::probe::Gatekeeper;
use super::server::Servers;
use super::settings::{Settings, Way};
use super::store::{Contents, Store, group_guid, user_guid};

/// What a history was made of.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub histories: u64,
    pub cycles: u64,
    pub writes: u64,
    pub crashes: u64,
    pub held: u64,
    pub faults: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.histories += 1;
        self.cycles += other.cycles;
        self.writes += other.writes;
        self.crashes += other.crashes;
        self.held += other.held;
        for (what, count) in &other.faults {
            *self.faults.entry(what).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} histories, {} cycles, {} writes, {} held steps, {} times the process ended in the middle",
            self.histories, self.cycles, self.writes, self.held, self.crashes
        )?;
        for (what, count) in &self.faults {
            writeln!(f, "{count:7} {what}")?;
        }
        Ok(())
    }
}

pub struct Failed {
    pub violations: Vec<String>,
    pub trace: Vec<String>,
}

struct Around {
    hub: Arc<Hub>,
    store: Arc<Store>,
}

#[async_trait]
impl Surroundings for Around {
    fn now(&self) -> Timestamp {
        self.hub.clock()
    }

    fn directory(&self, config: &Config) -> Box<dyn Directory> {
        let DirectorySettings::Ldap(settings) = &config.directory else { panic!("not over LDAP") };
        Box::new(LdapDirectory::over(settings.clone(), Arc::new(Servers(self.hub.clone()))))
    }

    async fn target(&self, _: &Config, _: Access, _: Gate) -> Result<Arc<dyn Target>, RunError> {
        Ok(self.store.clone())
    }
}

/// A step as far as it can be recognised: its word, and the GUIDs of the object and the member.
type Line = (&'static str, Option<String>, Option<String>);

/// What was planned in a run.
#[derive(Default)]
struct Plans {
    ids: Vec<String>,
    runnable: Vec<Line>,
    held: Vec<Line>,
    /// What the target held when each plan was made.
    contents: Vec<Contents>,
}

struct Watcher {
    plans: Mutex<Plans>,
    store: Arc<Store>,
}

impl Observer for Watcher {
    fn planned(&self, prepared: &Prepared, _: bool) {
        let mut plans = self.plans.lock().unwrap();
        plans.contents.push(self.store.contents());
        let approved = &prepared.approved;
        plans.ids.push(approved.plan().id.to_string());
        let lines = approved.runnable().map(|(_, step)| line(approved, &step.action));
        plans.runnable.extend(lines);
        plans.held = held(approved);
    }
}

fn held(approved: &ApprovedPlan) -> Vec<Line> {
    let plan = approved.plan();
    plan.numbered()
        .filter(|(no, _)| approved.waits(*no))
        .map(|(_, step)| line(approved, &step.action))
        .collect()
}

fn line(approved: &ApprovedPlan, action: &Action) -> Line {
    let anchor = |no: LinkNo| approved.plan().objects.get(&no).map(|o| o.anchor.to_string());
    let word = match action {
        Action::RemoveStranger { .. } => Sort::RemoveMember.word(),
        other => other.sort().word(),
    };
    (word, action.object().and_then(anchor), action.member().and_then(anchor))
}

/// How a cycle ended.
enum End {
    Crashed,
    Failed,
    Nothing,
    Done(Box<Done>),
}

pub struct History {
    hub: Arc<Hub>,
    judge: Arc<Judge>,
    store: Arc<Store>,
    around: Arc<dyn Surroundings>,
    chance: Chance,
    settings: Settings,
    config: Config,
    dir: TempDir,
    process: Option<(Runtime, State)>,
    plans: Plans,
    seen: Option<CycleId>,
    /// Since how many clear cycles somebody has had what is not theirs, without being held.
    lingering: BTreeMap<(String, String), u32>,
    clear_before: bool,
    /// Something was approved, and this is how long that counts.
    approved_until: Timestamp,
    /// Steps waited for an approval after the cycle before.
    held_before: bool,
    /// Who is a member of a group for one run only.
    lent: Vec<(Guid, Guid)>,
    /// Memberships that other hands made since the target was last read back: only a full cycle sees them.
    smuggled: BTreeSet<(TargetId, TargetId)>,
    pub account: Tally,
}

/// Plays one history to its end.
pub fn play(seed: u64, told: bool) -> Result<Tally, Failed> {
    let mut history = History::begin(seed, told);
    let steps = 3 + history.chance.below(6);
    for _ in 0..steps {
        history.live();
        if !history.hub.lock().violations.is_empty() {
            break;
        }
    }
    if history.hub.lock().violations.is_empty() {
        history.come_to_rest();
    }
    let mut inner = history.hub.lock();
    if inner.violations.is_empty() {
        drop(inner);
        return Ok(history.account.clone());
    }
    Err(Failed { violations: std::mem::take(&mut inner.violations), trace: std::mem::take(&mut inner.trace) })
}

impl History {
    fn begin(seed: u64, told: bool) -> Self {
        let mut chance = Chance::of(seed);
        let mut company = Company::default();
        let groups: Vec<Guid> =
            (0..chance.between(4, 7)).map(|n| company.found(&format!("team{n}"))).collect();
        let people: Vec<Guid> = (0..chance.between(6, 16)).map(|n| company.hire(&format!("p{n}"))).collect();
        for person in &people {
            for _ in 0..chance.between(1, 3) {
                let group = chance.pick(&groups).unwrap();
                company.groups.get_mut(&group).unwrap().people.insert(*person);
            }
        }
        for _ in 0..chance.between(1, 4) {
            let (outer, inner) = (chance.pick(&groups).unwrap(), chance.pick(&groups).unwrap());
            company.groups.get_mut(&outer).unwrap().groups.insert(inner);
        }
        let way = [Way::Api, Way::Both, Way::Scim][chance.below(3)];
        let settings = Settings {
            way,
            groups: vec!["team0".to_owned(), "team1".to_owned()],
            users: if chance.one_in(2) { vec!["p0".to_owned()] } else { Vec::new() },
            nested: !chance.one_in(5),
            disable_days: 28,
            delete_days: [0, 7][chance.below(2)],
            method: if chance.one_in(4) { "delete" } else { "revoke" },
            strict: chance.one_in(2),
        };
        let dir = tempfile::Builder::new().prefix("idcsync-history").tempdir_in(place()).unwrap();
        std::fs::write(dir.path().join("password"), "secret").unwrap();
        let now: Timestamp = "2026-01-05T08:00:00Z".parse().unwrap();
        let hub = Arc::new(Hub::new(chance.fork(), company, now, told));
        let judge = Arc::new(Judge::new(hub.clone()));
        let store = Arc::new(Store::new(hub.clone(), judge.clone(), way.capabilities()));
        let glass = store.put_user("break-glass");
        let tower = store.put_group("AWSControlTowerAdmins", std::slice::from_ref(&glass));
        let stranger = store.put_user("contractor");
        store.put_group("Contractors", std::slice::from_ref(&stranger));
        if chance.one_in(2) {
            // Names that the company has too.
            store.put_user("p1");
            store.put_group("team1@corp.example", &[stranger]);
        }
        judge.laws().protected.extend([glass, tower]);
        let around: Arc<dyn Surroundings> = Arc::new(Around { hub: hub.clone(), store: store.clone() });
        let config = settings.config(dir.path());
        let mut history = Self {
            hub,
            judge,
            store,
            around,
            chance,
            settings,
            config,
            dir,
            process: None,
            plans: Plans::default(),
            seen: None,
            lingering: BTreeMap::new(),
            clear_before: false,
            held_before: false,
            approved_until: now,
            lent: Vec::new(),
            smuggled: BTreeSet::new(),
            account: Tally::default(),
        };
        history.obey();
        history.hub.say(|| format!("seed {seed}\n{}", history.settings.text()));
        history
    }

    /// The config has been changed.
    fn obey(&mut self) {
        self.config = self.settings.config(self.dir.path());
        let days = |days: u32| SignedDuration::from_hours(i64::from(days) * 24);
        {
            let mut laws = self.judge.laws();
            laws.groups.clone_from(&self.settings.groups);
            laws.users.clone_from(&self.settings.users);
            laws.nested = self.settings.nested;
            laws.disable_after = days(self.settings.disable_days);
            laws.delete_after = days(self.settings.delete_days);
            laws.method_delete = self.settings.way == Way::Api && self.settings.method == "delete";
        }
        self.judge.look();
    }

    /// Something happens, time goes by, and a cycle is run.
    fn live(&mut self) {
        for _ in 0..self.chance.below(4) {
            self.happen();
        }
        if self.chance.one_in(3) {
            self.administer();
        }
        let weather = self.weather();
        self.cycle(weather);
        let hours = [1, 1, 1, 3, 24, 24, 8 * 24, 27 * 24, 40 * 24][self.chance.below(9)];
        // A process that was killed may be there again at once.
        if !(self.hub.is_crashed() && self.chance.one_in(2)) {
            self.pass(hours);
        }
    }

    fn pass(&mut self, hours: i64) {
        self.hub.say(|| format!("{hours} hours go by"));
        self.judge.look();
        self.store.settle();
        {
            let mut inner = self.hub.lock();
            inner.now = inner.now.checked_add(SignedDuration::from_hours(hours)).unwrap();
        }
        self.judge.look();
    }

    fn happen(&mut self) {
        let mut company = (*self.hub.company()).clone();
        if let Some(what) = company.happen(&mut self.chance) {
            self.hub.say(|| format!("directory: {what}"));
            self.hub.change(company);
            self.judge.look();
        }
    }

    fn weather(&mut self) -> Weather {
        let chance = &mut self.chance;
        let mut weather = Weather::default();
        if chance.one_in(3) {
            return weather;
        }
        for _ in 0..chance.below(3) {
            let (domain, reach) =
                [(Domain::Directory, 14), (Domain::Target, 30), (Domain::State, 60)][chance.below(3)];
            let trouble = match domain {
                Domain::Directory => match chance.below(6) {
                    0 | 1 => Trouble::Cut(chance.below(5)),
                    2 => Trouble::Silent,
                    5 => Trouble::Omit(chance.below(4)),
                    3 => Trouble::Code([1, 3, 4, 11, 50, 51, 52, 53, 80][chance.below(9)], chance.below(4)),
                    _ => Trouble::Refer,
                },
                Domain::Target => match chance.below(6) {
                    0 => Trouble::Throttled,
                    1 => Trouble::Unavailable,
                    2 => Trouble::LostBefore,
                    3 => Trouble::LostAfter,
                    4 => Trouble::Contended,
                    _ => Trouble::Denied,
                },
                Domain::State => {
                    if chance.one_in(2) {
                        Trouble::Broken
                    } else {
                        Trouble::Untold
                    }
                }
            };
            weather.troubles.insert((domain, chance.below(reach)), trouble);
        }
        if chance.one_in(4) {
            weather.crash = Some((chance.below(110), chance.one_in(2)));
        }
        weather.first_down = chance.one_in(10);
        weather.second_down = chance.one_in(10);
        weather.lag = if chance.one_in(2) { chance.below(4) } else { 0 };
        if chance.one_in(6) {
            let company = self.hub.company();
            let people: Vec<Guid> = company.people.keys().copied().collect();
            let groups: Vec<Guid> = company.groups.keys().copied().collect();
            let mut hidden = Hidden::default();
            match chance.below(5) {
                0 => hidden.objects.extend(chance.pick(&people)),
                1 => hidden.objects.extend(chance.pick(&groups)),
                2 => hidden.members.extend(chance.pick(&groups)),
                3 => hidden.accounts.extend(chance.pick(&people)),
                _ => hidden.tombstones = true,
            }
            weather.hidden = hidden;
        }
        if chance.one_in(15) {
            weather.size_limit = Some(chance.between(1, 5));
        }
        if chance.one_in(8) {
            weather.stale = chance.between(1, 4);
        }
        weather.denied = chance.one_in(30);
        if chance.one_in(10) {
            weather.skew = SignedDuration::from_mins(
                [-3 * 60, 2 * 60, 40 * 24 * 60, -40 * 24 * 60, 20][chance.below(5)],
            );
        }
        if chance.one_in(8) {
            weather.meddling.insert(chance.below(20));
        }
        weather
    }

    fn administer(&mut self) {
        let company = self.hub.company();
        match self.chance.below(12) {
            0 => {
                let names: Vec<String> = company.groups.values().map(|g| g.name.clone()).collect();
                let name = self.chance.pick(&names).unwrap();
                if !self.settings.groups.contains(&name) {
                    self.hub.say(|| format!("scope: with {name}"));
                    self.settings.groups.push(name);
                }
            }
            1 if self.settings.groups.len() > 1 => {
                let at = self.chance.below(self.settings.groups.len());
                let name = self.settings.groups.remove(at);
                self.hub.say(|| format!("scope: without {name}"));
            }
            2 => {
                let names: Vec<String> = company.people.values().map(|p| p.name.clone()).collect();
                if self.settings.users.pop().is_none() {
                    self.settings.users.extend(self.chance.pick(&names));
                }
                self.hub.say(|| format!("scope: users {:?}", self.settings.users));
            }
            3 => {
                self.settings.disable_days = [7, 28][self.chance.below(2)];
                self.hub.say(|| format!("disable-after {}d", self.settings.disable_days));
            }
            4 => self.pause_or_resume(),
            5 | 6 if self.clear_before => self.approve(),
            _ => self.meddle(),
        }
        self.obey();
    }

    fn meddle(&mut self) {
        let contents = self.store.contents();
        let ours = |id: &&TargetId| !id.as_str().starts_with("other-");
        let users: Vec<TargetId> = contents.users.keys().filter(ours).cloned().collect();
        let groups: Vec<TargetId> = contents.groups.keys().filter(ours).cloned().collect();
        let (Some(user), Some(group)) = (self.chance.pick(&users), self.chance.pick(&groups)) else { return };
        let hand = self.chance.below(5);
        self.hub.say(|| format!("others: hand {hand} at {user}, {group}"));
        if hand == 3 {
            self.smuggled.insert((group.clone(), user.clone()));
        }
        self.store.meddle(|contents| match hand {
            0 => contents.delete(&user),
            1 => contents.delete(&group),
            2 => {
                contents.groups.get_mut(&group).unwrap().members.get_or_insert_default().remove(&user);
            }
            3 => {
                contents.groups.get_mut(&group).unwrap().members.get_or_insert_default().insert(user.clone());
            }
            _ => {
                let user = contents.users.get_mut(&user).unwrap();
                user.attributes.insert(UserAttribute::Title, "changed by hand".to_owned());
            }
        });
    }

    /// With the process as it is, or a new one; in fair weather.
    fn with_state<T>(&mut self, work: impl AsyncFnOnce(&State, Timestamp) -> T) -> T {
        self.hub.begin(Weather::default());
        let now = self.hub.clock();
        let (runtime, state) = self.process();
        runtime.block_on(async { work(state, now).await })
    }

    fn process(&mut self) -> &(Runtime, State) {
        if self.process.is_none() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let url = StateUrl::parse("sqlite:state.db", self.dir.path()).unwrap();
            let gatekeeper = Arc::new(Gatekeeper(self.hub.clone()));
            let before = self.hub.lock().weather.clone();
            self.hub.begin(Weather::default());
            let state = runtime
                .block_on(State::open_watched(&url, "corp", Some(gatekeeper)))
                .expect("open the state");
            self.hub.begin(before);
            self.process = Some((runtime, state));
        }
        self.process.as_ref().unwrap()
    }

    /// The process ends where it stands.
    fn end_process(&mut self) {
        if let Some((runtime, state)) = self.process.take() {
            drop(state);
            drop(runtime);
        }
    }

    fn close(&mut self) {
        if let Some((runtime, state)) = self.process.take() {
            self.hub.begin(Weather::default());
            runtime.block_on(state.close());
        }
    }

    fn pause_or_resume(&mut self) {
        let paused = self.judge.laws().paused_since;
        self.hub.say(|| format!("pause or resume, paused since {paused:?}"));
        self.with_state(async |state, now| match paused {
            None => {
                begin_pause(state, Some("holidays".to_owned()), None, None, now).await.expect("pause");
            }
            Some(_) => {
                end_pause(state, now).await.expect("resume");
            }
        });
        self.judge.laws().paused_since = if paused.is_none() { Some(self.hub.true_now()) } else { None };
    }

    /// Everything that waits is approved by somebody who has looked at it.
    fn approve(&mut self) {
        let approved = self.with_state(async |state, now| {
            let Some(plan) = state.latest_held().await.expect("what is held") else { return Vec::new() };
            let fingerprints: Vec<_> = plan.steps.iter().map(|(f, _)| f.clone()).collect();
            let until = now.checked_add(SignedDuration::from_hours(72)).unwrap();
            state.approve(&plan.plan, &fingerprints, "admin", now, until).await.expect("approve");
            plan.steps
        });
        self.hub.say(|| format!("{} steps are approved", approved.len()));
        if !approved.is_empty() {
            self.approved_until = self.hub.true_now().saturating_add(SignedDuration::from_hours(72)).unwrap();
        }
        let mut laws = self.judge.laws();
        for (_, step) in approved {
            if step["action"].as_str().is_some_and(|a| a.starts_with("adopt-")) {
                let id = step["object"]["targetId"].as_str().expect("the id of what is adopted");
                let anchor = step["object"]["anchor"].as_str().expect("for whom it is adopted");
                laws.adopted.insert(TargetId::new(id), anchor.to_owned());
            }
        }
    }

    /// One run in this weather, and everything that has to hold after it.
    fn cycle(&mut self, weather: Weather) -> Option<Box<Done>> {
        let clear = weather.is_clear();
        self.hub.say(|| format!("--- cycle at {}: {weather:?}", self.hub.true_now()));
        self.count(&weather);
        let wish = Wish { full: self.chance.one_in(6), ..Wish::default() };
        let foreseen = if clear && self.chance.one_in(5) { self.preview(wish.full) } else { None };
        if self.chance.one_in(4) {
            self.close();
        }
        self.judge.laws().writes.clear();
        self.process();
        self.hub.begin(weather);
        let watcher = Watcher { plans: Mutex::default(), store: self.store.clone() };
        let end = self.perform(&wish, &watcher);
        self.plans = watcher.plans.into_inner().unwrap();
        self.account.cycles += 1;
        if self.hub.is_crashed() {
            self.account.crashes += 1;
            self.end_process();
        }
        let word = match &end {
            End::Crashed => "crashed",
            End::Failed => "failed",
            End::Nothing => "nothing done",
            End::Done(_) => "done",
        };
        self.hub.say(|| format!("    {word}, {} events, plans {:?}", self.hub.events(), self.plans.ids));
        self.check_plan(foreseen);
        self.check_journal();
        self.clear_before = clear && matches!(end, End::Done(_));
        self.check_emptied();
        let End::Done(done) = end else { return None };
        if clear && done.report.full {
            self.smuggled.clear();
        }
        for finding in &done.report.findings {
            self.hub.say(|| format!("    {}: {}: {}", finding.code, finding.subject.label, finding.message));
        }
        for line in &self.plans.held {
            self.hub.say(|| format!("    held: {line:?}"));
        }
        self.account.held += done.report.outcome.held;
        if clear && done.report.applied.stop.is_none() && !done.swept {
            self.check_leavers(&done);
        } else {
            self.lingering.clear();
        }
        Some(done)
    }

    fn count(&mut self, weather: &Weather) {
        let mut add = |what: &'static str, is: bool| {
            if is {
                *self.account.faults.entry(what).or_default() += 1;
            }
        };
        for trouble in weather.troubles.values() {
            add(
                match trouble {
                    Trouble::Cut(_) => "directory: connection cut",
                    Trouble::Silent => "directory: no answer",
                    Trouble::Code(..) => "directory: result code",
                    Trouble::Refer => "directory: referral",
                    Trouble::Omit(_) => "directory: an entry is missing in one answer",
                    Trouble::Throttled => "target: throttled",
                    Trouble::Unavailable => "target: unavailable",
                    Trouble::Denied => "target: denied",
                    Trouble::LostBefore => "target: no answer, not done",
                    Trouble::LostAfter => "target: no answer, done",
                    Trouble::Contended => "target: conflict",
                    Trouble::Broken => "state: operation failed",
                    Trouble::Untold => "state: commit unanswered",
                    Trouble::Crash { .. } => "process: ended",
                },
                true,
            );
        }
        add("process: ended at any request or statement", weather.crash.is_some());
        add("directory: first server down", weather.first_down);
        add("directory: second server behind", weather.first_down && weather.lag > 0);
        add("directory: permission missing", weather.hidden != Hidden::default());
        add("directory: size limit", weather.size_limit.is_some());
        add("target: reads out of date", weather.stale > 0);
        add("target: everything denied", weather.denied);
        add("clock: wrong", !weather.skew.is_zero());
        add("target: others at work meanwhile", !weather.meddling.is_empty());
    }

    /// The plan that a dry run shows. It writes nothing.
    fn preview(&mut self, full: bool) -> Option<String> {
        self.close();
        self.hub.begin(Weather::default());
        if self.judge.laws().paused_since.is_some() {
            return None;
        }
        let before = self.store.writes();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let profile = Profile { full, ..open::profile(&self.config) };
        let prepared = runtime.block_on(Box::pin(preview(self.around.as_ref(), &self.config, &profile)));
        if self.store.writes() != before {
            self.hub.accuse("a dry run has written to the target".to_owned());
        }
        prepared.ok().map(|p| p.approved.plan().id.to_string())
    }

    fn perform(&mut self, wish: &Wish, watcher: &Watcher) -> End {
        let (around, config, hub) = (self.around.clone(), self.config.clone(), self.hub.clone());
        let (runtime, state) = self.process.as_ref().unwrap();
        let (_keep, asked) = watch::channel(false);
        let ended = runtime.block_on(async {
            let run = Box::pin(perform(&around, &config, state, wish, &asked, watcher));
            tokio::select! {
                biased;
                () = hub.crashed() => None,
                ended = run => Some(ended),
            }
        });
        match ended {
            None => End::Crashed,
            Some(Ok(Ending::Done(done))) => End::Done(done),
            Some(Ok(_)) => End::Nothing,
            Some(Err(error)) => {
                self.hub.say(|| format!("    error: {}", error.with_remedy()));
                End::Failed
            }
        }
    }

    /// Nothing was done that was not planned, and what a dry run shows is what is planned.
    fn check_plan(&mut self, foreseen: Option<String>) {
        if let (Some(foreseen), Some(planned)) = (foreseen, self.plans.ids.first())
            && foreseen != *planned
        {
            self.hub.accuse(format!("the dry run planned {foreseen}, the cycle {planned}"));
        }
        let writes = self.judge.laws().writes.clone();
        self.account.writes += writes.len() as u64;
        for written in &writes {
            if !self.plans.runnable.iter().any(|(word, object, member)| is_of(written, word, object, member))
            {
                self.hub.accuse(format!("{written:?} was not planned"));
            }
        }
    }

    /// The journal has an intent for each write that had its effect.
    fn check_journal(&mut self) {
        let seen = self.seen;
        let news = self.with_state(async |state, now| {
            let links = state.load(now).await.expect("load").links;
            let anchor = |no: LinkNo| links.get(&no).map(|l| l.anchor.to_string());
            let adopted: Vec<TargetId> = links
                .values()
                .filter(|l| l.origin == Origin::Adopted)
                .filter_map(|l| l.target_id.clone())
                .collect();
            let mut lines = Vec::new();
            let mut last = seen;
            for cycle in state.cycles(8).await.expect("cycles") {
                if seen.is_some_and(|seen| cycle.id.0 <= seen.0) {
                    continue;
                }
                last = last.max(Some(cycle.id));
                for entry in state.steps(cycle.id).await.expect("steps") {
                    let member = entry.intent.member.and_then(anchor);
                    lines.push((entry.intent.action, anchor(entry.intent.link), member));
                }
            }
            (lines, last, adopted)
        });
        let (lines, last, adopted) = news;
        self.seen = last;
        for id in adopted {
            if id.as_str().starts_with("other-") && !self.judge.laws().adopted.contains_key(&id) {
                self.hub.accuse(format!("{id} was adopted, and nobody approved it"));
            }
        }
        let writes = self.judge.laws().writes.clone();
        for written in &writes {
            let known = lines.iter().any(|(word, object, member)| is_of(written, word, object, member));
            if !known {
                self.hub.accuse(format!("the journal knows nothing of {written:?}"));
            }
        }
    }

    /// Whatever the limits, no group of three or more is emptied without an approval.
    fn check_emptied(&mut self) {
        let mut moments = std::mem::take(&mut self.plans.contents);
        moments.push(self.store.contents());
        for pair in moments.windows(2) {
            self.check_emptied_between(&pair[0], &pair[1]);
        }
    }

    fn check_emptied_between(&self, before: &Contents, now: &Contents) {
        let swept = self.judge.laws().paused_since.is_some();
        let approved = self.approved_until >= self.hub.true_now();
        for id in before.groups.keys().filter(|id| now.groups.contains_key(*id)) {
            let had = before.members(id);
            // Those who are gone from the store took their memberships along.
            let deleted = had.iter().any(|user| !now.users.contains_key(user));
            if had.len() >= 3 && now.members(id).is_empty() && !deleted && !swept && !approved {
                self.hub.accuse(format!("{id} was emptied of its {} members without an approval", had.len()));
            }
        }
    }

    /// In fair weather nobody keeps what is not theirs: it is taken, or held, or, for a cycle, waited with in the open.
    fn check_leavers(&mut self, done: &Done) {
        let (company, contents) = (self.hub.company(), self.store.contents());
        let mut lingering = BTreeMap::new();
        // Nothing is taken away through an entry of which it is not certain what it means; that is said, and held.
        let certain = !done.report.findings.iter().any(|f| f.code.name().starts_with("ScopeEntry"));
        let held = done.report.outcome.held > 0;
        let withheld = |f: &Finding| f.code == Code::RemovalWithheld;
        let smuggled: BTreeSet<_> = self
            .smuggled
            .iter()
            .filter_map(|(group, user)| {
                let group = contents.groups.get(group).and_then(group_guid)?;
                Some((group.to_owned(), user_guid(contents.users.get(user)?)?.to_owned()))
            })
            .collect();
        for (group, user) in surplus(&contents, &company, &self.judge.laws(), certain) {
            if smuggled.contains(&(group.clone(), user.clone())) {
                continue;
            }
            let line: Line = ("remove-member", Some(group.clone()), Some(user.clone()));
            if self.plans.held.contains(&line) {
                continue;
            }
            let shown = done.report.findings.iter().any(withheld)
                || is_shown(&done.report.findings, &company, &group)
                || is_shown(&done.report.findings, &company, &user);
            // What waits for an approval may hold more back, until the cycle after it was given.
            let waits = held || self.held_before || done.report.findings.iter().any(withheld);
            let before = self.lingering.get(&(group.clone(), user.clone())).copied().unwrap_or(0);
            let count = if waits { 0 } else { before + 1 };
            if !shown || count > 2 {
                self.hub.accuse(format!(
                    "{user} is in {group} after a cycle in fair weather, the {count}. in a row, shown: {shown}; \
                     findings: {:?}",
                    done.report.findings.iter().map(|f| (f.code, &f.subject.label)).collect::<Vec<_>>()
                ));
            }
            lingering.insert((group, user), count);
        }
        self.lingering = lingering;
        self.held_before = held;
    }

    /// Faults stop, what is undecided is decided, and everything is as it should be.
    fn come_to_rest(&mut self) {
        self.hub.say(|| "=== the end: everything becomes well".to_owned());
        if self.judge.laws().paused_since.is_some() {
            self.pause_or_resume();
        }
        let mut company = (*self.hub.company()).clone();
        company.tidy();
        self.settings.groups.retain(|name| company.group_named(name).is_some());
        self.settings.users.retain(|name| company.person_named(name).is_some());
        if self.settings.groups.is_empty() {
            let name = company.groups.values().next().unwrap().name.clone();
            self.settings.groups.push(name);
        }
        self.hub.change(company);
        self.obey();
        // Whoever has a name that one of ours is to have, and was not adopted, gives way.
        let adopted: BTreeSet<TargetId> = self.judge.laws().adopted.keys().cloned().collect();
        self.store.meddle(|contents| {
            for id in ["other-p1", "other-team1@corp.example"].map(TargetId::new) {
                if !adopted.contains(&id) {
                    contents.delete(&id);
                }
            }
        });
        let mut quiet = 0;
        for round in 0..14 {
            // A refusal is tried again with growing pauses of up to a day.
            self.pass(if round == 0 { 1 } else { 26 });
            let Some(done) = self.cycle(Weather::default()) else {
                self.hub.accuse("a cycle in fair weather was not carried out".to_owned());
                return;
            };
            if !self.hub.lock().violations.is_empty() {
                return;
            }
            self.follow_advice(&done);
            let applied = &done.report.applied;
            if applied.done.is_empty() && applied.failed.is_empty() && done.report.outcome.held == 0 {
                quiet += 1;
            } else {
                quiet = 0;
                self.approve();
            }
            // Nothing follows, and it was long enough for every retry to have come.
            if quiet >= 2 && self.lent.is_empty() {
                break;
            }
        }
        if quiet < 2 {
            self.hub.accuse("it does not come to rest".to_owned());
        }
        self.check_rest();
    }

    /// A group that had members and reads as having none waits for a person: who gives it a member, for one run.
    fn follow_advice(&mut self, done: &Done) {
        let mut company = (*self.hub.company()).clone();
        let returned = std::mem::take(&mut self.lent);
        for (group, person) in &returned {
            if let Some(group) = company.groups.get_mut(group) {
                group.people.remove(person);
            }
        }
        for finding in done.report.findings.iter().filter(|f| f.code == Code::RemovalWithheld) {
            let Some(group) = company.group_named(&finding.subject.label).map(|g| g.guid) else { continue };
            if !finding.message.contains("give it a member again") {
                continue;
            }
            // Where groups are not read through, one that holds nothing else counts as having none.
            let found = &company.groups[&group];
            if !found.people.is_empty() || self.settings.nested && !found.groups.is_empty() {
                self.hub.accuse(format!("{} is said to be empty, and is not", finding.subject.label));
            }
            let Some(person) = company.people.keys().next().copied() else { continue };
            company.groups.get_mut(&group).unwrap().people.insert(person);
            self.hub.say(|| format!("directory: {} is given a member for one run", finding.subject.label));
            self.lent.push((group, person));
        }
        if !returned.is_empty() || !self.lent.is_empty() {
            self.hub.change(company);
            self.judge.look();
        }
    }

    /// The managed part of the target is what the directory says.
    fn check_rest(&mut self) {
        let (company, contents) = (self.hub.company(), self.store.contents());
        let laws = self.judge.laws().clone();
        let mut wrong = Vec::new();
        // Entries whose name went over to another object follow it once that was approved.
        let named: BTreeSet<Guid> =
            laws.groups.iter().filter_map(|name| company.group_named(name)).map(|g| g.guid).collect();
        let groups = if laws.nested { company.reached(named) } else { named };
        let mut people: BTreeSet<Guid> =
            groups.iter().flat_map(|group| company.members(*group, laws.nested)).collect();
        people.extend(laws.users.iter().filter_map(|name| company.person_named(name)).map(|p| p.guid));
        people.retain(|guid| company.people[guid].account == Account::Enabled);
        for guid in &people {
            let person = &company.people[guid];
            match contents.user_of(&guid.text()).as_slice() {
                [(id, user)] => {
                    let value = |attribute| user.attributes.get(&attribute).map(String::as_str);
                    let want = [
                        (UserAttribute::UserName, person.upn.as_deref()),
                        (UserAttribute::Email, person.mail.as_deref()),
                        (UserAttribute::FamilyName, person.surname.as_deref()),
                        (UserAttribute::Title, person.title.as_deref()),
                    ];
                    for (attribute, wanted) in want {
                        if value(attribute) != wanted {
                            wrong
                                .push(format!("{id}: {attribute} is {:?}, not {wanted:?}", value(attribute)));
                        }
                    }
                    if user.disabled {
                        wrong.push(format!("{id} ({}) is disabled", person.name));
                    }
                }
                other => wrong.push(format!("{} is there {} times", person.name, other.len())),
            }
        }
        for guid in &groups {
            let group = &company.groups[guid];
            let text = guid.text();
            let there: Vec<_> = contents
                .groups
                .iter()
                .filter(|(id, found)| laws.group_guid(id, found) == Some(text.as_str()))
                .collect();
            match there.as_slice() {
                [(id, found)] => {
                    if found.attributes.display_name != format!("{}@corp.example", group.name) {
                        wrong.push(format!(
                            "{id} is called {}, not {}",
                            found.attributes.display_name, group.name
                        ));
                    }
                    let members: BTreeSet<String> = contents
                        .members(id)
                        .iter()
                        .map(|m| contents.users.get(m).and_then(user_guid).unwrap_or(m.as_str()).to_owned())
                        .collect();
                    let wanted: BTreeSet<String> = company
                        .members(*guid, laws.nested)
                        .intersection(&people)
                        .map(|guid| guid.text())
                        .collect();
                    // Somebody protected stays wherever others put them.
                    let protected = |m: &String| laws.protected.iter().any(|p| p.as_str() == m);
                    let members: BTreeSet<String> = members.into_iter().filter(|m| !protected(m)).collect();
                    if members != wanted {
                        wrong.push(format!("{}: members {members:?}, not {wanted:?}", group.name));
                    }
                }
                other => wrong.push(format!("group {} is there {} times", group.name, other.len())),
            }
        }
        if self.settings.way != Way::Api {
            for guid in laws.people_in_scope(&company, true) {
                let shut = company.people.get(&guid).is_some_and(|p| p.account != Account::Enabled);
                for (id, user) in contents.user_of(&guid.text()) {
                    if shut && !user.disabled {
                        wrong.push(format!("{id} is in use, and shut in the directory"));
                    }
                }
            }
        }
        for (group, user) in surplus(&contents, &company, &laws, true) {
            wrong.push(format!("{user} is still in {group}"));
        }
        for guid in &company.tombstones {
            for (id, user) in contents.user_of(&guid.text()) {
                let active = !user.disabled && self.settings.way != Way::Api;
                if active {
                    wrong.push(format!("{id} was deleted in the directory, and is in use"));
                }
            }
        }
        for what in wrong {
            self.hub.accuse(format!("at rest: {what}"));
        }
    }
}

/// What was adopted bears no GUID before its first update, and a stranger none at all.
fn is_of(written: &Written, word: &str, object: &Option<String>, member: &Option<String>) -> bool {
    written.words.contains(&word)
        && (written.object.is_none() || written.object == *object)
        && (written.member.is_none() || written.member == *member || word == "create-group")
}

/// Memberships in groups of ours that the directory does not say: group and user by GUID.
fn surplus(contents: &Contents, company: &Company, laws: &Laws, certain: bool) -> Vec<(String, String)> {
    let least = laws.groups_in_scope(company, true);
    let most = laws.groups_in_scope(company, false);
    let people = laws.people_in_scope(company, false);
    let mut found = Vec::new();
    for (id, group) in &contents.groups {
        let Some(text) = laws.group_guid(id, group) else { continue };
        let of = Guid(uuid::Uuid::parse_str(text).unwrap().to_bytes_le());
        for member in contents.members(id) {
            let Some(text_of_user) = contents.users.get(&member).and_then(user_guid) else { continue };
            let Ok(uuid) = uuid::Uuid::parse_str(text_of_user) else { continue };
            let person = Guid(uuid.to_bytes_le());
            let enabled = company.people.get(&person).is_some_and(|p| p.account == Account::Enabled);
            // Of a group whose entry may be understood in two ways, the kinder one counts here.
            let rightly = if least.contains(&of) {
                company.members(of, laws.nested).contains(&person)
            } else if most.contains(&of) {
                true
            } else {
                // Frozen: whoever is in scope stays.
                people.contains(&person) || !certain
            };
            if !enabled || !rightly {
                found.push((text.to_owned(), text_of_user.to_owned()));
            }
        }
    }
    found
}

/// Whether a finding is about this object: by its SID, or its GUID.
fn is_shown(findings: &[Finding], company: &Company, guid: &str) -> bool {
    let Ok(uuid) = uuid::Uuid::parse_str(guid) else { return false };
    let of = Guid(uuid.to_bytes_le());
    let number = company.people.get(&of).map(|p| p.number).or(company.groups.get(&of).map(|g| g.number));
    let sid = number.map(|number| format!("S-1-5-21-1-2-3-{}", 1000 + number));
    findings.iter().any(|f| f.subject.id == guid || sid.as_ref() == Some(&f.subject.id))
}

/// In memory, where there is such a place: nothing is to outlive the test.
fn place() -> std::path::PathBuf {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}
