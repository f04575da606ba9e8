//! No secret is ever said: not on stdout or stderr at the most talkative setting of every library, not in what is
//! written, not on the command line, not when it is wrong.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use idcsync::config::Config;
use idcsync::secret::SecretSource;
use idcsync::state::StateUrl;

use super::support::dirs;
use super::support::idcsync::{Idcsync, Run, Sandbox};
use super::support::ports::Loopback;
use super::support::postgres::Postgres;
use super::support::service::{self, Service};
use super::support::slapd::{Options, Slapd};
use super::support::store::request;
use super::through;

const SCIM_TOKEN: &str = "scim-Tok3n-Zq8vHt2";
const HTTP_TOKEN: &str = "http-T0ken-Jk4mRy9";
const AWS_SECRET: &str = "aws+S3cret/Xw7LqPd5";
const AWS_SESSION: &str = "aws-Sess1on-Gn6cVb3";
const POSTGRES: &str = "rig-secret";
const SLAPD: &str = "slapd secret";
/// Not the right ones.
const WRONG: [&str; 3] = ["wrong-Pa55word-Bn2x", "wrong-T0ken-Qe7sMf", "wrong-Db-Cz4kWu"];

const LDIF: &str = "dn: dc=ex,dc=test\nobjectClass: domain\ndc: ex\n\n\
    dn: uid=ada,dc=ex,dc=test\nobjectClass: inetOrgPerson\nuid: ada\ncn: Ada\nsn: L\ngivenName: Ada\n\
    displayName: Ada\nmail: ada@ex.test\n\n\
    dn: uid=eve,dc=ex,dc=test\nobjectClass: inetOrgPerson\nuid: eve\ncn: Eve\nsn: M\nmail: eve@ex.test\n\n\
    dn: cn=Crew,dc=ex,dc=test\nobjectClass: groupOfNames\ncn: Crew\nmember: uid=ada,dc=ex,dc=test\n\
    member: uid=eve,dc=ex,dc=test\n";

fn secrets() -> impl Iterator<Item = &'static str> {
    [SCIM_TOKEN, HTTP_TOKEN, AWS_SECRET, AWS_SESSION, POSTGRES, SLAPD].into_iter().chain(WRONG)
}

/// The forms in which one might be said.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let mut forms = vec![secret.to_owned(), hex.to_uppercase(), hex, numbers.join(", ")];
    forms.push(forms[0].replace('+', "%2B").replace('/', "%2F").replace(' ', "%20"));
    forms.push(forms[0].replace('/', "\\/"));
    // Within something longer it may begin at each of three places; the letters at both ends hang on the neighbours.
    for shift in 0..3 {
        let text = [&b"..."[..shift], bytes].concat();
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&text);
            let start = (shift * 8).div_ceil(6);
            forms.push(encoded[start..encoded.len() - 2].to_owned());
        }
    }
    forms.into_iter().map(String::into_bytes).collect()
}

#[track_caller]
fn assert_none(what: &str, bytes: &[u8]) {
    for secret in secrets() {
        for form in forms(secret) {
            if let Some(at) = bytes.windows(form.len()).position(|w| w == form) {
                let (from, to) = (at.saturating_sub(300), (at + 100).min(bytes.len()));
                panic!("{what} says {secret:?}: … {} …", String::from_utf8_lossy(&bytes[from..to]));
            }
        }
    }
}

/// Everything below a directory, but for the files that hold the secrets.
#[track_caller]
fn assert_none_in(dir: &Path, but: &[&str]) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            assert_none_in(&path, but);
        } else if !but.contains(&name.as_str()) {
            assert_none(&path.display().to_string(), &fs::read(&path).unwrap());
        }
    }
}

struct Bench {
    idcsync: Idcsync,
    sandbox: Sandbox,
    slapd: Slapd,
    postgres: Postgres,
    address: Loopback,
    _home: tempfile::TempDir,
}

const FILES: [&str; 4] = ["bind-password", "scim-token", "http-token", "postgres-password"];

impl Bench {
    fn new() -> Self {
        let home = dirs::private();
        fs::write(home.path().join("token"), SCIM_TOKEN).unwrap();
        let token = home.path().join("token").display().to_string();
        let bench = Self {
            idcsync: Idcsync::new(""),
            sandbox: Sandbox::start_with(&["--scim-token-file", &token]),
            slapd: Slapd::start_ldif(LDIF, "dc=ex,dc=test", &Options::default()),
            postgres: Postgres::start(),
            address: Loopback::claim(),
            _home: home,
        };
        assert!(bench.slapd.password() == SLAPD && bench.postgres.url().contains(POSTGRES));
        bench.write_right();
        bench
    }

