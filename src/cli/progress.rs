//! Progress of long work: a spinner, then a bar, on a terminal; nothing in a pipe.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub struct Progress(ProgressBar);

impl Progress {
    /// While nobody knows how much there is to do: says what is being done.
    pub fn new(doing: &'static str, quiet: bool) -> Self {
        let bar = ProgressBar::new_spinner();
        if quiet || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        bar.set_message(doing);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    /// From now on it is known.
    pub fn set(&self, done: u64, total: u64) {
        if self.0.length() != Some(total) {
            self.0.disable_steady_tick();
            if let Ok(style) =
                ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {per_sec:.0}, {eta} left")
            {
                self.0.set_style(style);
            }
            self.0.set_length(total);
        }
        self.0.set_position(done);
    }

    /// Lets something else be printed meanwhile.
    pub fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.0.suspend(print)
    }

    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}
