//! Servers whose certificate, name or protocol is not what it has to be: refused before anything is sent, in words that
//! say what to do.

use std::path::Path;
use std::process::Command;

use super::bench::Bench;
use super::support::dirs;
use super::support::idcsync::is_write;
use super::support::ports::{Loopback, answers};
use super::support::process::Server;
use super::support::tls::{Flaw, issue, issue_with};

const PORT: u16 = 6360;

/// A TLS server that never comes to say anything in it.
fn s_server(dir: &Path, address: &Loopback, options: &[&str]) -> Server {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(["s_server", "-quiet", "-cert", "cert.pem", "-key", "key.pem"]);
    command.args(["-accept", &address.at(PORT).to_string()]).args(options);
    Server::start("s_server", command, dir, || answers(address.at(PORT)))
}

#[test]
fn certificates_with_a_flaw_are_refused_and_said_in_words() {
    let bench = Bench::new();
    let before = settle(&bench);
    for (flaw, words) in [
        (Flaw::Expired, "the server's certificate has expired; renew it"),
        (Flaw::NotYetValid, "the server's certificate is not valid yet; is this machine's clock right?"),
        (Flaw::OtherName, "use the name that it is issued to"),
        (Flaw::OtherAuthority, "is signed by a CA that is not trusted; name that CA's file with `ca-file`"),
        (Flaw::RenewedAuthority, "was the CA renewed? Put its present certificate into the file"),
    ] {
        let (home, address) = (dirs::private(), Loopback::claim());
        let certificate = issue_with(home.path(), address.ip(), &["ldap.corp.example.com"], flaw);
        let _server = s_server(home.path(), &address, &[]);
        let url = format!("ldaps://{}", address.at(PORT));
        refused(&bench, &url, &certificate.ca, words);
    }
    back(&bench);
    before.assert_same(&bench.contents());
}

#[test]
fn old_tls_and_none_at_all_are_refused_and_said_in_words() {
    let bench = Bench::new();
    let before = settle(&bench);
    for version in ["-tls1_1", "-tls1"] {
        let (home, address) = (dirs::private(), Loopback::claim());
        let certificate = issue(home.path(), address.ip(), &["ldap.corp.example.com"]);
        let _server = s_server(home.path(), &address, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
        let url = format!("ldaps://{}", address.at(PORT));
        refused(&bench, &url, &certificate.ca, "TLS 1.2");
    }
    // The plain port, spoken to in TLS.
    let url = bench.slapd.ldap_url().replace("ldap://", "ldaps://");
    let ca = bench.slapd.ca_file().to_owned();
    refused(&bench, &url, &ca, "is this the port of LDAPS (636), or is `starttls` meant?");
    back(&bench);
    before.assert_same(&bench.contents());
}

fn settle(bench: &Bench) -> super::support::contents::Contents {
    bench.idcsync.run(&["sync"]).exits(0);
    bench.contents()
}

fn refused(bench: &Bench, url: &str, ca: &Path, words: &str) {
    let tls = format!("tls = {{ ca-file = \"{}\" }}", ca.display());
    bench.configure(url, &bench.slapd.reader_dn(), 7, "5s", &tls, "");
    for arguments in [&["sync"][..], &["sync", "--dry-run"]] {
        let (run, requests) = bench.sandbox.requests_of(|| bench.idcsync.run(arguments));
        let run = run.exits(6).complains(words).complains(url);
        assert!(!requests.iter().any(is_write), "{requests:?}");
        if arguments.len() == 1 {
            let line = run.stderr.lines().find(|line| line.starts_with("error: ")).expect("an error");
            println!("{line}");
        }
    }
    bench.idcsync.run(&["check"]).exits(6).says(words);
    bench.idcsync.run(&["status"]).exits(0).says("DirectoryUnavailable");
}

fn back(bench: &Bench) {
    bench.plain(&bench.slapd.reader_dn(), 7, "5s", "");
    bench.idcsync.run(&["sync"]).exits(0);
    bench.idcsync.run(&["status"]).exits(0).never_says("DirectoryUnavailable").never_says("Out of scope");
}
