//! Parses, runs the command, and maps its outcome to the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    idcsync::cli::main()
}
