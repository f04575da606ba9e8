//! A real Active Directory domain controller (Samba) that is cut off in the middle of a read, and one that does not let
//! the account in any more, for every reason that it knows: nothing is taken away, nothing is tried twice, and the words
//! say what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test, a panic is the report")]
#![allow(clippy::print_stdout, reason = "the counts are for whoever runs it with --no-capture")]

mod support;

use support::company::ScopeGroup;
use support::contents::Contents;
use support::cuts::{Flip, Tally, fault, places};
use support::idcsync::{Idcsync, Sandbox, is_write};
use support::ldap;
use support::oracle::{Kind, Question};
use support::proxy::{How, Proxy};
use support::samba::{Samba, content};

const DOMAIN: &str = "corp.example.com";
const BASE: &str = "DC=corp,DC=example,DC=com";
const SCOPE: [&str; 3] = ["Red", "Blue", "Green"];

fn person(number: usize) -> String {
    format!("CN=User {number},OU=People,{BASE}")
}

fn group(name: &str) -> String {
    format!("CN={name},OU=Groups,{BASE}")
}

/// Thirty people in three groups, one of them within another; and an account for each reason not to let one in.
fn content() -> String {
    let mut ldif: String = ["People", "Groups", "Service"].map(|unit| content::unit(unit, BASE)).concat();
    for number in 0..30 {
        ldif += &content::user(&person(number), number, DOMAIN);
    }
    for name in SCOPE {
        ldif += &content::group(&group(name), name);
    }
    ldif += &content::members(&group("Red"), (0..12).map(person));
    ldif += &content::members(&group("Blue"), (8..24).map(person));
    ldif += &content::members(&group("Green"), (24..28).map(person).chain([group("Red")]));
    ldif
}

struct Bench {
    samba: Samba,
    sandbox: Sandbox,
    idcsync: Idcsync,
}

impl Bench {
    fn new() -> Self {
        let samba = Samba::start_ldif(DOMAIN, &content());
        let bench = Self { samba, sandbox: Sandbox::start(), idcsync: Idcsync::new("") };
        bench.idcsync.write("password", bench.samba.password());
        bench
    }

    fn configure(&self, urls: &[String], bind: &str, timeout: &str) {
        self.idcsync.configure(&format!(
            "profile = \"p\"\n[directory]\nkind = \"active-directory\"\nurls = {urls:?}\nbase-dn = \"{BASE}\"\n\
             bind = {{ dn = \"{bind}\", password-file = \"password\" }}\ntls = {{ ca-file = \"{}\" }}\n\
             allow-plaintext = true\npage-size = 7\ntimeout = \"{timeout}\"\n[scope]\ngroups = {SCOPE:?}\n{}\n\
             [guard]\nmax-percent = 100\n[state]\nurl = \"sqlite:state.db\"\n",
            self.samba.ca_file().display(),
            self.sandbox.target()
        ));
    }

    fn turn(&self, on: bool) {
        let (here, there) = if on { ("delete", "add") } else { ("add", "delete") };
        let change = ldap::change_member;
        self.samba.admin().modify(
            &(change(&group("Red"), here, &person(3))
                + &change(&group("Blue"), here, &person(20))
                + &change(&group("Blue"), there, &person(1))
                + &change(&group("Green"), there, &person(29))),
        );
    }

    fn expected(&self) -> Contents {
        let scope = SCOPE.map(ScopeGroup::written).to_vec();
        Question::new(Kind::ActiveDirectory, scope).answer(&self.samba.dump())
    }

    fn flip<'a>(&'a self, proxy: &'a Proxy) -> Flip<'a> {
        Flip::new(&self.idcsync, &self.sandbox, proxy, |on| self.turn(on), || self.expected())
    }
}

fn place(url: &str, port: u16) -> std::net::SocketAddr {
    let (_, host) = url.split_once("://").expect("a url");
    format!("{host}:{port}").parse().expect("an address")
}

#[test]
fn samba_cut_off_anywhere_in_a_read_costs_nobody_anything() {
    let bench = Bench::new();
    let proxy = Proxy::start(place(&bench.samba.ldap_url(), 389));
    let url = format!("ldap://{}", proxy.address());
    bench.configure(&[url], &bench.samba.bind_dn(), "5s");
    let mut flip = bench.flip(&proxy);
    let (length, ends) = flip.measure();
    let mut tally = Tally::default();
    // Every second end of an answer: those of slapd are all held by `broken`.
    let some: Vec<usize> = ends.iter().step_by(2).copied().collect();
    for (nth, at) in places(length, 16, &some).into_iter().enumerate() {
        let (how, once) = fault(nth);
        let what = format!("{how:?} after {at} of {length} bytes, once: {once}");
        flip.try_one(&what, &mut tally, |proxy| proxy.after_bytes(at, how, once));
    }
    flip.rest();
    println!("cut in {length} bytes, {} answers: {tally:#?}", ends.len());
    assert!(tally.tried >= 25 && tally.refused > tally.whole, "{tally:?}");

    // Over TLS, where a byte is no byte of LDAP; and silence.
    let secure = Proxy::start(place(&bench.samba.ldaps_url(), 636));
    let url = format!("ldaps://localhost:{}", secure.address().port());
    bench.configure(&[url], &bench.samba.bind_dn(), "1s");
    bench.idcsync.run(&["sync"]).exits(0);
    let mut flip = bench.flip(&secure);
    let length = flip.measure_opaque();
    let mut tally = Tally::default();
    for (nth, part) in [15, 45, 60, 75, 90].into_iter().enumerate() {
        let how = [How::End, How::Reset, How::Stall][nth % 3];
        let what = format!("{how:?} at {part} %");
        flip.try_one(&what, &mut tally, |proxy| proxy.after_bytes(length * part / 100, how, nth % 2 == 0));
    }
    println!("over TLS, {length} bytes: {tally:#?}");
    flip.assert_settled();
}

