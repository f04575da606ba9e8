//! One history: a company, an administrator, time, and faults; and after each cycle the question whether anybody lost
//! what was theirs, or kept what was not.

mod checks;
mod cycle;
mod hands;
mod process;
mod rest;
mod tally;
mod weather;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use idcsync::config::Config;
use idcsync::ids::{CycleId, TargetId};
use idcsync::run::Surroundings;
use idcsync::state::State;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::process::{Around, Plans};
pub use self::tally::Tally;
use super::chance::Chance;
use super::company::{Company, Guid};
use super::hub::Hub;
use super::judge::Judge;
use super::settings::{Settings, Way};
use super::store::Store;

pub struct Failed {
    pub violations: Vec<String>,
    pub trace: Vec<String>,
}

pub struct History {
    hub: Arc<Hub>,
    judge: Arc<Judge>,
    store: Arc<Store>,
    around: Arc<dyn Surroundings>,
    chance: Chance,
    /// For what was thought of later: the draws of before stay what they were.
    later: Chance,
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
    /// Groups that others have taken members from, since the target was last read back: how many are left is not known.
    robbed: BTreeSet<TargetId>,
    pub account: Tally,
}

/// Plays one history to its end.
pub fn play(seed: u64) -> Result<Tally, Failed> {
    play_as(seed, is_incremental(seed), false)
}

/// Whether the history with this seed reads by changes, if nothing else is said: every other four.
pub fn is_incremental(seed: u64) -> bool {
    (seed / 4) % 2 == 1
}

/// The history with this seed, with reads by changes, or of everything each time. `told`: all that happens is written
/// down.
pub fn play_as(seed: u64, incremental: bool, told: bool) -> Result<Tally, Failed> {
    let mut history = History::begin(seed, incremental, told);
    let steps = 3 + history.chance.below(6);
    for _ in 0..steps {
        history.live();
        if !history.hub.lock().violations.is_empty() {
            break;
        }
    }
    history.end()
}

/// A history in fair weather, of which little happens between two cycles: most of them look at what was touched alone, and
/// each is held against a dry run, which looks at everything.
pub fn play_fair(seed: u64, told: bool) -> Result<Tally, Failed> {
    let mut history = History::begin(seed, true, told);
    history.settings.strict = false;
    if history.later.one_in(2) {
        history.settings.method = "delete";
    }
    history.obey();
    let mut company = (*history.hub.company()).clone();
    company.says_member_of = true;
    history.hub.change(company);
    history.clear_the_way();
    history.settle(1);
    let steps = 8 + history.chance.below(16);
    for _ in 0..steps {
        for _ in 0..[0, 0, 1, 1, 2, 4][history.chance.below(6)] {
            if history.chance.one_in(12) { history.happen() } else { history.happen_little() }
        }
        if history.fair_cycle() {
            // What looked at everything, and did something, is not rested on.
            history.fair_cycle();
        }
        if !history.hub.lock().violations.is_empty() {
            break;
        }
        let hours = [0, 0, 1, 3][history.chance.below(4)];
        history.pass(hours);
    }
    history.end()
}

impl History {
    fn begin(seed: u64, incremental: bool, told: bool) -> Self {
        let (mut chance, mut later) = (Chance::of(seed), Chance::of(!seed));
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
            containers: later.one_in(3).then(|| "team1".to_owned()).into_iter().collect(),
            users: if chance.one_in(2) { vec!["p0".to_owned()] } else { Vec::new() },
            nested: !chance.one_in(5),
            disable_days: 28,
            delete_days: [0, 7][chance.below(2)],
            method: if chance.one_in(4) { "delete" } else { "revoke" },
            strict: chance.one_in(2),
            incremental,
        };
        let dir = tempfile::Builder::new().prefix("idcsync-history").tempdir_in(place()).unwrap();
        std::fs::write(dir.path().join("password"), "secret").unwrap();
        let now: Timestamp = "2026-01-05T08:00:00Z".parse().unwrap();
        let hub = Arc::new(Hub::new(chance.fork(), company, now, incremental, told));
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
            later,
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
            robbed: BTreeSet::new(),
            account: Tally::default(),
        };
        history.obey();
        history.hub.say(|| format!("seed {seed}\n{}", history.settings.text()));
        history
    }

    fn end(mut self) -> Result<Tally, Failed> {
        if self.hub.lock().violations.is_empty() {
            self.come_to_rest();
        }
        let mut inner = self.hub.lock();
        let trace = std::mem::take(&mut inner.trace);
        let violations = std::mem::take(&mut inner.violations);
        drop(inner);
        if violations.is_empty() {
            Ok(Tally { trace, ..self.account.clone() })
        } else {
            Err(Failed { violations, trace })
        }
    }

    /// The config has been changed.
    fn obey(&mut self) {
        self.config = self.settings.config(self.dir.path());
        let days = |days: u32| SignedDuration::from_hours(i64::from(days) * 24);
        {
            let mut laws = self.judge.laws();
            laws.groups.clone_from(&self.settings.groups);
            laws.containers.clone_from(&self.settings.containers);
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
        if self.later.one_in(4) {
            self.change_primary();
        }
        if self.chance.one_in(3) {
            self.administer();
        }
        if self.later.one_in(6) {
            self.change_container();
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

    fn change_primary(&mut self) {
        let mut company = (*self.hub.company()).clone();
        if let Some(what) = company.change_primary(&mut self.later) {
            self.hub.say(|| format!("directory: {what}"));
            self.hub.change(company);
            self.judge.look();
        }
    }

    fn happen_little(&mut self) {
        let mut company = (*self.hub.company()).clone();
        if let Some(what) = company.happen_little(&mut self.chance) {
            self.hub.say(|| format!("directory: {what}"));
            self.hub.change(company);
            self.judge.look();
        }
    }

    fn happen(&mut self) {
        let mut company = (*self.hub.company()).clone();
        if let Some(what) = company.happen(&mut self.chance) {
            self.hub.say(|| format!("directory: {what}"));
            self.hub.change(company);
            self.judge.look();
        }
    }
}

/// In memory, where there is such a place: nothing is to outlive the test.
fn place() -> std::path::PathBuf {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}
