//! `idcsync sync`: one cycle, and its dry run.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::Args;
use serde_json::json;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::findings::findings_text;
use super::only::OnlyOne;
use super::planfile::{self, PlanFile};
use super::progress::Progress;
use super::{Context, Exit};
use crate::apply::Stop;
use crate::config::Config;
use crate::cycle::{CycleReport, Only, Outcome, Prepared, Profile, chain};
use crate::model;
use crate::plan::{Action, IN_STEP, Look, PlanView, render, render_to, shown};
use crate::run::{
    self, CycleStats, Ending, Metrics, Observer, RunError, Status, Wish, clock, open, put_out, write_textfile,
};
use crate::state::{Pause, State};

#[derive(Debug, Args)]
pub struct SyncArgs {
    /// Stop before the first write: nothing is written, not to the target, not to the state database
    #[arg(long)]
    dry_run: bool,

    /// With --dry-run: write the plan to this file: as JSON, for `idcsync apply`, or as a page for people to read where
    /// its name ends in .html. May be given for both
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    out: Vec<PathBuf>,

    /// With --dry-run: exit with 8 if there are changes
    #[arg(long, requires = "dry_run")]
    detailed_exitcode: bool,

    /// Read the whole directory, and the target back too, and repair what was changed there (as every [schedule]
    /// drift-check does by itself)
    #[arg(long)]
    full: bool,

    /// Let go of all that the profile is tied to, and bind it to the directory and the identity store that the config
    /// points to now. Look first, with --dry-run
    #[arg(long)]
    rebind: bool,

    /// On a terminal: show the plan to its last line, and fold nothing (a pipe or a file always gets everything)
    #[arg(long)]
    full_plan: bool,

    /// Findings give exit code 3, paused gives 5, the lease elsewhere gives 7
    #[arg(long)]
    strict: bool,

    /// Do nothing but what concerns this one user or group, and what that needs; the rest is left for the next cycle
    #[arg(long, num_args = 2, value_names = ["user|group", "NAME"], conflicts_with = "out")]
    only: Option<Vec<String>>,

    /// Of `apply`: nothing is done but what this has.
    #[arg(skip)]
    file: Option<PlanFile>,
}

impl SyncArgs {
    /// A cycle for the steps of a plan file.
    pub fn of_file(file: PlanFile, strict: bool, full_plan: bool) -> Self {
        Self {
            dry_run: false,
            out: Vec::new(),
            detailed_exitcode: false,
            full: file.full,
            rebind: false,
            full_plan,
            strict,
            only: None,
            file: Some(file),
        }
    }

    /// Without which another plan is made.
    fn options(&self) -> Vec<&'static str> {
        [(self.full, "--full"), (self.rebind, "--rebind")]
            .into_iter()
            .filter_map(|(given, option)| given.then_some(option))
            .collect()
    }
}

pub async fn run(context: &Context, args: &SyncArgs) -> Exit {
    match sync(context, args).await {
        Ok(exit) | Err(exit) => exit,
    }
}

async fn sync(context: &Context, args: &SyncArgs) -> Result<Exit, Exit> {
    let config = context.load_config()?;
    context.start_log(&config);
    if args.dry_run { dry_run(context, args, &config).await } else { real(context, args, &config).await }
}

/// Says why a run could not be carried out; its exit code.
pub fn explain(context: &Context, error: impl Into<RunError>) -> Exit {
    let error = error.into();
    context.complain(&format!("error: {}", error.with_remedy()));
    Exit::of_run(&error)
}

async fn dry_run(context: &Context, args: &SyncArgs, config: &Config) -> Result<Exit, Exit> {
    let one = OnlyOne::of(context, args.only.as_deref(), args.rebind, config).await?;
    let only = one.as_ref().map(OnlyOne::only);
    let profile = Profile { full: args.full, rebind: args.rebind, only, ..open::profile(config) };
    let mut prepared = plan(context, config, &profile).await?;
    prepared.approved = prepared.approved.made_with(args.options());
    let outcome = Outcome {
        steps: prepared.approved.chosen().count() as u64,
        held: prepared.approved.held().len() as u64,
        cut_short: prepared.cut_short.is_some(),
        findings: prepared.findings.len() as u64,
        ..Outcome::default()
    };
    let view = PlanView { approved: &prepared.approved, findings: &prepared.findings };
    planfile::write_all(&args.out, &view).map_err(|error| planfile::explain(context, &error))?;
    let print = if context.is_json() {
        context.print_json(&view)
    } else {
        context.print_with(|out| {
            plan_text(context.look(args.full_plan), config, &prepared, (false, one.as_ref()), out)?;
            out.write_str(&findings_text(&prepared.findings))
        })
    };
    print.map_err(|error| write_failed(context, &error))?;
    if let Some(why) = &prepared.cut_short {
        context.complain(&not_to_its_end(why));
    }
    if let Some(one) = &one {
        one.tell(context, &prepared.approved);
    }
    context.say(&what_was_written(&args.out));
    Ok(Exit::of_cycle(&outcome, args.strict, args.detailed_exitcode))
}

