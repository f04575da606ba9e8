//! TLS 1.2 at least, the right name, a CA that is trusted: for the SCIM endpoint, the Identity Store's and PostgreSQL.
//! (tests/directory_servers.rs has the directory's.)

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use super::export;
use super::support::dirs;
use super::support::export::Export;
use super::support::idcsync::{Idcsync, Run};
use super::support::ports::{Loopback, answers};
use super::support::process::{Server, output};
use super::support::tls::{Certificate, issue};

/// The words of a server's alert, and of our own refusal.
const TOO_OLD: &str = "ProtocolVersion";
const WRONG_NAME: &str = "not valid for name";
const UNKNOWN_CA: &str = "name a file with all CAs in SSL_CERT_FILE";
/// What the server answers whoever gets through to it.
const GOT_THROUGH: &str = "the bearer token in the file";
const FORBIDDEN: &str = "HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// `openssl s_server` with one version of TLS, and a certificate for its own address or another one.
struct TlsServer {
    _server: Server,
    address: Loopback,
    certificate: Certificate,
    _home: TempDir,
}

impl TlsServer {
    fn start(version: &str, right_name: bool) -> Self {
        let (home, address) = (dirs::private(), Loopback::claim());
        let name = if right_name { address.ip() } else { [127, 0, 0, 9].into() };
        let certificate = issue(home.path(), name, &["other.example"]);
        let answers_of = home.path().join("t/scim/v2");
        fs::create_dir_all(&answers_of).unwrap();
        fs::write(answers_of.join("ServiceProviderConfig"), FORBIDDEN).unwrap();
        let mut command = Command::new("openssl");
        command.current_dir(home.path());
        // Its own default would refuse what is older than 1.2.
        command.args(["s_server", "-HTTP", "-cipher", "ALL:@SECLEVEL=0", version, "-accept"]);
        command.arg(address.at(443).to_string()).arg("-cert").arg(&certificate.certificate);
        command.arg("-key").arg(&certificate.key);
        let place = address.at(443);
        let server = Server::start("s_server", command, home.path(), || answers(place));
        Self { _server: server, address, certificate, _home: home }
    }

    fn place(&self) -> SocketAddr {
        self.address.at(443)
    }

    /// What a client without a lower bound of its own makes of it: the server does speak this version.
    fn speaks(&self, version: &str) -> bool {
        let mut client = Command::new("openssl");
        client.args([
            "s_client",
            "-cipher",
            "ALL:@SECLEVEL=0",
            version,
            "-connect",
            &self.place().to_string(),
        ]);
        output(&mut client).status.success()
    }

    fn check(&self, target: &str, trusted: bool) -> Run {
        let idcsync = Idcsync::new(&format!(
            "profile = \"p\"\n{}\n{target}\n[state]\nurl = \"sqlite:state.db\"\n",
            Export::config(&["Team"])
        ));
        idcsync.write("directory.ldif", &export().text());
        idcsync.write("scim-token", "a-token");
        let mut command = idcsync.command(&["check"]);
        if trusted {
            command.env("SSL_CERT_FILE", &self.certificate.ca);
        }
        command.env_remove("SSL_CERT_DIR").env("NO_PROXY", "*");
        idcsync.finish(command, &["check"])
    }
}

fn scim(place: SocketAddr) -> String {
    format!(
        "[target]\nkind = \"scim\"\nrequests-per-second = 1000\n\
         scim = {{ url = \"https://{place}/t/scim/v2\", token-file = \"scim-token\" }}\n"
    )
}

fn api(place: SocketAddr) -> String {
    format!(
        "[target]\nkind = \"identity-store\"\nregion = \"eu-west-1\"\nidentity-store-id = \"d-1234567890\"\n\
         endpoint-url = \"https://{place}\"\n"
    )
}

#[test]
fn the_endpoints_are_asked_over_tls_of_today_and_by_their_names() {
    let old = TlsServer::start("-tls1_1", true);
    assert!(old.speaks("-tls1_1"), "else this says nothing");
    let stranger = TlsServer::start("-tls1_2", false);
    let right = TlsServer::start("-tls1_2", true);
    for target in [scim, api] {
        old.check(&target(old.place()), true).exits(6).says(TOO_OLD).says("TLS 1.2 or 1.3 is needed");
        stranger.check(&target(stranger.place()), true).exits(6).says(WRONG_NAME);
        right.check(&target(right.place()), false).exits(6).says(UNKNOWN_CA);
    }
    // With everything in order it is the answer that counts.
    let run = right.check(&scim(right.place()), true).exits(6).says(GOT_THROUGH);
    for words in [TOO_OLD, WRONG_NAME, UNKNOWN_CA] {
        assert!(!run.stdout.contains(words), "{}", run.report());
    }
}

/// Agrees to TLS as PostgreSQL does (SSLRequest, `S`), and leaves the rest to a TLS server. Ends with the test.
fn postgres_before(tls: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(mut client), Ok(server)) = (client, TcpStream::connect(tls)) else { return };
            let mut request = [0; 8];
            if client.read_exact(&mut request).is_err() || client.write_all(b"S").is_err() {
                continue;
            }
            let ways = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
            for (mut from, mut to) in ways {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    place
}

#[test]
fn postgresql_is_asked_over_tls_of_today_and_by_its_name() {
    for (version, right_name, words) in [("-tls1_1", true, TOO_OLD), ("-tls1_2", false, WRONG_NAME)] {
        let server = TlsServer::start(version, right_name);
        let place = postgres_before(server.place());
        let idcsync = Idcsync::new(&format!(
            "profile = \"p\"\n{}\n[target]\nkind = \"sandbox\"\nstore = \"store.json\"\n[state]\n\
             url = \"postgres://idcsync@{place}/idcsync?sslmode=verify-full&sslrootcert={}\"\npassword-file = \"pg\"\n",
            Export::config(&["Team"]),
            server.certificate.ca.display()
        ));
        idcsync.write("pg", "postgres-password");
        idcsync.write("directory.ldif", &export().text());
        idcsync.run(&["check"]).exits(6).says(words).never_says("postgres-password");
    }
}

#[test]
fn a_token_does_not_travel_in_the_clear() {
    let idcsync = Idcsync::new("");
    idcsync.write("directory.ldif", &export().text());
    idcsync.write("scim-token", "a-token");
    let with = |target: &str| {
        idcsync.configure(&format!(
            "profile = \"p\"\n{}\n{target}\n[state]\nurl = \"sqlite:state.db\"\n",
            Export::config(&["Team"])
        ));
        idcsync.run(&["check"])
    };
    for host in ["scim.example", "10.0.0.1", "0.0.0.0", "localhost.scim.example", "127.0.0.1.scim.example"] {
        let target = format!(
            "[target]\nkind = \"scim\"\nscim = {{ url = \"http://{host}/scim/v2\", token-file = \"scim-token\" }}\n"
        );
        with(&target).exits(2).complains("the token would travel over plain http://");
    }
    // An identity store off this machine over http:// is for whoever knows why; it is said.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let target = api(SocketAddr::from(([0, 0, 0, 0], closed))).replace("https://", "http://");
    with(&target).exits(6).complains("would travel over plain http://");
}
