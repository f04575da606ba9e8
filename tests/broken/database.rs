//! PostgreSQL that is killed, restarted and cut off, between two cycles, in the middle of one, and right at a COMMIT of
//! which nobody hears whether it was done.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::bench::Mixed;
use super::support::cuts::assert_nothing_twice;
use super::support::idcsync::{Run, Sandbox, is_write};
use super::support::postgres::Postgres;
use super::support::proxy::{How, Proxy};

/// As the driver sends it: a simple query.
const COMMIT: &[u8] = b"COMMIT\0";

struct Bench {
    mixed: Mixed,
    postgres: Postgres,
    proxy: Proxy,
}

impl Bench {
    fn new(sandbox: &[&str]) -> Self {
        let mixed = Mixed::new(Sandbox::start_with(sandbox));
        let postgres = Postgres::start();
        let state = postgres.state(&mixed.idcsync.path(""));
        let place = state.split(['@', '/']).find_map(|part| part.parse().ok()).expect("the server's address");
        let proxy = Proxy::start(place);
        let state = state.replace(&place.to_string(), &proxy.address().to_string());
        mixed.configure(&mixed.sandbox.target(), &state);
        mixed.idcsync.run(&["sync"]).exits(0);
        mixed.assert_whole();
        Self { mixed, postgres, proxy }
    }

    fn start(&self) -> Child {
        let mut command = self.mixed.idcsync.command(&["sync"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start idcsync")
    }

    fn writes(&self) -> usize {
        self.mixed.sandbox.requests().iter().filter(|r| is_write(r)).count()
    }

    /// Waits until this many writes more have been sent; false where the run has ended before.
    fn wait_for_writes(&self, child: &mut Child, before: usize, more: usize) -> bool {
        let begun = Instant::now();
        while self.writes() < before + more {
            assert!(begun.elapsed() < Duration::from_secs(60), "idcsync stands still");
            if child.try_wait().expect("its state").is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Whatever it came to: one healthy run, and nothing was sent twice.
    #[track_caller]
    fn assert_healed(&self, what: &str, code: i32, text: &str, sent: usize) {
        let says = |why: &str| format!("{what}: {why}\n{text}");
        match code {
            0 => self.mixed.assert_whole(),
            6 => {
                let told = ["could not be reached", "the lease on", "did not answer"];
                assert!(told.iter().any(|words| text.contains(words)), "{}", says("no reason"));
                assert!(
                    text.contains("postgres://") || text.contains("lease"),
                    "{}",
                    says("the database is not named")
                );
            }
            other => panic!("{}", says(&format!("exit code {other}"))),
        }
        let run = self.mixed.idcsync.run(&["sync"]).exits(0);
        self.mixed.assert_whole();
        let says = |why: &str| format!("{what}: {why}\n{text}\n{}", run.report());
        assert_nothing_twice(&self.mixed.sandbox.requests()[sent..], &says);
    }
}

fn text_of(child: Child) -> (i32, String) {
    let output = child.wait_with_output().expect("idcsync ends");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("an exit code"), String::from_utf8(text).expect("UTF-8"))
}

fn error(text: &str) -> &str {
    text.lines().find(|line| line.starts_with("error: ")).unwrap_or("(nothing)")
}

#[test]
fn each_commit_of_a_cycle_may_be_lost_or_its_answer_and_nothing_is_done_twice() {
    let mut bench = Bench::new(&[]);
    let (mut tried, mut said) = (0, std::collections::BTreeMap::<String, usize>::new());
    'every: for nth in 1.. {
        // Whether the server heard it; what it did not is rolled back, which is the simpler case.
        let ways = if nth % 3 == 0 { &[true, false][..] } else { &[true] };
        for heard in ways.iter().copied() {
            bench.mixed.change();
            let sent = bench.mixed.sandbox.requests().len();
            let how = if nth % 2 == 0 { How::Reset } else { How::End };
            if heard {
                bench.proxy.at_answer(COMMIT, nth, how);
            } else {
                bench.proxy.at_request(COMMIT, nth, how);
            }
            let Run { code, stdout, stderr, .. } = bench.mixed.idcsync.run(&["sync"]);
            let struck = bench.proxy.tripped() > 0;
            bench.proxy.pass();
            let text = stdout + &stderr;
            bench.assert_healed(&format!("COMMIT {nth}, done: {heard}"), code, &text, sent);
            if !struck {
                assert!(nth > 10, "{nth}");
                break 'every;
            }
            tried += 1;
            *said.entry(format!("{code}: {}", error(&text))).or_default() += 1;
        }
    }
    println!("{tried} commits cut: {said:#?}");
    bench.mixed.assert_settled();
}

#[test]
fn a_server_that_ends_its_sessions_while_a_cycle_applies_leaves_nothing_done_twice() {
    let mut bench = Bench::new(&["--latency-ms", "25"]);
    let end =
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'idcsync'";
    for after in [1, 3, 5, 8, 11] {
        bench.mixed.change();
        let sent = bench.mixed.sandbox.requests().len();
        let before = bench.writes();
        let mut child = bench.start();
        assert!(bench.wait_for_writes(&mut child, before, after));
        assert_ne!(bench.postgres.psql(end).trim(), "0");
        let (code, text) = text_of(child);
        println!("ended after {after} writes: exit {code}: {}", error(&text));
        bench.assert_healed(&format!("ended after {after} writes"), code, &text, sent);
    }
}

#[test]
fn a_server_that_crashes_or_restarts_in_a_cycle_or_between_two_leaves_nothing_done_twice() {
    let mut bench = Bench::new(&["--latency-ms", "25"]);
    for (after, crash, back) in [
        (1, true, true),
        (4, false, true),
        (9, true, true),
        (2, false, false),
        (6, true, false),
        (10, false, false),
    ] {
        bench.mixed.change();
        let sent = bench.mixed.sandbox.requests().len();
        let before = bench.writes();
        let mut child = bench.start();
        assert!(bench.wait_for_writes(&mut child, before, after));
        if crash {
            bench.postgres.kill();
        } else {
            bench.postgres.stop();
        }
        // Back while the run still is, or not before it has ended.
        let (code, text) = if back {
            bench.postgres.restart();
            text_of(child)
        } else {
            let ended = text_of(child);
            // Between two cycles: nothing can be done, and nothing is.
            let (run, requests) = bench.mixed.sandbox.requests_of(|| bench.mixed.idcsync.run(&["sync"]));
            run.exits(6).complains("could not be reached: check host, port and network");
            assert!(requests.is_empty(), "{requests:?}");
            bench.postgres.restart();
            ended
        };
        println!("crash: {crash}, back at once: {back}, after {after} writes: exit {code}: {}", error(&text));
        bench.assert_healed(&format!("{after} {crash} {back}"), code, &text, sent);
    }
    bench.mixed.assert_settled();
}
