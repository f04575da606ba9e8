//! slapd that ends its answers by limits, takes rights away in the middle of a read, and dies in the middle of an answer.

use std::process::{Child, Stdio};
use std::time::Duration;

use super::bench::{BASE, Bench, expected, ldif, turn};
use super::support::cuts::{Flip, assert_between};
use super::support::idcsync::is_write;
use super::support::ports::Loopback;
use super::support::proxy::{How, Proxy};
use super::support::service::{self, Service};
use super::support::slapd::{Options, Slapd};

/// Who may see what is said by the members of these groups: so it can be changed while the server runs.
const RIGHTS: [&str; 3] = ["see-members", "see-groups", "see-people"];

fn rights() -> Options {
    let by = |group: &str| format!("by group.exact=\"cn={group},{BASE}\" read by * none");
    let access = vec![
        format!("access to dn.subtree=\"ou=groups,{BASE}\" attrs=member {}", by("see-members")),
        format!("access to dn.subtree=\"ou=groups,{BASE}\" {}", by("see-groups")),
        format!("access to dn.subtree=\"ou=people,{BASE}\" {}", by("see-people")),
    ];
    Options { access, ..Options::default() }
}

fn content() -> String {
    let groups = RIGHTS.map(|name| {
        format!(
            "dn: cn={name},{BASE}\nobjectClass: groupOfNames\ncn: {name}\nmember: cn=admin,{BASE}\n\
             member: cn=reader,{BASE}\n\n"
        )
    });
    ldif("") + &groups.concat()
}

