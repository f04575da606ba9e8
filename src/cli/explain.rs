//! `idcsync explain`: why a user or group is (not) in scope, where its values come from, what happens next.

use clap::{Args, ValueEnum};

use super::progress::Progress;
use super::sync::explain as failed;
use super::{Context, Exit};
use crate::cycle::Named;
use crate::explain::render;
use crate::model::Kind;
use crate::plan::shown;
use crate::run::{self, Answer};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    User,
    Group,
}

impl What {
    pub fn kind(self) -> Kind {
        match self {
            Self::User => Kind::User,
            Self::Group => Kind::Group,
        }
    }
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    kind: What,
    /// A sAMAccountName, DOMAIN\name, userPrincipalName, mail, DN or objectGUID; or the name or id in the target
    name: String,
}

pub async fn run(context: &Context, args: &ExplainArgs) -> Exit {
    match try_run(context, args).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn try_run(context: &Context, args: &ExplainArgs) -> Result<Exit, Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    let (kind, name) = (args.kind.kind(), args.name.trim());
    let bar = Progress::new("reading and planning", context.global.quiet);
    let answer = Box::pin(run::explain(&run::Actual, &config, kind, name)).await;
    bar.end();
    match answer.map_err(|error| failed(context, error))? {
        Answer::Explained(explanation) => {
            context
                .give(|| serde_json::to_value(&explanation).unwrap_or_default(), || render(&explanation))?;
            Ok(Exit::Done)
        }
        Answer::Not(named) => Err(refuse(context, kind, name, &named)),
    }
}

/// Says why a name is not one object that is synced.
pub fn refuse(context: &Context, kind: Kind, name: &str, named: &Named) -> Exit {
    let label = shown(name);
    let why = match named {
        Named::One { .. } => return Exit::Done,
        Named::Nothing => format!(
            "neither the directory nor the target has a {kind} {label}, as far as idcsync can see: check the spelling, \
             directory.base-dn, and what the bind account may read"
        ),
        Named::Several(dns) => {
            let dns: Vec<String> = dns.iter().map(|dn| shown(dn)).collect();
            format!("{label} may be any of these; give the DN or objectGUID of one: {}", dns.join("; "))
        }
        Named::Unsuitable(why) => format!("{label} is not in scope and cannot be: {}", shown(why)),
        Named::Unread(why) => {
            context.complain(&format!("error: {label} could not be looked up: {}", shown(why)));
            return Exit::Unreachable;
        }
    };
    context.complain(&format!("error: {why}"));
    Exit::Usage
}