fn what_was_written(files: &[PathBuf]) -> String {
    if files.is_empty() {
        return "Dry run: nothing was written.".to_owned();
    }
    let names: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    let mut text = format!("Dry run: nothing was written but {}.", names.join(" and "));
    if let Some(plan) = files.iter().find(|path| !planfile::is_page(path)) {
        text += &format!(" Do what it has: idcsync apply {}", plan.display());
    } else {
        text += " To apply exactly this plan later, write it as JSON too: --out plan.json";
    }
    text
}

/// The plan that a cycle would make now. Writes nothing anywhere.
pub async fn plan(context: &Context, config: &Config, profile: &Profile<'_>) -> Result<Prepared, Exit> {
    let bar = Progress::new("reading and planning", context.global.quiet);
    let prepared = Box::pin(run::preview(&run::Actual, config, profile)).await;
    bar.end();
    prepared.map_err(|error| explain(context, error))
}

pub async fn real(context: &Context, args: &SyncArgs, config: &Config) -> Result<Exit, Exit> {
    let one = OnlyOne::of(context, args.only.as_deref(), args.rebind, config).await?;
    let state = open::state(config).await.map_err(|error| explain(context, error))?;
    let (stop, asked) = watch::channel(false);
    let signals = tokio::spawn(stop_on_signal(stop));
    let chosen = args.file.as_ref().map(|file| Only::Steps(file.fingerprints()));
    let only = one.as_ref().map(OnlyOne::only).or(chosen);
    let watcher = Watcher { one, ..Watcher::new(context, config, args) };
    let wish = Wish { full: args.full, rebind: args.rebind, only, ..Wish::default() };
    let around: Arc<dyn run::Surroundings> = Arc::new(run::Actual);
    let result = Box::pin(run::perform(&around, config, &state, &wish, &asked, &watcher)).await;
    signals.abort();
    if let Some(path) = &config.metrics_textfile {
        watcher.write_metrics(path, &state).await;
    }
    state.close().await;
    match result {
        Ok(ending) => ended(context, args, config, ending, watcher),
        Err(error) => Err(explain(context, error)),
    }
}

fn ended(
    context: &Context,
    args: &SyncArgs,
    config: &Config,
    ending: Ending,
    watcher: Watcher<'_>,
) -> Result<Exit, Exit> {
    let paused = if args.strict { Exit::Paused } else { Exit::Done };
    match ending {
        Ending::Paused(pause) => {
            context.say(&format!("{}: nothing was done.", paused_since(&pause)));
            Ok(paused)
        }
        Ending::Warned { pause, at } => {
            context.complain(&format!(
                "warning: {}. All its users are {} by the first run after {at}, unless it is resumed: `idcsync resume`",
                lower(&paused_since(&pause)),
                put_out(config)
            ));
            Ok(paused)
        }
        Ending::LeaseElsewhere { store, holder, until } => {
            context.say(&format!(
                "Another cycle is at work on {store} ({holder}, until {until}): nothing was done."
            ));
            Ok(if args.strict { Exit::LeaseElsewhere } else { Exit::Done })
        }
        Ending::Stopped => {
            context.say("Stopped as asked: nothing was begun.");
            Ok(Exit::Done)
        }
        Ending::PausedMeanwhile => {
            context.say("The profile was paused meanwhile: nothing was begun.");
            Ok(paused)
        }
        Ending::ResumedMeanwhile => {
            context.say(
                "The profile was resumed meanwhile: nobody was disabled. The next cycle goes on as usual.",
            );
            Ok(Exit::Done)
        }
        Ending::Done(done) => {
            watcher.tell_last(&done.report)?;
            Ok(match (done.swept, Exit::of_cycle(&done.report.outcome, args.strict, false)) {
                (true, Exit::Done) => paused,
                (_, exit) => exit,
            })
        }
    }
}

