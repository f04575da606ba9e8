//! Until when a lease is certainly ours: a moment of the monotonic clock, shared by who renews the lease (`state`) and
//! who sends requests (`target`), which never import each other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Clones are of the same lease. No clock that could be set has a part in it.
#[derive(Clone, Debug)]
pub struct LeaseDeadline(Arc<watch::Sender<Option<Instant>>>);

impl LeaseDeadline {
    pub fn new(until: Instant) -> Self {
        Self(Arc::new(watch::Sender::new(Some(until))))
    }

    /// How long it lasts if it is not renewed; zero once it has run out or was lost.
    pub fn remaining(&self) -> Duration {
        left(*self.0.borrow())
    }

    pub fn is_over(&self) -> bool {
        self.remaining().is_zero()
    }

    /// Renewed until then. What has ended stays ended, and nothing is ever shortened.
    pub fn extend(&self, until: Instant) {
        self.0.send_if_modified(|held| match held {
            Some(before) if *before < until => {
                *before = until;
                true
            }
            _ => false,
        });
    }

    /// Lost or given back: from now on it is not ours.
    pub fn end(&self) {
        self.0.send_replace(None);
    }

    /// Waits until at least so much is left, for which it may have to be renewed; `false` once it is over.
    pub async fn reserve(&self, needed: Duration) -> bool {
        let mut changes = self.0.subscribe();
        loop {
            let left = left(*changes.borrow_and_update());
            if left.is_zero() {
                return false;
            }
            if left >= needed {
                return true;
            }
            // Whichever comes first, its renewal or its end: looked at above.
            let _ = tokio::time::timeout(left, changes.changed()).await;
        }
    }
}

fn left(until: Option<Instant>) -> Duration {
    until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_moves_forward_and_ends_for_good() {
        let deadline = LeaseDeadline::new(Instant::now() + 10 * SECOND);
        let other = deadline.clone();
        tokio::time::advance(4 * SECOND).await;
        assert_eq!(other.remaining(), 6 * SECOND);
        deadline.extend(Instant::now() + 10 * SECOND);
        deadline.extend(Instant::now() + 2 * SECOND);
        assert_eq!(other.remaining(), 10 * SECOND);
        tokio::time::advance(11 * SECOND).await;
        assert!(other.is_over());
        // Nobody else had it meanwhile, or it could not have been renewed.
        deadline.extend(Instant::now() + SECOND);
        assert!(!other.is_over());
        deadline.end();
        deadline.extend(Instant::now() + SECOND);
        assert!(other.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn who_needs_more_waits_for_a_renewal_or_the_end() {
        let deadline = LeaseDeadline::new(Instant::now() + 3 * SECOND);
        assert!(deadline.reserve(3 * SECOND).await);
        let renew = async {
            tokio::time::sleep(SECOND).await;
            deadline.extend(Instant::now() + 4 * SECOND);
            tokio::time::sleep(SECOND).await;
            deadline.extend(Instant::now() + 6 * SECOND);
        };
        let begun = Instant::now();
        let (reserved, ()) = tokio::join!(deadline.reserve(5 * SECOND), renew);
        assert!(reserved);
        assert_eq!(begun.elapsed(), 2 * SECOND);

        let lose = async {
            tokio::time::sleep(SECOND).await;
            deadline.end();
        };
        let begun = Instant::now();
        let (reserved, ()) = tokio::join!(deadline.reserve(20 * SECOND), lose);
        assert!(!reserved);
        assert_eq!(begun.elapsed(), SECOND);

        let short = LeaseDeadline::new(Instant::now() + SECOND);
        assert!(!short.reserve(2 * SECOND).await);
    }
}
