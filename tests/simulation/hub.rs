//! Where everything that is simulated comes together: the truth, the weather, the faults to come, and what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use super::chance::Chance;
use super::company::{Company, Guid};

/// Where an event takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Domain {
    Directory,
    Target,
    State,
}

/// What happens to one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// After so many entries the connection is gone.
    Cut(usize),
    Silent,
    /// This result code after so many entries.
    Code(u32, usize),
    /// One entry of the answer is missing in it, without a word.
    Omit(usize),
    /// A continuation reference comes along.
    Refer,
    Throttled,
    Unavailable,
    Denied,
    /// No answer, and nothing was done.
    LostBefore,
    /// No answer, and it was done.
    LostAfter,
    /// Refused because somebody else was at it.
    Contended,
    /// The database did not do it.
    Broken,
    /// The database did it, and nobody heard.
    Untold,
    /// The process ends here, before or after.
    Crash {
        after: bool,
    },
}

/// What the directory withholds from the bind account, without a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    pub objects: BTreeSet<Guid>,
    /// `member` of these groups.
    pub members: BTreeSet<Guid>,
    /// `userAccountControl` of these people.
    pub accounts: BTreeSet<Guid>,
    pub tombstones: bool,
}

impl Hidden {
    /// Objects whose permissions are others than usual.
    fn all(&self) -> BTreeSet<Guid> {
        [&self.objects, &self.members, &self.accounts].into_iter().flatten().copied().collect()
    }
}

/// What a cycle meets.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// The event with this number in its domain.
    pub troubles: BTreeMap<(Domain, usize), Trouble>,
    /// The event with this number of all.
    pub crash: Option<(usize, bool)>,
    /// The first server does not answer.
    pub first_down: bool,
    pub second_down: bool,
    /// The second server is so many versions behind.
    pub lag: usize,
    pub hidden: Hidden,
    /// Entries that one search may return.
    pub size_limit: Option<usize>,
    /// Reads of the target show what was so many writes ago.
    pub stale: usize,
    pub denied: bool,
    /// The machine's clock is ahead of the true one.
    pub skew: SignedDuration,
    /// In the middle of the apply, somebody else does something in the target.
    pub meddling: BTreeSet<usize>,
}

impl Weather {
    /// Nothing that keeps the cycle from doing all that it should.
    pub fn is_clear(&self) -> bool {
        self.troubles.is_empty()
            && self.crash.is_none()
            && !self.first_down
            && self.hidden == Hidden::default()
            && self.size_limit.is_none()
            && self.stale == 0
            && !self.denied
            && self.skew.is_zero()
            && self.meddling.is_empty()
    }
}

/// What is wrong, in words. Empty at the end, or the history has failed.
pub type Violations = Vec<String>;

pub struct Hub {
    inner: Mutex<Inner>,
    crash: Notify,
    /// Transactions of the database that are under way.
    busy: AtomicUsize,
    /// The last of them has ended.
    idle: Notify,
    /// Write down what happens.
    told: bool,
    /// The directory is read by its log of changes.
    pub by_changes: bool,
}

pub struct Inner {
    pub chance: Chance,
    /// Every state that the directory was ever in; the last one is true now.
    pub versions: Vec<Arc<Company>>,
    /// Those that were shown to this cycle.
    pub served: BTreeSet<usize>,
    pub weather: Weather,
    pub now: Timestamp,
    events: usize,
    counts: BTreeMap<Domain, usize>,
    crashed: bool,
    /// What happens when the operation of the database that is under way has ended.
    pub after: Option<Trouble>,
    pub trace: Vec<String>,
    pub violations: Violations,
}