    fn write_right(&self) {
        for (name, secret) in FILES.into_iter().zip([SLAPD, SCIM_TOKEN, HTTP_TOKEN, POSTGRES]) {
            self.idcsync.write(name, &format!("{secret}\n"));
        }
    }

    /// Over the API, with SCIM beside it; or over SCIM alone.
    fn configure(&self, over_scim: bool) {
        let base = self.sandbox.endpoint();
        let scim = format!("scim = {{ url = \"{base}/tenant/scim/v2\", token-file = \"scim-token\" }}\n");
        let target = if over_scim {
            format!("[target]\nkind = \"scim\"\nadopt = \"auto\"\nrequests-per-second = 100000\n{scim}")
        } else {
            // To an address that is recognised as one of this machine no real credentials would be sent: the same
            // address in one number is.
            let place: SocketAddr = base.strip_prefix("http://").unwrap().parse().unwrap();
            let IpAddr::V4(ip) = place.ip() else { panic!("{place}") };
            let endpoint = format!("http://{}:{}", u32::from(ip), place.port());
            super::support::idcsync::target(&endpoint, Some("d-1234567890")) + &scim
        };
        self.idcsync.configure(&format!(
            "profile = \"{}\"\n[directory]\nkind = \"ldap\"\nurls = [\"{}\"]\nbase-dn = \"dc=ex,dc=test\"\n\
             bind = {{ dn = \"{}\", password-file = \"bind-password\" }}\n\
             tls = {{ starttls = true, ca-file = \"{}\" }}\n[scope]\ngroups = [\"Crew\"]\n{target}\n\
             [guard]\nmax-percent = 100\n{}{}[schedule]\ncron = \"0 0 29 2 *\"\n\
             [log]\nerror-log = \"errors.jsonl\"\n[metrics]\ntextfile = \"idcsync.prom\"\n",
            if over_scim { "over-scim" } else { "over-api" },
            self.slapd.ldap_url(),
            self.slapd.reader_dn(),
            self.slapd.ca_file().display(),
            self.postgres.state(self.idcsync.path("").as_path()),
            service::config(&self.address),
        ));
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.idcsync.command(arguments);
        command.env("AWS_SECRET_ACCESS_KEY", AWS_SECRET).env("AWS_SESSION_TOKEN", AWS_SESSION);
        // The first is ours; the second is that of most programs, should a library look for it.
        command.env("IDCSYNC_LOG", "trace").env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Run {
        let arguments = [arguments, &["-vvv"]].concat();
        let run = self.idcsync.finish(self.command(&arguments), &arguments);
        assert_none("stdout", run.stdout.as_bytes());
        assert_none("stderr", run.stderr.as_bytes());
        run
    }
}

#[test]
fn the_search_for_secrets_finds_them() {
    for text in [
        format!("Authorization: Bearer {SCIM_TOKEN}"),
        format!("{:?}", HTTP_TOKEN.as_bytes()),
        URL_SAFE_NO_PAD.encode(format!("user:{AWS_SECRET}!")),
        STANDARD_NO_PAD.encode(format!("user1:{AWS_SESSION}!")),
        STANDARD_NO_PAD.encode(format!("\0user12\0{POSTGRES}!")),
        SLAPD.bytes().map(|b| format!("{b:02X}")).collect(),
    ] {
        let found = std::panic::catch_unwind(|| assert_none("the text", text.as_bytes()));
        assert!(found.is_err(), "{text}");
    }
    assert_none("nothing", b"nothing");
}

#[test]
fn no_secret_is_said_at_the_most_talkative_settings() {
    let bench = Bench::new();
    for over_scim in [false, true] {
        bench.configure(over_scim);
        bench.run(&["check"]).exits(0);
        bench.run(&["sync", "--dry-run", "--out", "plan.json"]).exits(0);
        let run = bench.run(&["sync"]).exits(0);
        // It was talkative indeed.
        for library in ["hyper", "sqlx", "rustls"] {
            assert!(run.stderr.contains(library), "no word of {library}\n{}", run.report());
        }
        let sent = if over_scim { "reqwest" } else { "aws_" };
        assert!(run.stderr.contains(sent), "no word of {sent}");
        assert!(over_scim || run.stderr.contains("AKIDRIG"), "signed with what must not be said");
        bench.run(&["sync", "--full", "--output", "json"]).exits(0);
        bench.run(&["status"]).exits(0);
        bench.run(&["check"]).exits(0).says("✓ server: PostgreSQL ").says("✓ writable: yes, by the user's");
        assert_none_in(&bench.idcsync.path(""), &FILES);
    }
    let tables = bench.postgres.psql(
        "SELECT string_agg(query_to_xml('SELECT * FROM ' || quote_ident(tablename), true, true, '')::text, '') \
         FROM pg_tables WHERE schemaname = 'public'",
    );
    assert!(tables.contains("ada@ex.test"), "{tables}");
    assert_none("the state database", tables.as_bytes());
    let log = bench.sandbox.requests();
    assert_none("the sandbox", format!("{log:?}").as_bytes());

    // Wrong ones are no less secret: tomorrow's, yesterday's, another system's.
    for over_scim in [false, true] {
        bench.configure(over_scim);
        for (name, wrong) in ["bind-password", "scim-token", "postgres-password"].into_iter().zip(WRONG) {
            bench.idcsync.write(name, wrong);
            bench.run(&["check"]).exits(6);
            let run = bench.run(&["sync", "--full"]);
            assert!(run.code != 1, "{}", run.report());
            bench.write_right();
        }
    }
    assert_none_in(&bench.idcsync.path(""), &FILES);
}

#[test]
fn the_service_says_no_secret_either() {
    let bench = Bench::new();
    bench.configure(false);
    // Set last: what starts services has a setting of its own for the log.
    let command = through("/usr/bin/env", &["IDCSYNC_LOG=trace"], &bench.command(&["run", "-vvv"]));
    let mut service = Service::start_as(command, &bench.idcsync, &bench.address, "service");
    service.wait_for("cycle finished", 1);
    let pid = service.server().pid();
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!arguments.is_empty());
    assert_none("the command line", &arguments);

