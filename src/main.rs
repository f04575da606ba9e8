//! Parses, runs the command, and maps its outcome to the exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // To clear two megabytes at a time for what is spread over many small objects took a tenth of a large cycle. Where the
    // kernel does not have it, nothing is lost.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    idcsync::cli::main()
}