impl Hub {
    pub fn new(chance: Chance, mut company: Company, now: Timestamp, by_changes: bool, told: bool) -> Self {
        company.commit(&Company::default());
        Self {
            inner: Mutex::new(Inner {
                chance,
                versions: vec![Arc::new(company)],
                served: BTreeSet::new(),
                weather: Weather::default(),
                now,
                events: 0,
                counts: BTreeMap::new(),
                crashed: false,
                after: None,
                trace: Vec::new(),
                violations: Vec::new(),
            }),
            crash: Notify::new(),
            busy: AtomicUsize::new(0),
            idle: Notify::new(),
            told,
            by_changes,
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// A cycle begins, in this weather.
    pub fn begin(&self, weather: Weather) {
        let mut inner = self.lock();
        if self.by_changes && inner.weather.hidden != weather.hidden {
            let mut company = (**inner.versions.last().unwrap()).clone();
            let (before, now) = (inner.weather.hidden.all(), weather.hidden.all());
            for guid in before.symmetric_difference(&now) {
                company.stamp(*guid);
            }
            inner.versions.push(Arc::new(company));
        }
        inner.weather = weather;
        inner.events = 0;
        inner.counts.clear();
        inner.served.clear();
        inner.crashed = false;
        self.busy.store(0, Ordering::SeqCst);
        self.idle.notify_waiters();
    }

    /// The machine's clock.
    pub fn clock(&self) -> Timestamp {
        let inner = self.lock();
        inner.now.saturating_add(inner.weather.skew).unwrap()
    }

    pub fn true_now(&self) -> Timestamp {
        self.lock().now
    }

    pub fn say(&self, line: impl FnOnce() -> String) {
        if self.told {
            let line = line();
            self.lock().trace.push(line);
        }
    }

    pub fn accuse(&self, what: String) {
        let mut inner = self.lock();
        if self.told {
            inner.trace.push(format!("!!! {what}"));
        }
        inner.violations.push(what);
    }

    /// An event begins; what happens to it. Comes back after others had their turn, or never.
    pub async fn enter(&self, domain: Domain, what: impl FnOnce() -> String) -> Option<Trouble> {
        if domain != Domain::State {
            let turns = self.lock().chance.below(3);
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            // An operation that was called off is never said to have ended.
            let patience = tokio::time::Instant::now() + Duration::from_secs(2);
            loop {
                // Woken in the order in which they came: how often somebody looked would depend on the machine.
                let idle = self.idle.notified();
                if self.busy.load(Ordering::SeqCst) == 0 {
                    break;
                }
                if tokio::time::timeout_at(patience, idle).await.is_err() {
                    self.busy.store(0, Ordering::SeqCst);
                }
            }
        }
        let trouble = {
            let mut inner = self.lock();
            let number = inner.events;
            inner.events += 1;
            let count = inner.counts.entry(domain).or_default();
            let place = (domain, *count);
            *count += 1;
            match inner.weather.crash {
                Some((at, after)) if at == number => Some(Trouble::Crash { after }),
                _ => inner.weather.troubles.get(&place).cloned(),
            }
        };
        self.say(|| match &trouble {
            Some(trouble) => format!("    {domain:?}: {} ← {trouble:?}", what()),
            None => format!("    {domain:?}: {}", what()),
        });
        if trouble == Some(Trouble::Crash { after: false }) {
            self.die().await;
        }
        trouble
    }

    /// The process ends: whoever asked is never answered.
    pub async fn die(&self) -> ! {
        self.lock().crashed = true;
        self.crash.notify_one();
        std::future::pending::<()>().await;
        unreachable!("pending")
    }

    pub async fn crashed(&self) {
        self.crash.notified().await;
    }

    pub fn is_crashed(&self) -> bool {
        self.lock().crashed
    }

    pub fn occupy(&self) {
        self.busy.fetch_add(1, Ordering::SeqCst);
    }

    pub fn free(&self) {
        let before = self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |busy| busy.checked_sub(1));
        if before == Ok(1) {
            self.idle.notify_waiters();
        }
    }

    /// So many events were there.
    pub fn events(&self) -> usize {
        self.lock().events
    }

    pub fn count(&self, domain: Domain) -> usize {
        self.lock().counts.get(&domain).copied().unwrap_or(0)
    }

    /// What the company is now.
    pub fn company(&self) -> Arc<Company> {
        self.lock().versions.last().unwrap().clone()
    }

    pub fn change(&self, mut company: Company) {
        let mut inner = self.lock();
        company.commit(inner.versions.last().unwrap());
        inner.versions.push(Arc::new(company));
    }

    /// The versions that this cycle was shown.
    pub fn served(&self) -> Vec<Arc<Company>> {
        let inner = self.lock();
        inner.served.iter().map(|at| inner.versions[*at].clone()).collect()
    }
}