    let endpoint = format!("http://{}", bench.address.at(8080));
    let ask = |method: &str, path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let (status, body) = request(method, &endpoint, path, &[("Authorization", &bearer)], b"");
        assert_none(path, &body);
        status
    };
    for token in [HTTP_TOKEN, WRONG[1]] {
        let right = token == HTTP_TOKEN;
        assert_eq!(ask("POST", "/api/pause", token), if right { 200 } else { 401 });
        assert_eq!(ask("POST", "/api/resume", token), if right { 200 } else { 401 });
        for path in ["/api/status", "/metrics", "/healthz", "/readyz", "/nothing"] {
            ask("GET", path, token);
        }
    }
    assert_eq!(ask("POST", "/api/sync", HTTP_TOKEN), 202);
    service.wait_for("cycle finished", 2);
    service.server().stop();
    let log = format!("{:?}", service.log());
    assert!(log.contains("hyper"), "it was talkative indeed");
    assert_none("the log", log.as_bytes());
    assert_none_in(&bench.idcsync.path(""), &FILES);
}

/// What a program has in its hands when it panics or is debugged: settings name where a secret is, and do not hold it.
#[test]
fn the_settings_do_not_show_what_they_are_about() {
    let home = dirs::private();
    for (name, secret) in FILES.into_iter().zip([SLAPD, SCIM_TOKEN, HTTP_TOKEN, POSTGRES]) {
        fs::write(home.path().join(name), secret).unwrap();
    }
    let text = "profile = \"p\"\n[directory]\nkind = \"ldap\"\nurls = [\"ldaps://h\"]\nbase-dn = \"dc=ex,dc=test\"\n\
        bind = { dn = \"cn=a\", password-file = \"bind-password\" }\n[scope]\ngroups = [\"Crew\"]\n\
        [target]\nkind = \"identity-store\"\nregion = \"eu-west-1\"\n\
        scim = { url = \"https://h/scim/v2\", token-file = \"scim-token\" }\n\
        [state]\nurl = \"postgres://me@h/d\"\npassword-file = \"postgres-password\"\n\
        [service]\ntoken-file = \"http-token\"\n";
    let config = Config::from_bytes(text.as_bytes(), &home.path().join("idcsync.toml")).unwrap();
    let shown = format!("{config:?} {config:#?}");
    for file in FILES {
        assert!(shown.contains(file), "{shown}");
    }
    assert_none("the config", shown.as_bytes());
    for source in FILES.map(|file| SecretSource::File(home.path().join(file))) {
        let read = source.read().unwrap();
        assert_none("a source", format!("{source:?} {read:?}").as_bytes());
        let url = StateUrl::parse("postgres://me@h/d", home.path()).unwrap().with_password(Some(source));
        assert_none("a url", format!("{url:?}").as_bytes());
    }
    let url = StateUrl::parse(&format!("postgres://me:{POSTGRES}@h/d"), home.path()).unwrap();
    assert_none("a url", format!("{url:?} {url}").as_bytes());
    // In the config it is refused, and the refusal does not say it either.
    let with_password = text.replace("me@h", &format!("me:{POSTGRES}@h")).replace("password-file = \"p", "#");
    let refused =
        Config::from_bytes(with_password.as_bytes(), &home.path().join("idcsync.toml")).unwrap_err();
    assert_none("an error", format!("{refused:?} {refused}").as_bytes());
}
