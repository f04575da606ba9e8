//! `idcsync history`: what past cycles did, and who was a member of what when.

use clap::Args;
use jiff::Timestamp;

use super::sync::explain;
use super::{Context, Exit};
use crate::ids::CycleId;
use crate::model::Kind;
use crate::run::history::{Answer, Question, ask, render};
use crate::run::{Moment, clock, open};

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Each step of this cycle, with its outcome; without it, the last cycles
    #[arg(conflicts_with_all = ["since", "until", "user", "group", "at", "limit"])]
    cycle: Option<i64>,

    /// From then on: 2026-12-24T08:00:00Z, 2026-12-24 (its first moment here), or so long ago, as in 4h or 2d
    #[arg(long, value_name = "TIME", value_parser = Moment::parse, conflicts_with = "at")]
    since: Option<Moment>,

    /// Before then
    #[arg(long, value_name = "TIME", value_parser = Moment::parse, conflicts_with = "at")]
    until: Option<Moment>,

    /// The steps about this user: userName, address, DN or objectGUID
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// The steps about this group: displayName, DN or objectGUID
    #[arg(long, value_name = "NAME", conflicts_with = "user")]
    group: Option<String>,

    /// With --group: who was a member at that moment, since when and why; with --user: of which groups
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    at: Option<Moment>,

    /// So many cycles at the most
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with_all = ["user", "group", "at"])]
    limit: u32,
}

pub async fn run(context: &Context, args: &HistoryArgs) -> Exit {
    match history(context, args).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn history(context: &Context, args: &HistoryArgs) -> Result<Exit, Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    let now = clock::now();
    let question = args.question(now).map_err(|why| {
        context.complain(&format!("error: {why}"));
        Exit::Usage
    })?;
    let state = open::state_copy(&config).await.map_err(|error| explain(context, error))?;
    let answer = ask(state.reader(), &question, now).await.map_err(|error| explain(context, error))?;
    let refused = matches!(answer, Answer::NoSuchCycle(_) | Answer::Nobody | Answer::Several(_));
    if refused && !context.is_json() {
        context.complain(&format!("error: {}", render(&answer).trim_end()));
        return Ok(Exit::Usage);
    }
    context.give(|| answer.json(&config.profile), || render(&answer))?;
    Ok(if refused { Exit::Usage } else { Exit::Done })
}

impl HistoryArgs {
    fn question(&self, now: Timestamp) -> Result<Question, String> {
        let since = self.since.map_or(Timestamp::MIN, |moment| moment.before(now));
        let until = self.until.map_or(Timestamp::MAX, |moment| moment.before(now));
        if since >= until {
            return Err(format!("nothing is between {since} and {until}: --since comes before --until"));
        }
        let object = match (&self.user, &self.group) {
            (Some(name), _) => Some((Kind::User, name.trim().to_owned())),
            (None, Some(name)) => Some((Kind::Group, name.trim().to_owned())),
            (None, None) => None,
        };
        match (self.cycle, object, self.at) {
            (Some(cycle), ..) => Ok(Question::Cycle(CycleId(cycle))),
            (None, Some((kind, name)), Some(at)) => {
                let at = at.before(now);
                if at > now {
                    return Err(format!("{at} has not come yet"));
                }
                Ok(Question::At { kind, name, at })
            }
            (None, Some((kind, name)), None) => Ok(Question::Object { kind, name, since, until }),
            (None, None, Some(_)) => Err("--at needs --group NAME or --user NAME".to_owned()),
            (None, None, None) => Ok(Question::Cycles { since, until, most: self.limit }),
        }
    }
}
