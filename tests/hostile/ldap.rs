//! LDAP servers that are none, or that want to bring down who asks them.

use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::fake::{Fake, domain, names};
use super::fake_ldap::{Behaviour, FakeLdap, Twist, ended};
use super::raw::{Raw, endlessly, ldap_message, ldap_request, ldap_result, tlv};
use super::screen::{HOSTILE, Screened as _};
use super::support::idcsync::{Idcsync, Run};
use super::support::process::output;
use ldap3_proto::proto::{LdapOp, LdapResultCode, LdapSearchResultReference};

const TARGET: &str = "[target]\nkind = \"sandbox\"\nstore = \"store.json\"\nrequests-per-second = 100000\n";

/// The command with no more address space than this, in kilobytes: what grows without bounds is ended.
fn run_within(idcsync: &Idcsync, kilobytes: u32, arguments: &[&str]) -> Run {
    let inner = idcsync.command(arguments);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -v {kilobytes}; exec \"$0\" \"$@\"")).arg(inner.get_program());
    command.args(inner.get_args()).current_dir(idcsync.path(""));
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = output(&mut command);
    Run::of(&output, arguments)
}

fn with_server(url: &str, timeout: &str) -> Idcsync {
    let idcsync = Idcsync::new(&format!(
        "profile = \"p\"\n[directory]\nkind = \"active-directory\"\nurls = [\"{url}\"]\nbase-dn = \"DC=corp,DC=example\"\n\
         bind = {{ dn = \"CN=svc\", password-file = \"password\" }}\nallow-plaintext = true\ntimeout = \"{timeout}\"\n\n\
         [scope]\ngroups = [\"Team\"]\n\n{TARGET}\n[state]\nurl = \"sqlite:state.db\"\n[log]\nformat = \"text\"\n"
    ));
    idcsync.write("password", "secret");
    idcsync
}

fn bound(stream: &mut TcpStream) -> Option<u8> {
    ldap_request(stream)?;
    stream.write_all(&ldap_message(1, &[&ldap_result(0x61, b"")])).ok()?;
    ldap_request(stream)
}

/// What the server does with the bind, or with the first search.
fn tried(timeout: &str, talk: impl Fn(&mut TcpStream) -> Option<()> + Send + Sync + 'static) -> Run {
    let server = Raw::start(move |stream| {
        let _ = talk(stream);
    });
    let idcsync = with_server(&format!("ldap://{}", server.address), timeout);
    let run = run_within(&idcsync, 2_000_000, &["sync"]).shows_clean().exits(6).never_says("panicked");
    assert!(!idcsync.path("store.json").exists() || !run.stdout.contains("Applied"), "{}", run.report());
    run
}

#[test]
fn a_bind_that_is_answered_by_nonsense_ends_in_an_error() {
    for (answer, words) in [
        (ldap_message(1, &[&tlv(0x61, b"")]), "cannot be decoded"),
        (ldap_message(1, &[&tlv(0x61, &tlv(0x0a, b""))]), "cannot be decoded"),
        (ldap_message(1, &[&ldap_result(0x64, b"")]), "not asked for"),
        (ldap_message(1, &[]), "cannot be decoded"),
        (tlv(0x30, b""), "cannot be decoded"),
        (ldap_message(1, &[&ldap_result(0x61, b""), &tlv(0xa0, &tlv(0x30, b""))]), "controls"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n<html>".to_vec(), "not LDAP"),
        (b"\x30\x84\x7f\xff\xff\xff".to_vec(), "2147483647 bytes"),
        (b"\x30\x80\x02\x01\x01".to_vec(), "without a length"),
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "not LDAP"),
    ] {
        let run = tried("3s", move |stream| {
            ldap_request(stream)?;
            stream.write_all(&answer).ok()?;
            ldap_request(stream).map(|_| ())
        });
        run.complains(words);
    }
}

#[test]
fn nesting_does_not_end_the_process() {
    const LEVELS: u32 = 500_000;
    let core = tlv(4, b"x");
    let size = u32::try_from(core.len()).unwrap();
    let heads = (0..LEVELS).rev().flat_map(|below| {
        let [a, b, c, d] = (size + below * 6).to_be_bytes();
        [0x30, 0x84, a, b, c, d]
    });
    let inner: Vec<u8> = heads.chain(core).collect();
    let deep = ldap_message(2, &[&tlv(0x64, &inner)]);
    tried("5s", move |stream| {
        bound(stream)?;
        stream.write_all(&deep).ok()?;
        ldap_request(stream).map(|_| ())
    })
    .complains("levels");
}

#[test]
fn what_does_not_end_is_ended() {
    // A message of which all of 60 MB come, and then more of them.
    tried("20s", |stream| {
        bound(stream)?;
        stream.write_all(b"\x30\x84\x03\xf0\x00\x00\x02\x01\x02\x64\x84\x03\xef\xff\xf0").ok()?;
        endlessly(stream, &[0; 1 << 16]);
        None
    })
    .complains("elements");
    // References, for as long as somebody reads them.
    tried("20s", |stream| {
        let id = bound(stream)?;
        let one = ldap_message(id, &[&tlv(0x73, &tlv(4, &[b'a'; 60_000]))]);
        endlessly(stream, &one);
        None
    })
    .complains("does not come to an end");
    // Byte by byte.
    tried("1s", |stream| {
        let id = bound(stream)?;
        for byte in ldap_message(id, &[&ldap_result(0x65, b"a long time coming")]) {
            std::thread::sleep(Duration::from_millis(100));
            stream.write_all(&[byte]).ok()?;
        }
        None
    })
    .complains("no answer within 1s");
}

