//! What a person asks about one object: which one is meant, and why it is as it is. Writes nothing anywhere.

use super::pauses::meaning;
use super::{RunError, Surroundings, open};
use crate::config::Config;
use crate::cycle::{self, Named, Parts};
use crate::explain::Explanation;
use crate::model::Kind;
use crate::plan::pause_disables_at;
use crate::target::{Access, Gate};

/// What came of a question about a name.
pub enum Answer {
    Explained(Box<Explanation>),
    /// It is not one object that is synced.
    Not(Named),
}

/// Which object the name means, in the directory or among the links.
pub async fn identify(
    around: &dyn Surroundings,
    config: &Config,
    rebind: bool,
    kind: Kind,
    name: &str,
) -> Result<Named, RunError> {
    let state = open::state_copy(config).await?;
    let known = state.reader().load(around.now()).await?;
    let profile = cycle::Profile { rebind, ..open::profile(config) };
    let directory = around.directory(config);
    Ok(cycle::identify(&profile, directory.as_ref(), &known, kind, name, around.now()).await?)
}

/// The whole answer, by the plan that a cycle would make now.
pub async fn explain(
    around: &dyn Surroundings,
    config: &Config,
    kind: Kind,
    name: &str,
) -> Result<Answer, RunError> {
    let profile = open::profile(config);
    let state = open::state_copy(config).await?;
    let known = state.reader().load(around.now()).await?;
    let directory = around.directory(config);
    let named = cycle::identify(&profile, directory.as_ref(), &known, kind, name, around.now()).await?;
    let (anchor, look) = match named {
        Named::One { anchor, look } => (anchor, look),
        other => return Ok(Answer::Not(other)),
    };
    let target = around.target(config, Access::ReadOnly, Gate::Open).await?;
    let identity_store = open::identity_store(target.as_ref()).await?;
    let clock = || around.now();
    let parts = Parts { directory: directory.as_ref(), target, identity_store, clock: &clock };
    let explained =
        Box::pin(cycle::explain(&profile, &parts, state.reader(), &known, (kind, anchor), look.as_deref()));
    let mut explanation = Box::new(explained.await?);
    let now = around.now();
    if let Some(pause) = state.reader().pause().await?.filter(|pause| !pause.is_over(now)) {
        let next = &mut explanation.next;
        next.paused_since = Some(pause.at);
        next.paused_until = pause.until;
        next.disables_at = pause_disables_at(pause.at, pause.until, &config.policy.lifecycle);
        next.paused = Some(meaning(&pause, config, now));
    }
    Ok(Answer::Explained(explanation))
}