fn paused_since(pause: &Pause) -> String {
    let reason = pause.reason.as_ref().map(|r| format!(" ({})", shown(r))).unwrap_or_default();
    format!("The profile is paused since {}{reason}", pause.at)
}

/// To go on within a sentence.
fn lower(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|c| c.to_lowercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

/// Tells whoever started the run of it, as it goes.
struct Watcher<'a> {
    context: &'a Context,
    config: &'a Config,
    bar: Mutex<Option<Progress>>,
    /// The steps by which scope entries were rebound in a cycle before the last one.
    followed: Mutex<Vec<serde_json::Value>>,
    file: Mutex<Option<PlanFile>>,
    one: Option<OnlyOne>,
    cycles: Mutex<Vec<CycleStats>>,
    full_plan: bool,
}

impl<'a> Watcher<'a> {
    fn new(context: &'a Context, config: &'a Config, args: &SyncArgs) -> Self {
        let (bar, followed, cycles) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (file, full_plan) = (Mutex::new(args.file.clone()), args.full_plan);
        Self { context, config, bar, followed, file, one: None, cycles, full_plan }
    }

    /// Of this run, for node-exporter.
    async fn write_metrics(&self, path: &Path, state: &State) {
        let write = async {
            let metrics = Metrics::new(&self.config.profile).map_err(|e| chain(&e))?;
            for stats in lock(&self.cycles).iter() {
                metrics.cycle(stats, self.config.target.requests_per_second());
            }
            let status = Status::read(self.config.clone(), state.reader(), state.place(), clock::now());
            metrics.status(&status.await.map_err(|e| chain(&e))?);
            write_textfile(path, &metrics).map_err(|e| chain(&e))
        };
        if let Err(why) = write.await {
            warn!("the metrics of this run are not written: {why}");
        }
    }

    fn tell_last(&self, report: &CycleReport) -> Result<(), Exit> {
        tell(self.context, self.config, report, &lock(&self.followed), lock(&self.file).as_ref())?;
        if let Some(one) = &self.one {
            one.tell(self.context, &report.approved);
        }
        Ok(())
    }
}

/// A panic elsewhere leaves nothing here that could not be told.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer for Watcher<'_> {
    fn sweeping(&self, pause: &Pause) {
        self.context.complain(&format!(
            "warning: {}, for longer than lifecycle.disable-after: all its users are {} now. To end it: `idcsync resume`",
            lower(&paused_since(pause)),
            put_out(self.config)
        ));
    }

    fn reading(&self) {
        *lock(&self.bar) = Some(Progress::new("reading and planning", self.context.global.quiet));
    }

    fn planned(&self, prepared: &Prepared, swept: bool) {
        if self.context.is_json() {
            return;
        }
        let (context, config, look) = (self.context, self.config, self.context.look(self.full_plan));
        let one = (swept, self.one.as_ref());
        let print = || context.print_with(|out| plan_text(look, config, prepared, one, out));
        let printed = lock(&self.bar).as_ref().map_or_else(print, |bar| bar.aside(print));
        if let Err(error) = printed {
            debug!("the plan could not be printed: {error}");
        }
    }

    fn applying(&self, progress: &model::Progress) {
        if let Some(bar) = lock(&self.bar).as_ref() {
            bar.set(progress);
        }
    }

    fn ended(&self, stats: &CycleStats) {
        lock(&self.cycles).push(stats.clone());
        if let Some(bar) = lock(&self.bar).take() {
            bar.end();
        }
    }

    fn again(&self, report: &CycleReport) {
        if self.context.is_json() {
            // One document, whatever the number of cycles.
            let plan = &report.approved;
            let rebinds = plan.runnable().filter(|(_, s)| matches!(s.action, Action::RebindEntry { .. }));
            lock(&self.followed).extend(rebinds.map(|(no, _)| plan.step_json(no)));
        } else if tell(self.context, self.config, report, &[], None).is_err() {
            debug!("what this cycle did could not be printed");
        }
        if let Some(file) = lock(&self.file).as_mut() {
            file.note_done(&report.approved);
        }
        self.context.say(if report.rebound {
            "A scope entry follows another object from now on: reading again."
        } else {
            "Something was gone from the target: looking again, to repair it."
        });
    }
}

