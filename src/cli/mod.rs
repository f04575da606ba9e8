//! The command line: arguments, one thin file for each command, and the exit codes that scripts rely on.

mod apply;
mod approve;
mod check;
mod exit;
mod explain;
mod findings;
mod health;
mod history;
mod init;
mod man;
mod only;
mod output;
mod pause;
mod planfile;
mod progress;
mod repair;
mod run;
mod scope;
mod status;
mod sync;

use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

pub use exit::Exit;

use crate::config::{Config, ConfigError};
use crate::plan::{Colors, Look};
use crate::printable;
use crate::run::clock;
use crate::telemetry;

/// Keeps AWS IAM Identity Center in step with Active Directory and other LDAP directories
#[derive(Debug, Parser)]
#[command(name = "idcsync", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_long_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done, nothing to do, or rightly not done (said on stderr)
  1  unexpected failure
  2  usage or config
  3  finished, but something failed that a retry may mend, or something that ought to be taken away has been
     withheld for more than 24 hours
  4  the guard held steps
  6  directory, target or state database could not be read or reached, or a read was cut short
  8  changes are pending (only with --dry-run --detailed-exitcode)
With --strict: findings give 3, paused gives 5, the lease elsewhere gives 7 (link, unlink, release: always).";

#[derive(Debug, Args)]
struct Global {
    /// The config file of the profile
    #[arg(long, global = true, value_name = "PATH", env = "IDCSYNC_CONFIG", default_value = "idcsync.toml")]
    config: PathBuf,

    /// How data is written to stdout
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = Output::Text)]
    output: Output,

    /// When to use colours (NO_COLOR is heeded too)
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto)]
    color: ColorChoice,

    /// Say more on stderr (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,

    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a first config: asks, or takes flags; tries each answer, and ends in a dry run
    Init(Box<init::InitArgs>),
    /// Run one cycle: read, plan, guard, apply
    Sync(sync::SyncArgs),
    /// Run one cycle that does nothing but the steps of a reviewed plan
    Apply(apply::ApplyArgs),
    /// Approve the held steps of a plan for 72 hours
    Approve(approve::ApproveArgs),
    /// Say why a user or group is (not) in scope, where its values come from, and what the next cycle does to it
    Explain(explain::ExplainArgs),
    /// Run as a service: cycles on the schedule, health, metrics, status page
    Run,
    /// Show the profile: paused or not, last cycle, held steps, findings, who is disabled when
    Status,
    /// Show past cycles, the steps of one, and who was a member of what when
    History(history::HistoryArgs),
    /// Stop all cycles of the profile (a dry run still works)
    Pause(pause::PauseArgs),
    /// Let the cycles of the profile run again
    Resume,
    /// Tie a directory object to a user or group of the target by hand
    Link(repair::LinkArgs),
    /// Untie it; the target stays as it is
    Unlink(repair::UnlinkArgs),
    /// Let go of a group that left the scope
    Release(repair::ReleaseArgs),
    /// Show and edit the sync scope in the config file, with what a change would mean
    #[command(subcommand)]
    Scope(scope::ScopeCommand),
    /// Try everything that can be tried without changing anything
    Check,
    /// A strict local stand-in for the Identity Store API, to rehearse against
    #[cfg(feature = "sandbox")]
    Sandbox(Box<crate::sandbox::SandboxArgs>),
    /// Ask the service whether it is alive: exit code 0 or 1 (for containers)
    Health(health::HealthArgs),
    /// Print the manual, for `man`: `idcsync man | man -l -`
    Man(man::ManArgs),
    /// Print the completions of a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// What every command is given.
struct Context {
    global: Global,
    colors: Colors,
}

impl Context {
    /// How a plan is shown: on a terminal folded, unless all of it is wanted.
    fn look(&self, all: bool) -> Look {
        Look { colors: self.colors, folded: !all && std::io::stdout().is_terminal() }
    }

    /// Writes data.
    fn print(&self, text: &str) -> std::io::Result<()> {
        self.print_with(|out| out.write_str(text))
    }

    /// Writes data that is made on the way.
    fn print_with(
        &self,
        write: impl FnOnce(&mut dyn std::fmt::Write) -> std::fmt::Result,
    ) -> std::io::Result<()> {
        output::text(self.colors == Colors::On, write)
    }

    fn print_json(&self, value: &impl serde::Serialize) -> std::io::Result<()> {
        output::json(value)
    }

    /// Data of either sort, by `--output`.
    fn give(
        &self,
        json: impl FnOnce() -> serde_json::Value,
        text: impl FnOnce() -> String,
    ) -> Result<(), Exit> {
        let printed = if self.is_json() { self.print_json(&json()) } else { self.print(&text()) };
        printed.map_err(|error| {
            self.complain(&format!("error: stdout cannot be written: {error}"));
            Exit::Unexpected
        })
    }

