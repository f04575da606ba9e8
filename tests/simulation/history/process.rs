//! The program as it runs: its surroundings, who watches it, and the process with its state, which may end anywhere.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use idcsync::config::Config;
use idcsync::cycle::Prepared;
use idcsync::directory::{Directory, DirectorySettings, LdapDirectory};
use idcsync::ids::LinkNo;
use idcsync::model::Finding;
use idcsync::plan::{Action, ApprovedPlan, Sort};
use idcsync::run::{Observer, RunError, Surroundings};
use idcsync::state::{State, StateUrl};
use idcsync::target::{Access, Gate, Target};
use jiff::Timestamp;
use tokio::runtime::Runtime;

use super::super::hub::{Hub, Weather};
use super::super::probe::Gatekeeper;
use super::super::server::Servers;
use super::super::store::{Contents, Store};
use super::History;

pub(super) struct Around {
    pub(super) hub: Arc<Hub>,
    pub(super) store: Arc<Store>,
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
pub(super) type Line = (&'static str, Option<String>, Option<String>);

/// What was planned in a run.
#[derive(Default)]
pub(super) struct Plans {
    pub(super) ids: Vec<String>,
    pub(super) runnable: Vec<Line>,
    pub(super) held: Vec<Line>,
    /// What the target held when each plan was made.
    pub(super) contents: Vec<Contents>,
    /// Of the first plan: what is found of a run that goes on is found of what it has done.
    pub(super) findings: BTreeSet<Finding>,
}

pub(super) struct Watcher {
    pub(super) plans: Mutex<Plans>,
    pub(super) store: Arc<Store>,
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
        if plans.ids.len() == 1 {
            plans.findings = prepared.findings.iter().cloned().collect();
        }
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

impl History {
    /// With the process as it is, or a new one; in fair weather.
    pub(super) fn with_state<T>(&mut self, work: impl AsyncFnOnce(&State, Timestamp) -> T) -> T {
        self.hub.begin(Weather::default());
        let now = self.hub.clock();
        let (runtime, state) = self.process();
        runtime.block_on(async { work(state, now).await })
    }

    pub(super) fn process(&mut self) -> &(Runtime, State) {
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
    pub(super) fn end_process(&mut self) {
        if let Some((runtime, state)) = self.process.take() {
            drop(state);
            drop(runtime);
        }
    }

    pub(super) fn close(&mut self) {
        if let Some((runtime, state)) = self.process.take() {
            self.hub.begin(Weather::default());
            runtime.block_on(state.close());
        }
    }
}
