//! Progress of long work: a spinner, then a bar, on a terminal; nothing in a pipe.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::model;

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
    pub fn set(&self, progress: &model::Progress) {
        if self.0.length() != Some(progress.total) {
            self.0.disable_steady_tick();
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {msg}") {
                self.0.set_style(style);
            }
            self.0.set_length(progress.total);
        }
        self.0.set_message(outlook(progress));
        self.0.set_position(progress.done);
    }

    /// Lets something else be printed meanwhile.
    pub fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.0.suspend(print)
    }

    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// How long the rest takes, and at what rate.
pub fn outlook(progress: &model::Progress) -> String {
    match (progress.seconds_left(), progress.per_second) {
        (Some(0), _) => "nothing left to send".to_owned(),
        (Some(left), Some(rate)) => {
            format!("{} left ({} requests, {rate:.1} a second)", time(left), progress.pending)
        }
        _ => format!("time left not known yet ({} requests)", progress.pending),
    }
}

/// In the two units that matter.
fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_said_where_it_is_known() {
        let at = |pending, per_second| outlook(&model::Progress { done: 1, total: 9, pending, per_second });
        assert_eq!(at(500, Some(18.04)), "28 s left (500 requests, 18.0 a second)");
        assert_eq!(at(5000, Some(20.0)), "4 min 10 s left (5000 requests, 20.0 a second)");
        assert_eq!(at(500_000, Some(19.5)), "7 h 7 min left (500000 requests, 19.5 a second)");
        assert_eq!(at(500, None), "time left not known yet (500 requests)");
        assert_eq!(at(0, None), "nothing left to send");
    }
}
