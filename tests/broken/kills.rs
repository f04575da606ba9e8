//! SIGKILL at every request of a cycle: before its answer comes, and right after.

use std::process::{Child, Stdio};

use super::bench::{Mixed, company};
use super::support::cuts::assert_nothing_twice;
use super::support::export::{Export, people};
use super::support::idcsync::{Sandbox, target};
use super::support::proxy::{How, Proxy};

/// Of each request to the API.
const REQUEST: &[u8] = b"POST / HTTP/1.1";
const STATE: &str = "[state]\nurl = \"sqlite:state.db\"\n";

struct Bench {
    mixed: Mixed,
    proxy: Proxy,
}

impl Bench {
    fn new(export: Export) -> Self {
        let mixed = Mixed::with(Sandbox::start(), export);
        let place = mixed.sandbox.endpoint().trim_start_matches("http://").parse().expect("its address");
        let proxy = Proxy::start(place);
        let endpoint = format!("http://{}", proxy.address());
        mixed.configure(&target(&endpoint, Some(super::support::idcsync::IDENTITY_STORE_ID)), STATE);
        Self { mixed, proxy }
    }

    fn start(&self) -> Child {
        let mut command = self.mixed.idcsync.command(&["sync"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start idcsync")
    }

    /// Kills a run at its nth request, in one of the ways; false where it had ended before that.
    fn kill_at(&self, nth: usize, how: Way) -> bool {
        match how {
            Way::Unheard => self.proxy.at_request(REQUEST, nth, How::Stall),
            Way::Unanswered => self.proxy.at_answer(REQUEST, nth, How::Stall),
            Way::Answered => self.proxy.at_answer(REQUEST, nth, How::Tell),
        }
        let mut child = self.start();
        let struck = self.proxy.wait(|| child.try_wait().expect("its state").is_some());
        child.kill().expect("SIGKILL");
        let ended = child.wait().expect("the end of our own child");
        self.proxy.pass();
        assert!(struck || ended.success(), "{ended}");
        struck
    }

    #[track_caller]
    fn heal(&self, what: &str, sent: usize) {
        let run = self.mixed.idcsync.run(&["sync"]).exits(0);
        self.mixed.assert_whole();
        let says = |why: &str| format!("{what}: {why}\n{}", run.report());
        assert_nothing_twice(&self.mixed.sandbox.requests()[sent..], &says);
    }
}

#[derive(Debug, Clone, Copy)]
enum Way {
    /// The request never came to the target.
    Unheard,
    /// It was done, and not answered.
    Unanswered,
    /// It was answered.
    Answered,
}

#[test]
fn killed_at_each_request_of_a_first_sync_it_ends_whole() {
    let mut kills = 0;
    for nth in 1.. {
        // The moments of a request take turns; every request has two of them.
        for way in [[Way::Unanswered, Way::Answered], [Way::Answered, Way::Unheard]][nth % 2] {
            let few = Export::of(4).group("Team", people(0..2)).group("Crew", people(1..4));
            let bench = Bench::new(few.group("Outer", ["Team"]));
            if !bench.kill_at(nth, way) {
                println!("killed {kills} times, at each of {} requests", nth - 1);
                assert!(nth > 15, "{nth}");
                return;
            }
            kills += 1;
            bench.heal(&format!("{way:?} {nth}"), 0);
        }
    }
}

#[test]
fn killed_at_each_request_of_a_mixed_cycle_it_ends_whole() {
    let mut bench = Bench::new(company());
    bench.mixed.idcsync.run(&["sync"]).exits(0);
    let mut kills = 0;
    for nth in 1.. {
        for way in [Way::Unanswered, Way::Answered] {
            bench.mixed.change();
            let sent = bench.mixed.sandbox.requests().len();
            if !bench.kill_at(nth, way) {
                println!("killed {kills} times, at each of {} requests", nth - 1);
                assert!(nth > 10, "{nth}");
                bench.mixed.assert_settled();
                return;
            }
            kills += 1;
            bench.heal(&format!("{way:?} {nth}"), sent);
        }
    }
}
