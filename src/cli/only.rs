//! `idcsync sync --only`: a cycle for one user or group.

use std::collections::BTreeMap;

use super::explain::{What, refuse};
use super::sync::explain;
use super::{Context, Exit};
use crate::config::Config;
use crate::cycle::{Named, Only};
use crate::ids::Anchor;
use crate::model::Kind;
use crate::plan::{ApprovedPlan, shown};
use crate::run;

/// The one object that a cycle is for.
#[derive(Clone, Debug)]
pub struct OnlyOne {
    anchor: Anchor,
    /// `user alice`
    pub label: String,
}

impl OnlyOne {
    /// Looked for before anything is begun: a name that is nobody's leaves no trace.
    pub async fn of(
        context: &Context,
        wanted: Option<&[String]>,
        rebind: bool,
        config: &Config,
    ) -> Result<Option<Self>, Exit> {
        let Some((kind, name)) = Self::parse(context, wanted)? else { return Ok(None) };
        let named = Box::pin(run::identify(&run::Actual, config, rebind, kind, name)).await;
        match named.map_err(|error| explain(context, error))? {
            Named::One { anchor, .. } => Ok(Some(Self { anchor, label: format!("{kind} {}", shown(name)) })),
            other => Err(refuse(context, kind, name, &other)),
        }
    }

    /// What was typed.
    pub fn parse<'w>(
        context: &Context,
        wanted: Option<&'w [String]>,
    ) -> Result<Option<(Kind, &'w str)>, Exit> {
        let Some([kind, name]) = wanted else { return Ok(None) };
        let Ok(what) = <What as clap::ValueEnum>::from_str(kind, true) else {
            context
                .complain(&format!("error: --only takes `user NAME` or `group NAME`, not `{}`", shown(kind)));
            return Err(Exit::Usage);
        };
        Ok(Some((what.kind(), name.trim())))
    }

    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    pub fn only(&self) -> Only {
        Only::About(self.anchor)
    }

    /// On stderr: what this cycle is not for.
    pub fn tell(&self, context: &Context, approved: &ApprovedPlan) {
        let count = approved.left_out().len();
        if count == 0 {
            return;
        }
        let mut sorts: BTreeMap<&str, usize> = BTreeMap::new();
        for no in approved.left_out() {
            *sorts.entry(approved.plan().step(no).action.sort().word()).or_default() += 1;
        }
        let sorts: Vec<String> = sorts.into_iter().map(|(word, count)| format!("{count} {word}")).collect();
        let steps = if count == 1 { "1 step is".to_owned() } else { format!("{count} steps are") };
        context.say(&format!(
            "Only what concerns the {}: {steps} left for the next cycle ({}).",
            self.label,
            sorts.join(", ")
        ));
    }
}
