//! `idcsync run`: cycles by itself, asked for, paused and resumed over HTTP; its config changed under it; its directory,
//! target and database away and back; ended between two steps.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]

mod support;

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::export::{Export, people};
use support::idcsync::{Idcsync, Sandbox, is_write};
use support::ports::Loopback;
use support::postgres::Postgres;
use support::service::{self, Service};
use support::slapd::{Options, Slapd};

/// A small directory as a file, a sandbox, and what a service between them needs.
struct Bench {
    address: Loopback,
    sandbox: Sandbox,
    idcsync: Idcsync,
    export: Export,
    state: String,
    /// More of the config.
    more: String,
}

/// Next to never, so that only what is asked for runs.
const SELDOM: &str = "[schedule]\ncron = \"0 0 29 2 *\"\n";

impl Bench {
    fn new(options: &[&str]) -> Self {
        let bench = Self {
            address: Loopback::claim(),
            sandbox: Sandbox::start_with(options),
            idcsync: Idcsync::new(""),
            export: Export::of(12).group("All", people(0..12)).group("Some", people(0..4)),
            state: "[state]\nurl = \"sqlite:state.db\"\n".to_owned(),
            more: SELDOM.to_owned(),
        };
        bench.idcsync.write("http-token", "opensesame-opensesame\n");
        bench.publish();
        bench.configure();
        bench
    }

    fn publish(&self) {
        self.idcsync.write("directory.ldif", &self.export.text());
    }

    fn configure(&self) {
        self.idcsync.configure(&format!(
            "profile = \"p\"\n{}\n{}\n{}[guard]\nmax-percent = 100\n{}\n{}\n",
            Export::config(&["All", "Some"]),
            self.sandbox.target(),
            self.state,
            service::config(&self.address),
            self.more,
        ));
    }

    fn start(&self) -> Service {
        Service::start(&self.idcsync, &self.address, "service")
    }

    #[track_caller]
    fn assert_whole(&self) {
        self.export.expected(&["All", "Some"]).assert_same(&self.sandbox.store().contents());
    }
}

const FINISHED: &str = "cycle finished";

#[test]
fn it_runs_at_once_and_then_when_it_is_asked_to() {
    let mut bench = Bench::new(&[]);
    let service = bench.start();
    // No cycle was ever begun.
    let first = service.wait_for(FINISHED, 1);
    assert_eq!(first[0]["outcome"], "done");
    bench.assert_whole();
    let status = service.status();
    assert_eq!(status["lastCycle"]["outcome"], "done");
    assert_eq!(status["service"]["waitsFor"], Value::Null);

    bench.export = Export::of(12).group("All", people(0..12)).group("Some", people(2..6));
    bench.publish();
    let (code, body) = service.post("/api/sync", "");
    assert_eq!(code, 202, "{body}");
    service.wait_for(FINISHED, 2);
    bench.assert_whole();
    assert_eq!(service.metric("idcsync_cycles_total{outcome=\"done\",profile=\"p\"}"), Some(2.0));
    assert_eq!(service.logged("run begins")[1]["why"], "asked for");
    // One line a cycle, and nobody's name in the log.
    let text = format!("{:?}", service.log());
    assert!(!text.contains("p03"), "{text}");
}

