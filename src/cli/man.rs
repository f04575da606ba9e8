//! `idcsync man`: the manual, made from the same definitions as `--help`.

use std::io;
use std::path::PathBuf;

use clap::{Args, Command};

use super::{Context, Exit, write_out};
use crate::plan::shown;

#[derive(Debug, Args)]
pub struct ManArgs {
    /// The page of this command, as in `scope add`; without it, the first page
    command: Vec<String>,

    /// Write all pages into this directory instead, as idcsync.1, idcsync-sync.1, …
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

/// `command`: the whole program.
pub fn run(context: &Context, args: &ManArgs, command: Command) -> Exit {
    if let Some(directory) = &args.out {
        let written =
            std::fs::create_dir_all(directory).and_then(|()| clap_mangen::generate_to(command, directory));
        return match written {
            Ok(()) => {
                context.say(&format!("The pages are in {}.", directory.display()));
                Exit::Done
            }
            Err(error) => {
                context.complain(&format!("error: {}: {error}", directory.display()));
                Exit::Unexpected
            }
        };
    }
    let mut command = command;
    command.build();
    let mut wanted = &command;
    for name in &args.command {
        let Some(found) = wanted.find_subcommand(name) else {
            context.complain(&format!("error: there is no command {}: see `idcsync help`", shown(name)));
            return Exit::Usage;
        };
        wanted = found;
    }
    let printed = page(wanted).and_then(|text| write_out(&text));
    match printed {
        Ok(()) => Exit::Done,
        Err(error) => {
            context.complain(&format!("error: stdout cannot be written: {error}"));
            Exit::Unexpected
        }
    }
}

fn page(command: &Command) -> io::Result<String> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