/// `followed`: the steps by which scope entries were rebound in a cycle before this one.
fn tell(
    context: &Context,
    config: &Config,
    report: &CycleReport,
    followed: &[serde_json::Value],
    file: Option<&PlanFile>,
) -> Result<(), Exit> {
    let differences = file.map(|file| (file, file.compare(&report.approved)));
    let print = if context.is_json() {
        let mut document = json!({
            "schema": "idcsync/cycle/v1",
            "profile": config.profile,
            "outcome": report.outcome.word().word(),
            "facts": report.outcome,
            "counts": report.counts(),
            "rebound": followed,
            "plan": PlanView { approved: &report.approved, findings: &report.findings },
        });
        if let Some((_, differences)) = &differences {
            document["file"] = differences.json();
        }
        context.print_json(&document)
    } else {
        context.print(&(findings_text(&report.findings) + &summary(report)))
    };
    print.map_err(|error| write_failed(context, &error))?;
    if let Some((file, differences)) = differences {
        differences.tell(context, file);
    }
    tell_why_short(context, report);
    Ok(())
}

/// On stderr, for whoever reads nothing else: why not all was done.
fn tell_why_short(context: &Context, report: &CycleReport) {
    let left = report.applied.left;
    let steps = if left == 1 { "1 step is".to_owned() } else { format!("{left} steps are") };
    match &report.applied.stop {
        Some(Stop::OutOfTime) => {
            context.say(&format!("Out of time (target.max-apply): {steps} left for the next cycle."));
        }
        Some(Stop::Asked) => context.say(&format!("Stopped as asked: {steps} left for the next cycle.")),
        Some(Stop::TargetUnavailable(why)) => context.complain(&format!(
            "error: the target failed again and again, so {steps} left for the next cycle: {why}"
        )),
        None => {}
    }
    if let Some(why) = &report.cut_short {
        context.complain(&not_to_its_end(why));
    }
}

fn not_to_its_end(why: &str) -> String {
    format!(
        "error: the directory was not read to its end ({}): nobody is removed on the strength of what is missing; the \
         next cycle tries again (see GroupReadIncomplete, ScopeEntryUnread and RemovalWithheld among the findings)",
        shown(why)
    )
}

/// Where nothing was read, the directory is not what the target is as.
fn plan_text(
    look: Look,
    config: &Config,
    prepared: &Prepared,
    (swept, one): (bool, Option<&OnlyOne>),
    out: &mut dyn Write,
) -> fmt::Result {
    let unread = swept || prepared.unreadable.is_some();
    let approved = &prepared.approved;
    if let Some(one) = one.filter(|_| approved.chosen().next().is_none()) {
        return writeln!(out, "Nothing to do for the {0} (why: idcsync explain {0}).", one.label);
    }
    if !approved.plan().steps.is_empty() {
        return render_to(approved, look, out);
    }
    if unread {
        return writeln!(out, "Nothing to do: all users of the profile are {} already.", put_out(config));
    }
    let text = render(approved, look.colors);
    if prepared.cut_short.is_none() {
        return out.write_str(&text);
    }
    // The plan knows what it withholds, and not of what it never heard.
    out.write_str(&text.replacen(IN_STEP, "Nothing to do, as far as the directory could be read.", 1))
}

/// What was done, in one or two lines.
fn summary(report: &CycleReport) -> String {
    let done: u64 = report.applied.done.values().sum();
    let failed: u64 = report.applied.failed.values().sum();
    if report.outcome.steps == 0 {
        return String::new();
    }
    let mut parts = vec![format!("{done} done")];
    for (count, word) in
        [(failed, "failed"), (report.outcome.held, "held"), (report.applied.left, "left for the next cycle")]
    {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    format!("\nApplied: {}.\n", parts.join(", "))
}

fn write_failed(context: &Context, error: &std::io::Error) -> Exit {
    context.complain(&format!("error: stdout cannot be written: {error}"));
    Exit::Unexpected
}

/// The first SIGINT or SIGTERM ends the cycle between two steps, with everything journalled.
async fn stop_on_signal(stop: watch::Sender<bool>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    info!("asked to stop: what is under way is finished, nothing new is begun");
    let _ = stop.send(true);
    // A second one ends at once; the journal knows what was under way.
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    std::process::exit(i32::from(Exit::Unexpected.code()));
}