fn start(bench: &Bench) -> Child {
    let mut command = bench.idcsync.command(&["sync"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start idcsync")
}

/// Exit code, and all that was said.
fn finish(child: Child) -> (i32, String) {
    let output = child.wait_with_output().expect("idcsync ends");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().expect("an exit code"), String::from_utf8(text).expect("UTF-8"))
}

#[test]
fn rights_that_are_taken_away_between_and_during_reads_cost_nobody_anything() {
    let slapd = Slapd::start_ldif(&content(), BASE, &rights());
    let proxy = Proxy::start(slapd.ldap_url().trim_start_matches("ldap://").parse().unwrap());
    let bench = Bench::around(slapd, proxy);
    let mut flip = bench.flip();
    let (length, _) = flip.measure();
    let admin = bench.slapd.admin();
    let reader = bench.slapd.reader_dn();
    let mut tried = 0;
    for right in RIGHTS {
        let group = format!("cn={right},{BASE}");
        for part in [0, 20, 40, 60, 80] {
            let (before, after) = flip.turn();
            let child = if part == 0 {
                admin.remove_member(&group, &reader);
                start(&bench)
            } else {
                bench.proxy.after_bytes(length * part / 100, How::Stall, true);
                let mut child = start(&bench);
                bench.proxy.wait(|| child.try_wait().expect("its state").is_some());
                admin.remove_member(&group, &reader);
                bench.proxy.pass();
                child
            };
            let (code, text) = finish(child);
            let says = |why: &str| format!("{right} taken away at {part} %: {why}\n{text}");
            assert!([0, 4, 6].contains(&code), "{}", says(&code.to_string()));
            assert_between(&before, &after, &bench.contents(), &says);
            if part == 0 {
                let line =
                    text.lines().find(|l| ["Unread", "NotFound", "suddenly"].iter().any(|w| l.contains(w)));
                println!(
                    "{right}: exit {code}: {}",
                    line.unwrap_or_else(|| panic!("{}", says("nothing said")))
                );
            }
            admin.add_member(&group, &reader);
            bench.idcsync.run(&["sync"]).exits(0);
            flip.assert_whole();
            tried += 1;
        }
    }
    flip.assert_settled();
    assert_eq!(tried, 15);
}

#[test]
fn a_size_limit_below_the_groups_costs_nobody_anything() {
    let limit = "size.soft=8 size.hard=8 size.prtotal=8";
    let limits = vec![format!("limits dn.exact=\"cn=limited,{BASE}\" {limit}")];
    let bench = Bench::with(&Options { limits, ..Options::default() }, "");
    let mut flip = bench.flip();
    // Who asks for few at a time is never shown too many.
    for (page, code) in [(3, 0), (10, 6), (1000, 6)] {
        let (before, after) = flip.turn();
        bench.plain(&bench.slapd.limited_dn(), page, "5s", "");
        let run = bench.idcsync.run(&["sync"]).exits(code);
        assert_between(&before, &after, &bench.contents(), &|why| {
            format!("page {page}: {why}\n{}", run.report())
        });
        if code == 6 {
            let run =
                run.complains("sizeLimitExceeded").complains("error: the directory was not read to its end");
            println!("{}", run.stderr.lines().last().unwrap());
        }
        bench.plain(&bench.slapd.reader_dn(), 7, "5s", "");
        bench.idcsync.run(&["sync"]).exits(0);
        flip.assert_whole();
    }
    flip.assert_settled();
}

/// Entries so large that the server waits for its client to take them, through a relay that takes in little ahead.
fn large() -> Bench {
    let options = Options {
        limits: vec![format!("limits dn.exact=\"cn=limited,{BASE}\" size=unlimited time.soft=1 time.hard=1")],
        ..Options::default()
    };
    let slapd = Slapd::start_ldif(&ldif(&format!("description: {}\n", "x".repeat(300_000))), BASE, &options);
    let proxy = Proxy::start_narrow(slapd.ldap_url().trim_start_matches("ldap://").parse().unwrap(), 4096);
    let bench = Bench::around(slapd, proxy);
    bind(&bench, &bench.slapd.reader_dn());
    bench
}

fn bind(bench: &Bench, dn: &str) {
    let more = "[mapping.user]\n\"nickName\" = { jmespath = \"description && 'x'\" }\n";
    bench.plain(dn, 1000, "10s", more);
}

#[test]
fn a_time_limit_in_the_middle_of_an_answer_costs_nobody_anything() {
    let bench = large();
    let mut flip = bench.flip();
    for at in [400_000, 1_500_000] {
        let (before, after) = flip.turn();
        bind(&bench, &bench.slapd.limited_dn());
        bench.proxy.after_bytes(at, How::Stall, true);
        let mut child = start(&bench);
        assert!(bench.proxy.wait(|| child.try_wait().expect("its state").is_some()), "it ended before");
        // The server counts whole seconds.
        std::thread::sleep(Duration::from_millis(2_300));
        bench.proxy.pass();
        let (code, text) = finish(child);
        assert!(code == 6 && text.contains("timeLimitExceeded"), "{code}\n{text}");
        assert_between(&before, &after, &bench.contents(), &|why| format!("{why}\n{text}"));
        println!("{}", text.lines().last().unwrap());
        bind(&bench, &bench.slapd.reader_dn());
        bench.idcsync.run(&["sync"]).exits(0);
        flip.assert_whole();
    }
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_an_answer_costs_nobody_anything() {
    let mut bench = large();
    let slapd = &bench.slapd;
    let (sandbox, idcsync, proxy) = (&bench.sandbox, &bench.idcsync, &bench.proxy);
    // The state in which the directory is, by hand: the server itself comes and goes here.
    let flip = Flip::new(idcsync, sandbox, proxy, |on| turn(slapd, on), || expected(slapd));
    let both = flip.expected.clone();
    drop(flip);
    for (nth, at) in [2_000, 100_000, 900_000, 3_000_000, 7_000_000].into_iter().enumerate() {
        let now = nth % 2 == 0;
        turn(&bench.slapd, now);
        let (before, after) = (&both[usize::from(!now)], &both[usize::from(now)]);
        bench.proxy.after_bytes(at, How::Stall, false);
        let mut child = start(&bench);
        assert!(bench.proxy.wait(|| child.try_wait().expect("its state").is_some()), "it ended before");
        bench.slapd.kill();
        bench.proxy.pass();
        let (code, text) = finish(child);
        assert_eq!(code, 6, "killed after {at} bytes\n{text}");
        assert_between(before, after, &bench.contents(), &|why| format!("after {at} bytes: {why}\n{text}"));
        println!("{}", text.lines().last().unwrap());
        let (run, requests) = bench.sandbox.requests_of(|| bench.idcsync.run(&["sync"]));
        run.exits(6).complains("no directory server could be used");
        assert!(!requests.iter().any(is_write));
        bench.slapd.restart();
        bench.idcsync.run(&["sync"]).exits(0);
        after.assert_same(&bench.contents());
    }
}

#[test]
fn a_server_that_is_restarted_while_the_service_runs_is_read_again() {
    let mut bench = Bench::new();
    let flip = bench.flip();
    let both = flip.expected.clone();
    drop(flip);
    let address = Loopback::claim();
    bench.idcsync.write("http-token", "opensesame-opensesame\n");
    let more = format!("{}[schedule]\ncron = \"0 0 29 2 *\"\n", service::config(&address));
    bench.plain(&bench.slapd.reader_dn(), 7, "5s", &more);
    let service = Service::start(&bench.idcsync, &address, "service");
    let run = || {
        let last = || service.status()["service"]["last"].clone();
        let before = last()["ended"].clone();
        service.sync_now();
        service.until("the end of the run", || Some(last()).filter(|last| last["ended"] != before))
    };
    turn(&bench.slapd, true);
    assert_eq!(run()["outcome"], "done");
    both[1].assert_same(&bench.contents());
    bench.slapd.kill();
    assert_eq!(run()["outcome"], "unreachable");
    both[1].assert_same(&bench.contents());
    bench.slapd.restart();
    turn(&bench.slapd, false);
    assert_eq!(run()["outcome"], "done");
    both[0].assert_same(&bench.contents());
}
