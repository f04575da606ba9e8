//! Looks out for changes in the directory between the cycles, and asks the worker for a run where there are any. It only
//! looks: what has changed, the run itself reads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::board::{Ask, Board, LastRun};
use crate::config::Config;
use crate::cycle::{KeptInState, chain};
use crate::model::Mark;
use crate::run::{Watch, open};

/// Where nothing can be looked at: how long until it is tried again.
const REST: Duration = Duration::from_secs(15);
/// Where nobody wants it, or nothing was read yet: how long until it is looked again whether that has changed.
const IDLE: Duration = Duration::from_secs(5);

/// Until it is asked to stop.
pub async fn follow(board: Arc<Board>, mut stop: watch::Receiver<bool>) {
    let mut follower = Follower { board, watch: None, refused: None, said: None };
    loop {
        let rest = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            rest = follower.look() => rest,
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(rest) => {}
        }
    }
}

struct Follower {
    board: Arc<Board>,
    /// And what it was begun from.
    watch: Option<(Box<dyn Watch>, Mark, Arc<Config>)>,
    /// The account was refused, with this config and after this run: each try counts towards a lockout.
    refused: Option<(Arc<Config>, Option<LastRun>)>,
    /// What was last said of why nothing can be followed.
    said: Option<String>,
}

impl Follower {
    /// Looks once; for how long to rest then.
    async fn look(&mut self) -> Duration {
        let config = self.board.config();
        let Some(pause) = config.follow else {
            self.watch = None;
            return IDLE;
        };
        let view = self.board.view();
        // Paused, or at it already: what changes meanwhile is seen afterwards.
        if view.paused || view.running.is_some() {
            return pause;
        }
        // The next run shows whether the account is taken now.
        let failed = view.last.as_ref().is_some_and(|last| last.error.is_some());
        let same =
            |(then, last): &(Arc<Config>, Option<LastRun>)| Arc::ptr_eq(then, &config) && *last == view.last;
        if failed || self.refused.as_ref().is_some_and(same) {
            self.watch = None;
            return pause;
        }
        self.refused = None;
        match self.try_look(&config, view.last).await {
            Ok(Some(true)) => {
                debug!("the directory has changed");
                self.board.ask(Ask::Changed);
                pause
            }
            Ok(Some(false)) => pause,
            Ok(None) => IDLE,
            Err(why) => {
                self.watch = None;
                if self.said.as_ref() != Some(&why) {
                    warn!(
                        "changes of the directory cannot be followed; the schedule goes on as it is: {why}"
                    );
                    self.said = Some(why);
                }
                REST
            }
        }
    }

    /// Whether anything has changed; `None` where there is nothing to begin from yet.
    async fn try_look(
        &mut self,
        config: &Arc<Config>,
        last: Option<LastRun>,
    ) -> Result<Option<bool>, String> {
        let Some(state) = self.board.state() else { return Ok(None) };
        let mark = state.mirror_mark().await.map_err(|e| chain(&e))?;
        let Some(mark) = mark else {
            self.watch = None;
            return Ok(None);
        };
        let known =
            |(_, begun, by): &(Box<dyn Watch>, Mark, Arc<Config>)| *begun == mark && Arc::ptr_eq(by, config);
        if !self.watch.as_ref().is_some_and(known) {
            let same = |(_, begun, by): &(Box<dyn Watch>, Mark, Arc<Config>)| {
                (&begun.server, &begun.digest) == (&mark.server, &mark.digest) && Arc::ptr_eq(by, config)
            };
            let watch = match self.watch.take().filter(same) {
                Some((mut watch, ..)) => {
                    watch.hold(&mark);
                    watch
                }
                None => match open::watch(config, &mark).await {
                    Ok(watch) => watch,
                    Err(error) => {
                        if error.is_of_the_account() {
                            self.refused = Some((Arc::clone(config), last));
                        }
                        return Err(chain(&error));
                    }
                },
            };
            self.watch = Some((watch, mark.clone(), Arc::clone(config)));
            if self.said.take().is_some() {
                info!("changes of the directory are followed again");
            }
        }
        let kept = KeptInState::of(&state, &mark);
        match &mut self.watch {
            Some((watch, ..)) => watch.look(&kept).await.map(Some),
            None => Ok(None),
        }
    }
}