#[test]
fn a_pause_holds_all_cycles_until_it_is_ended() {
    let mut bench = Bench::new(&[]);
    let service = bench.start();
    service.wait_for(FINISHED, 1);
    let (code, body) = service.post("/api/pause", r#"{"reason": "a change freeze", "by": "ada"}"#);
    assert_eq!(code, 200, "{body}");
    bench.export = Export::of(12).group("All", people(0..12)).group("Some", people(7..9));
    bench.publish();
    let (code, body) = service.post("/api/sync", "");
    assert_eq!(code, 409, "{body}");
    assert_eq!(service.status()["paused"]["reason"], "a change freeze");
    // Whoever looks from elsewhere sees the same.
    bench.idcsync.run(&["status"]).exits(0).says("by ada").says("a change freeze");
    let (code, body) = service.post("/api/resume", "");
    assert_eq!(code, 200, "{body}");
    let (code, body) = service.post("/api/sync", "");
    assert_eq!(code, 202, "{body}");
    service.wait_for(FINISHED, 2);
    bench.assert_whole();
}

#[test]
fn a_pause_ends_the_cycle_that_is_under_way() {
    let bench = Bench::new(&["--latency-ms", "1500"]);
    let service = bench.start();
    service.until("some writes", || bench.sandbox.requests().iter().any(is_write).then_some(()));
    bench.idcsync.run(&["pause", "--reason", "wrong group"]).exits(0).says("ends within seconds");
    let finished = service.wait_for(FINISHED, 1);
    assert_eq!(finished[0]["outcome"], "stopped");
    assert!(finished[0]["left"].as_u64() > Some(0), "{finished:?}");
    let writes = bench.sandbox.requests().iter().filter(|r| is_write(r)).count();
    bench.idcsync.run(&["resume"]).exits(0);
    service.sync_now();
    service.wait_for(FINISHED, 2);
    bench.assert_whole();
    assert!(bench.sandbox.requests().iter().filter(|r| is_write(r)).count() > writes);
}

/// The profile was paused for too long, and is resumed while everybody is being put out of use: the rest is spared.
#[test]
fn a_resume_ends_what_the_pause_has_led_to() {
    let mut bench = Bench::new(&[]);
    bench.export = Export::of(60).group("All", people(0..60)).group("Some", people(0..4));
    bench.publish();
    bench.idcsync.run(&["sync"]).exits(0);
    let config = fs::read_to_string(bench.idcsync.path("idcsync.toml")).unwrap();
    bench.idcsync.configure(&config.replace("per-second = 100000", "per-second = 3"));
    bench.idcsync.run(&["pause", "--reason", "a change freeze"]).exits(0);
    bench.idcsync.run_at("29d", &["sync"]).exits(0).complains("paused");
    let writes = || bench.sandbox.requests().iter().filter(|r| is_write(r)).count();
    let before = writes();
    let mut sweep = bench.idcsync.command(&["sync"]);
    sweep.env("IDCSYNC_CLOCK_SHIFT", "31d").stdout(Stdio::null()).stderr(Stdio::null());
    let mut sweep = sweep.spawn().unwrap();
    let since = Instant::now();
    while writes() == before {
        assert!(since.elapsed() < Duration::from_secs(120), "the sweep does not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
    bench.idcsync.run_at("31d", &["resume"]).exits(0);
    sweep.wait().unwrap();
    let left = bench.sandbox.store().contents().memberships();
    assert!((20..64).contains(&left), "{left} of 64 memberships are left");
}

#[test]
fn a_wrong_password_is_not_tried_until_the_account_is_locked() {
    let ldif = "dn: dc=ex,dc=test\nobjectClass: domain\ndc: ex\n";
    let slapd = Slapd::start_ldif(ldif, "dc=ex,dc=test", &Options::default());
    let bench = Bench::new(&[]);
    bench.idcsync.write("password", "not the one");
    bench.idcsync.configure(&format!(
        "profile = \"p\"\n[directory]\nkind = \"ldap\"\nurls = [\"{}\"]\nbase-dn = \"dc=ex,dc=test\"\n\
         bind = {{ dn = \"{}\", password-file = \"password\" }}\n\
         tls = {{ starttls = true, ca-file = \"{}\" }}\n[scope]\ngroups = [\"Crew\"]\n{}\n[state]\n\
         url = \"sqlite:state.db\"\n{}{SELDOM}",
        slapd.ldap_url(),
        slapd.reader_dn(),
        slapd.ca_file().display(),
        bench.sandbox.target(),
        service::config(&bench.address),
    ));
    let service = bench.start();
    service.until("the failure", || {
        (service.status()["service"]["last"]["outcome"] == "unreachable").then_some(())
    });
    // The first pause after another failure would be 15 seconds.
    std::thread::sleep(Duration::from_secs(18));
    assert_eq!(service.logged("run begins").len(), 1);
    assert_eq!(service.status()["service"]["next"], "2028-02-29T00:00:00Z");
    assert!(service.status()["findings"].to_string().contains("InvalidDirectoryCredentials"));
}

#[test]
fn a_term_ends_it_between_two_steps_with_everything_on_record() {
    let bench = Bench::new(&["--latency-ms", "80"]);
    let mut service = bench.start();
    service.until("some writes", || {
        (bench.sandbox.requests().iter().filter(|r| is_write(r)).count() > 5).then_some(())
    });
    let begun = Instant::now();
    service.server().stop();
    assert!(begun.elapsed() < Duration::from_secs(20));
    let stopped = service.logged("service stopped");
    assert_eq!(stopped.len(), 1, "{:#?}", service.log());
    assert_eq!(service.logged(FINISHED)[0]["outcome"], "stopped");
    // All that was done is on record: nothing is looked up, and nothing is done twice.
    bench.idcsync.run(&["sync"]).exits(0);
    bench.assert_whole();
    assert!(bench.sandbox.requests().iter().filter(|r| is_write(r)).all(|r| r["outcome"] == "ok"));
}

#[test]
fn a_changed_config_is_taken_up_and_a_broken_one_is_not() {
    let mut bench = Bench::new(&[]);
    let service = bench.start();
    service.wait_for(FINISHED, 1);

    let whole = fs::read_to_string(bench.idcsync.path("idcsync.toml")).unwrap();
    bench.idcsync.configure(&whole.replace("max-percent", "max-persent"));
    service.server_signal("HUP");
    service.until("the broken file", || {
        service.status()["service"]["configProblem"].as_str().map(str::to_owned)
    });
    assert_eq!(service.metric("idcsync_config_loaded{profile=\"p\"}"), Some(0.0));
    assert_eq!(service.post("/api/sync", "").0, 202);
    service.wait_for(FINISHED, 2);
    let text = service.status()["findings"].to_string();
    assert!(text.contains("ConfigInvalid") && text.contains("max-persent"), "{text}");

    // No signal: the file is looked at every few seconds.
    bench.more = format!("{SELDOM}jitter = \"1s\"\n");
    bench.export =
        Export::of(12).group("All", people(0..12)).group("Some", people(0..2)).group("New", people(3..6));
    bench.publish();
    bench.idcsync.configure(&whole.replace("\"Some\"", "\"Some\", \"New\""));
    service.wait_for("the config file was taken up", 1);
    assert_eq!(service.post("/api/sync", "").0, 202);
    service.wait_for(FINISHED, 3);
    bench.export.expected(&["All", "Some", "New"]).assert_same(&bench.sandbox.store().contents());
    assert_eq!(service.status()["findings"].as_array().map(Vec::len), Some(0));
    assert_eq!(service.metric("idcsync_config_loaded{profile=\"p\"}"), Some(1.0));

    // Another profile is another sync.
    bench.idcsync.configure(&whole.replace("profile = \"p\"", "profile = \"q\""));
    service.server_signal("HUP");
    let problem = service
        .until("the refusal", || service.status()["service"]["configProblem"].as_str().map(str::to_owned));
    assert!(problem.contains("start the service again"), "{problem}");
}

#[test]
fn a_directory_that_is_away_is_tried_again_before_the_next_slot() {
    let bench = Bench::new(&[]);
    let file = bench.idcsync.path("directory.ldif");
    let aside = bench.idcsync.path("aside.ldif");
    fs::rename(&file, &aside).unwrap();
    let service = bench.start();
    service.until("the failure", || {
        let last = service.status()["service"]["last"]["outcome"].clone();
        (last == "unreachable").then_some(())
    });
    assert_eq!(service.get("/healthz").0, 200);
    let text = service.status()["findings"].to_string();
    assert!(text.contains("DirectoryUnavailable"), "{text}");
    fs::rename(&aside, &file).unwrap();
    // After 15 seconds, although the next slot is years away.
    service
        .until("the second try", || (service.status()["service"]["last"]["outcome"] == "done").then_some(()));
    bench.assert_whole();
    assert_eq!(service.logged("run begins").last().unwrap()["why"], "the last one failed");
}

/// Ada in the crew, and Bo who is not, in a server whose changes can be followed.
fn crew() -> Slapd {
    let person = |name: &str| {
        format!(
            "dn: uid={name},dc=ex,dc=test\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: L\ngivenName: {name}\n\
             displayName: {name}\nmail: {name}@ex.test\n\n"
        )
    };
    let ldif = "dn: dc=ex,dc=test\nobjectClass: domain\ndc: ex\n\n".to_owned()
        + &person("ada")
        + &person("bo")
        + "dn: cn=Crew,dc=ex,dc=test\nobjectClass: groupOfNames\ncn: Crew\nmember: uid=ada,dc=ex,dc=test\n";
    let options = Options { syncprov: true, password_policy: true, ..Options::default() };
    Slapd::start_ldif(&ldif, "dc=ex,dc=test", &options)
}

fn config_of(bench: &Bench, slapd: &Slapd, urls: &str, more: &str) -> String {
    format!(
        "profile = \"p\"\n[directory]\nkind = \"ldap\"\nurls = [{urls}]\nbase-dn = \"dc=ex,dc=test\"\n\
         bind = {{ dn = \"{}\", password-file = \"password\" }}\n\
         tls = {{ starttls = true, ca-file = \"{}\" }}\ntimeout = \"5s\"\n[scope]\ngroups = [\"Crew\"]\n{}\n[state]\n\
         url = \"sqlite:state.db\"\n{}{more}",
        slapd.reader_dn(),
        slapd.ca_file().display(),
        bench.sandbox.target(),
        service::config(&bench.address),
    )
}

#[test]
fn a_directory_server_that_fails_over_is_left_for_the_next_one() {
    let (slapd, nobody) = (crew(), Loopback::claim());
    let bench = Bench::new(&[]);
    bench.idcsync.write("password", slapd.password());
    let urls = format!("\"ldap://{}\", \"{}\"", nobody.at(389), slapd.ldap_url());
    bench.idcsync.configure(&config_of(&bench, &slapd, &urls, SELDOM));
    let service = bench.start();
    let first = service.wait_for(FINISHED, 1);
    assert_eq!(first[0]["outcome"], "done");
    assert_eq!(bench.sandbox.store().contents().memberships(), 1);
}

/// The next slot of the schedule is years away.
#[test]
fn a_change_in_the_directory_is_followed_at_once() {
    const CREW: &str = "cn=Crew,dc=ex,dc=test";
    let mut slapd = crew();
    let bench = Bench::new(&[]);
    bench.idcsync.write("password", slapd.password());
    let more = format!("{SELDOM}full-read-every = \"24h\"\nfollow = \"1s\"\n[guard]\nmax-percent = 100\n");
    let urls = format!("\"{}\"", slapd.ldap_url());
    bench.idcsync.configure(&config_of(&bench, &slapd, &urls, &more));
    let service = bench.start();
    let crew = |names: &[&str]| {
        service.until("the crew", || {
            let contents = bench.sandbox.store().contents();
            let members = contents.members.values().flatten().map(|name| name.split('@').next().unwrap());
            members.eq(names.iter().copied()).then_some(())
        });
    };
    crew(&["ada"]);
    service.wait_for(FINISHED, 2);
    let admin = slapd.admin();
    admin.add_member(CREW, "uid=bo,dc=ex,dc=test");
    crew(&["ada", "bo"]);
    service.wait_for(FINISHED, 4);
    admin.remove_member(CREW, "uid=ada,dc=ex,dc=test");
    crew(&["bo"]);
    service.wait_for(FINISHED, 5);
    admin.replace("uid=bo,dc=ex,dc=test", "displayName", &["Bo Berg"]);
    // Who is new makes it look at everything, and then once more, to rest on that; who leaves does not, nor does a name.
    let runs = service.wait_for(FINISHED, 6);
    assert_eq!(runs[0]["changed"], Value::Null, "{runs:?}");
    // The group; and the account by which it is read, which has signed in.
    assert_eq!(runs[2]["changed"], 2, "{runs:?}");
    let why: Vec<Value> = service.logged("run begins").iter().map(|begun| begun["why"].clone()).collect();
    let (rest, news) = ("the last one has done something", "the directory has changed");
    assert_eq!(why, ["due", rest, news, rest, news, news]);
    let parts: Vec<bool> = runs.iter().map(|run| run["part"] == true).collect();
    assert_eq!(parts, [false, false, false, false, true, true], "{runs:?}");
    assert!(bench.sandbox.store().users().iter().any(|user| user["DisplayName"] == "Bo Berg"));
    // What changes while it cannot be followed is not lost.
    slapd.kill();
    service.wait_for_start("changes of the directory cannot be followed");
    slapd.restart();
    slapd.admin().add_member(CREW, "uid=ada,dc=ex,dc=test");
    crew(&["ada", "bo"]);
}

/// Wrong passwords lock accounts, idcsync's own among them.
#[test]
fn a_refused_account_is_not_tried_at_each_look() {
    let mut slapd = crew();
    let bench = Bench::new(&[]);
    bench.idcsync.write("password", slapd.password());
    let more = format!("{SELDOM}full-read-every = \"24h\"\nfollow = \"1s\"\n");
    bench.idcsync.configure(&config_of(&bench, &slapd, &format!("\"{}\"", slapd.ldap_url()), &more));
    let service = bench.start();
    service.wait_for(FINISHED, 2);
    slapd.admin().replace(&slapd.reader_dn(), "userPassword", &["another secret"]);
    slapd.restart();
    service.wait_for_start("changes of the directory cannot be followed");
    // So many looks later.
    std::thread::sleep(std::time::Duration::from_secs(6));
    let failures = slapd.admin().search(&["-b", &slapd.reader_dn(), "(objectClass=*)", "pwdFailureTime"]);
    let failures = failures.matches("pwdFailureTime:").count();
    assert_eq!(failures, 1, "{:?}", service.logged("cannot be followed"));
}

#[test]
fn the_state_database_goes_away_and_comes_back() {
    let mut postgres = Postgres::start();
    let mut bench = Bench::new(&[]);
    bench.state = postgres.state(&bench.idcsync.path(""));
    bench.configure();
    let service = bench.start();
    service.wait_for(FINISHED, 1);
    assert_eq!(service.get("/readyz").0, 200);
    postgres.kill();
    service.until("it is not ready", || (service.get("/readyz").0 == 503).then_some(()));
    let (_, body) = service.get("/readyz");
    assert!(body.contains("the state database"), "{body}");
    assert_eq!(service.get("/healthz").0, 200);
    postgres.restart();
    service.until("it is ready", || (service.get("/readyz").0 == 200).then_some(()));
    bench.export = Export::of(12).group("All", people(0..12)).group("Some", people(5..9));
    bench.publish();
    assert_eq!(service.post("/api/sync", "").0, 202);
    service.wait_for(FINISHED, 2);
    bench.assert_whole();
}

/// How far this is from now, as IDCSYNC_CLOCK_SHIFT has it.
fn shift_to(time: &str) -> String {
    let there: jiff::Timestamp = time.parse().unwrap();
    format!("{}s", there.duration_since(jiff::Timestamp::now()).as_secs())
}

/// Begins of runs, without the date.
fn begins(service: &Service) -> Vec<String> {
    service.logged("run begins").iter().map(|l| l["why"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_slot_that_the_clocks_skip_runs_once_and_one_that_comes_twice_runs_once() {
    let mut bench = Bench::new(&[]);
    bench.more = "[schedule]\ncron = \"30 2 * * *\"\ntimezone = \"Europe/Zurich\"\n".to_owned();
    bench.configure();
    let at = |time: &str| {
        let mut command = bench.idcsync.command(&["run"]);
        command.env("IDCSYNC_CLOCK_SHIFT", shift_to(time));
        Service::start_as(command, &bench.idcsync, &bench.address, "service")
    };
    // At 01:59:5x; the clocks go from 02:00 to 03:00, and 02:30 is not there.
    let mut spring = at("2027-03-28T00:59:48Z");
    spring.wait_for(FINISHED, 2);
    assert_eq!(begins(&spring), ["due", "due"]);
    let begun = spring.status()["lastCycle"]["started"].as_str().unwrap().to_owned();
    assert!(begun.starts_with("2027-03-28T01:00:0"), "{begun}");
    let next = spring.status()["service"]["next"].as_str().unwrap().to_owned();
    assert_eq!(next, "2027-03-29T00:30:00Z");
    spring.server().stop();

    // In summer time 02:30 is 00:30 UTC; an hour later it is 02:30 again.
    let mut first = at("2027-10-31T00:29:50Z");
    // What went by since the spring is made up for once.
    first.wait_for(FINISHED, 2);
    let begun = first.status()["lastCycle"]["started"].as_str().unwrap().to_owned();
    assert!(begun.starts_with("2027-10-31T00:30:0"), "{begun}");
    first.server().stop();
    let second = at("2027-10-31T01:29:58Z");
    // 02:30 passes for the second time.
    std::thread::sleep(Duration::from_secs(8));
    assert!(begins(&second).is_empty());
    assert_eq!(second.status()["service"]["next"], "2027-11-01T01:30:00Z");
}

#[test]
fn what_cannot_start_says_so_and_ends() {
    let bench = Bench::new(&[]);
    let _taken = std::net::TcpListener::bind(bench.address.at(8080)).unwrap();
    bench.idcsync.run(&["run"]).exits(2).complains("cannot listen on").complains("[service] listen");
    bench.idcsync.configure("profile = \"p\"\n");
    bench.idcsync.run(&["run"]).exits(2);
}
