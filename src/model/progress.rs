//! How far an apply is.

/// What is known of an apply while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Steps that are over, whatever came of them, and of how many.
    pub done: u64,
    pub total: u64,
    /// Requests that the others take where nothing goes wrong.
    pub pending: u64,
    /// Requests of the steps that were over in the last minute; `None` while it cannot be told.
    pub per_second: Option<f64>,
}

/// More than any apply lasts.
const LONGEST: f64 = 1e9;

impl Progress {
    /// `None` while it cannot be told.
    pub fn seconds_left(&self) -> Option<u64> {
        if self.pending == 0 {
            return Some(0);
        }
        let rate = self.per_second.filter(|rate| *rate > 0.0)?;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate, within bounds"
        )]
        Some((self.pending as f64 / rate).ceil().min(LONGEST) as u64)
    }
}