    /// A line for a person, on stderr.
    fn say(&self, text: &str) {
        if !self.global.quiet {
            self.complain(text);
        }
    }

    fn complain(&self, text: &str) {
        let text = printable::lines(text, self.stderr_color());
        // Nobody is left to tell that stderr is gone.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    fn is_json(&self) -> bool {
        self.global.output == Output::Json
    }

    fn start_log(&self, config: &Config) {
        let Global { verbose, quiet, .. } = self.global;
        telemetry::start(&telemetry::Settings::of(&config.log, verbose, quiet, self.stderr_color()));
    }

    fn load_config(&self) -> Result<Config, Exit> {
        let config = Config::load(&self.global.config).map_err(|error| {
            self.explain_config(&error);
            Exit::Usage
        })?;
        if !config.warnings.is_empty() {
            self.say(config.warnings.render(self.stderr_color(), self.width()).trim_end());
        }
        match clock::set(&config) {
            // Not a log line: no filter may hide it.
            Ok(Some(shift)) => self.complain(&format!(
                "warning: {}: this run takes the time to be {shift} from now",
                clock::SHIFT_VARIABLE
            )),
            Ok(None) => {}
            Err(why) => {
                self.complain(&format!("error: {why}"));
                return Err(Exit::Usage);
            }
        }
        Ok(config)
    }

    fn explain_config(&self, error: &ConfigError) {
        match error {
            ConfigError::Read { .. } => self.complain(&format!("error: {}", crate::cycle::chain(error))),
            ConfigError::Invalid(diagnostics) if self.is_json() => {
                for diagnostic in diagnostics.list() {
                    self.complain(&diagnostic.to_string());
                }
            }
            ConfigError::Invalid(diagnostics) => {
                self.complain(diagnostics.render(self.stderr_color(), self.width()).trim_end());
                self.complain(&error.to_string());
            }
        }
    }

    fn stderr_color(&self) -> bool {
        wants_color(self.global.color, std::io::stderr().is_terminal())
    }

    fn width(&self) -> usize {
        std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).unwrap_or(100)
    }
}

/// A closed pipe is no error: whoever read had enough.
fn write_out(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn wants_color(choice: ColorChoice, terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    }
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    crate::process::guard();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; anything else is a mistake in usage. clap's own code is 2 as well.
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return code.into();
        }
    };
    let colors =
        if wants_color(cli.global.color, std::io::stdout().is_terminal()) { Colors::On } else { Colors::Off };
    let context = Context { global: cli.global, colors };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            context.complain(&format!("error: the runtime could not be started: {error}"));
            return Exit::Unexpected.into();
        }
    };
    let exit = runtime.block_on(run(&context, cli.command));
    // A file that cannot be read, a name that cannot be resolved: nobody waits for their threads.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    exit.into()
}

async fn run(context: &Context, command: Command) -> Exit {
    match command {
        Command::Init(args) => Box::pin(init::run(context, &args)).await,
        Command::Sync(args) => Box::pin(sync::run(context, &args)).await,
        Command::Apply(args) => Box::pin(apply::run(context, &args)).await,
        Command::Approve(args) => Box::pin(approve::run(context, &args)).await,
        Command::Explain(args) => Box::pin(explain::run(context, &args)).await,
        Command::Run => Box::pin(run::run(context)).await,
        Command::Status => status::run(context).await,
        Command::History(args) => history::run(context, &args).await,
        Command::Pause(args) => pause::pause(context, &args).await,
        Command::Resume => pause::resume(context).await,
        Command::Link(args) => repair::link(context, &args).await,
        Command::Unlink(args) => repair::unlink(context, &args).await,
        Command::Release(args) => repair::release(context, &args).await,
        Command::Scope(command) => Box::pin(scope::run(context, &command)).await,
        Command::Check => Box::pin(check::run(context)).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => {
            let Global { verbose, quiet, .. } = context.global;
            telemetry::start(&telemetry::Settings::plain(verbose, quiet, context.stderr_color()));
            match crate::sandbox::run(*args).await {
                Ok(()) => Exit::Done,
                Err(error) => {
                    context.complain(&format!("error: {}", crate::cycle::chain(&error)));
                    Exit::Unexpected
                }
            }
        }
        Command::Health(args) => health::run(context, &args).await,
        Command::Man(args) => man::run(context, &args, Cli::command()),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "idcsync", &mut text);
            // Ours from end to end, tabs and all.
            match write_out(&String::from_utf8_lossy(&text)) {
                Ok(()) => Exit::Done,
                Err(_) => Exit::Unexpected,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