/// What becomes of the account, and what is said of it.
#[test]
fn samba_that_does_not_let_the_account_in_says_why_and_is_asked_once() {
    let bench = Bench::new();
    let good = bench.samba.bind_dn();
    let proxies = [636, 636].map(|port| Proxy::start(place(&bench.samba.ldaps_url(), port)));
    let urls = proxies.each_ref().map(|p| format!("ldaps://localhost:{}", p.address().port()));
    bench.configure(&urls, &good, "5s");
    bench.idcsync.run(&["sync"]).exits(0);
    let before = bench.sandbox.store().contents();
    assert!(before.memberships() > 30);
    let admin = bench.samba.admin();
    // Three wrong passwords lock an account here.
    admin.modify(&format!(
        "dn: {BASE}\nchangetype: modify\nreplace: lockoutThreshold\nlockoutThreshold: 3\n-\nreplace: lockoutDuration\n\
         lockoutDuration: -18000000000\n-\nreplace: lockOutObservationWindow\nlockOutObservationWindow: -18000000000\n-\n\n"
    ));
    let wrong = |dn: &str| {
        let mut client = bench.samba.reader();
        client.bind_dn = dn.to_owned();
        client.password = "not the one".to_owned();
        assert!(!client.try_search(&["-b", "", "-s", "base"]).status.success());
    };
    let bad = |dn: &str| {
        let answer = admin.search(&["-b", dn, "-s", "base", "(objectClass=*)", "badPwdCount"]);
        let count = answer.lines().find_map(|l| l.strip_prefix("badPwdCount: ")).unwrap_or("0").to_owned();
        count.parse::<usize>().expect("a number")
    };
    for (name, words) in [
        ("wrong", "the name or the password is wrong; check `bind`"),
        ("must-change", "the account must change its password first; set one without that flag"),
        ("expired-password", "the password of the account has expired; set a new one"),
        ("locked", "the account is locked; unlock it, and find out who uses an old password"),
        ("disabled", "the account is disabled; enable it"),
        ("expired", "the account has expired; extend it"),
        ("hours", "the account may not sign in at this time or from this computer; lift the restriction"),
        ("missing", "the name or the password is wrong"),
    ] {
        let dn = format!("CN={name},OU=Service,{BASE}");
        if name != "missing" {
            account(&bench, name, &dn);
        }
        let replace = |attribute: &str, value: &str| admin.replace(&dn, attribute, &[value]);
        match name {
            "wrong" => drop(bench.idcsync.write("password", "not the one")),
            "must-change" => replace("pwdLastSet", "0"),
            // Set in 2012, which LDAP lets nobody say.
            "expired-password" => bench.samba.ldbmodify_with(
                &["--controls=local_oid:1.3.6.1.4.1.7165.4.3.20:0"],
                &format!("dn: {dn}\nchangetype: modify\nreplace: pwdLastSet\npwdLastSet: 130000000000000000\n-\n\n"),
            ),
            "locked" => (0..3).for_each(|_| wrong(&dn)),
            "disabled" => replace("userAccountControl", "514"),
            "expired" => replace("accountExpires", "130000000000000000"),
            "hours" => admin.modify(&format!(
                "dn: {dn}\nchangetype: modify\nreplace: logonHours\nlogonHours:: AAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-\n\n"
            )),
            _ => {}
        }
        bench.configure(&urls, &dn, "5s");
        for (nth, arguments) in [&["sync"][..], &["check"]].into_iter().enumerate() {
            let connections = proxies.each_ref().map(Proxy::connections);
            let (run, requests) = bench.sandbox.requests_of(|| bench.idcsync.run(arguments));
            let run = run.exits(6).never_says(bench.samba.password());
            let text = format!("{}{}", run.stdout, run.stderr);
            assert!(words.split("; ").all(|part| text.contains(part)), "{name}: {}", run.report());
            // `check` tries what cannot succeed.
            let written = |request: &serde_json::Value| is_write(request) && request["outcome"] == "ok";
            assert!(!requests.iter().any(written), "{requests:?}");
            let now = proxies.each_ref().map(Proxy::connections);
            // It reaches each server before it signs in to one.
            if arguments[0] != "check" {
                assert_eq!(now, [connections[0] + 1, connections[1]], "{name}: one try, and none elsewhere");
            }
            if name == "wrong" {
                assert_eq!(bad(&dn), nth + 1, "one wrong password for a run");
            }
            if let Some(line) = run.stderr.lines().find(|l| l.starts_with("error: ")) {
                println!("{name}: {line}");
            }
        }
        bench.idcsync.run(&["status"]).exits(0).says("InvalidDirectoryCredentials");
        bench.idcsync.write("password", bench.samba.password());
        bench.configure(&urls, &good, "5s");
        bench.idcsync.run(&["sync"]).exits(0).says("Nothing to do");
        bench.idcsync.run(&["status"]).exits(0).never_says("InvalidDirectoryCredentials");
    }
    before.assert_same(&bench.sandbox.store().contents());
}

fn account(bench: &Bench, name: &str, dn: &str) {
    let quoted: Vec<u8> =
        format!("\"{}\"", bench.samba.password()).encode_utf16().flat_map(u16::to_le_bytes).collect();
    use base64::Engine as _;
    let password = base64::engine::general_purpose::STANDARD.encode(quoted);
    bench.samba.admin().modify(&format!(
        "dn: {dn}\nchangetype: add\nobjectClass: user\nsAMAccountName: svc-{name}\nuserAccountControl: 512\n\
         unicodePwd:: {password}\n\n"
    ));
}