#[test]
fn answers_to_nobody_and_out_of_turn() {
    // To a request that was never made; the own answer does not come.
    tried("1s", |stream| {
        bound(stream)?;
        for id in [9, 77, 0] {
            stream.write_all(&ldap_message(id, &[&ldap_result(0x65, b"")])).ok()?;
        }
        ldap_request(stream).map(|_| ())
    })
    .complains("no answer within 1s");
    tried("3s", |stream| {
        let id = bound(stream)?;
        stream.write_all(&ldap_message(id, &[&ldap_result(0x61, b"")])).ok()?;
        ldap_request(stream).map(|_| ())
    })
    .complains("not asked for");
    tried("3s", |stream| {
        bound(stream)?;
        let oid = tlv(0x8a, b"1.3.6.1.4.1.1466.20036");
        let text = tlv(4, HOSTILE.as_bytes());
        let notice = tlv(0x78, &[&tlv(0x0a, &[52])[..], &tlv(4, b""), &text, &oid].concat());
        stream.write_all(&ldap_message(0, &[&notice])).ok()?;
        ldap_request(stream).map(|_| ())
    })
    .complains("the server ended the connection: e\\u{1b}[2J");
}

/// A server with a team in it, whose members are in the target already.
fn in_step() -> (Fake, Idcsync) {
    let fake = Fake::start(domain(8, &[("Team", names(0..8))]));
    let idcsync = Idcsync::new(&fake.config(&["Team"], TARGET));
    idcsync.write("password", "secret");
    idcsync.run(&["sync"]).exits(0);
    (fake, idcsync)
}

#[test]
fn a_server_that_turns_hostile_takes_nothing_away() {
    let (fake, idcsync) = in_step();
    let before = std::fs::read(idcsync.path("store.json")).unwrap();
    let referral = |url: String| LdapOp::SearchResultReference(LdapSearchResultReference { uris: vec![url] });
    let referrals: Vec<_> =
        (0..1200).map(|n| (referral(format!("ldap://x{n}/DC=x{n}\u{1b}[2J\nINJECTED")), vec![])).collect();
    let scripts: Vec<Twist> = vec![
        Twist::Refer(format!("ldap://h/{HOSTILE}")),
        Twist::Say(referrals),
        Twist::Say(vec![(ended(LdapResultCode::Busy), vec![])]),
        Twist::Loop,
        Twist::Empty,
        Twist::Nothing,
        Twist::Twice,
        Twist::Cut { after: 0 },
    ];
    for twist in scripts {
        let told = twist.clone();
        fake.tell(move |seen| seen.is_read().then(|| told.clone()));
        let run = idcsync.run(&["sync", "--full"]).shows_clean().never_says("panicked");
        assert!(matches!(run.code, 0 | 3 | 4 | 6), "{twist:?}\n{}", run.report());
        assert_eq!(std::fs::read(idcsync.path("store.json")).unwrap(), before, "{twist:?}\n{}", run.report());
    }
    fake.behave();
    idcsync.run(&["sync", "--full"]).exits(0);
}

#[test]
fn a_servers_words_are_not_printed_raw() {
    for code in [LdapResultCode::Other, LdapResultCode::AuthMethodNotSupported, LdapResultCode::Unavailable] {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let behaviour = Behaviour { bind: (code, HOSTILE.to_owned()), ..Behaviour::of(domain(1, &[])) };
        let server = runtime.block_on(FakeLdap::start(behaviour));
        let idcsync = with_server(&server.url, "3s");
        idcsync.run(&["sync"]).shows_clean().exits(6);
        idcsync.run(&["check"]).shows_clean();
        idcsync.run_json(&["check"]).shows_clean();
        idcsync.run(&["sync", "--color", "always", "-vv"]).shows_clean_in_colour().exits(6);
    }
}

/// Tried with 100,000, which takes the fake server a while.
const MANY: usize = 10_000;

#[test]
fn a_group_of_very_many_values() {
    let mut entries = domain(5, &[("Team", names(0..5))]);
    let team = entries.iter_mut().find(|entry| entry.dn.contains("CN=Team")).unwrap();
    for number in 0..MANY {
        // Beyond the base: nobody who could be looked up.
        team.add("member", format!("CN=x{number},DC=elsewhere").into_bytes());
    }
    let fake = Fake::start(entries);
    let idcsync = Idcsync::new(&fake.config(&["Team"], TARGET));
    idcsync.write("password", "secret");
    let run = run_within(&idcsync, 2_000_000, &["sync"]).shows_clean();
    assert!(matches!(run.code, 0 | 3), "{:.3000}", run.report());
    assert!(run.stdout.len() < 100_000, "{:.3000}", run.report());
    // Ranges, and not one request for each value.
    assert!(fake.server.log().len() < 30 + MANY / 1500, "{}", fake.server.log().len());
}
