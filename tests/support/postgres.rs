//! A private PostgreSQL cluster, with nothing in it.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::dirs;
use super::ports::{Loopback, answers};
use super::process::{Server, output, run};
use super::tls::{Certificate, issue};

const PORT: u16 = 5432;
const USER: &str = "idcsync";
const PASSWORD: &str = "rig-secret";

/// A running cluster; gone when dropped.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    address: Loopback,
    home: TempDir,
    programs: PathBuf,
    certificate: Option<Certificate>,
}

impl Postgres {
    pub fn start() -> Self {
        Self::start_with(|_, _| None)
    }

    /// With a certificate for its address, by an authority whose own is `ca.pem` in [`Self::home`].
    pub fn start_with_tls() -> Self {
        Self::start_with(|home, ip| Some(issue(home, ip, &["db.example"])))
    }

    /// Where its files are.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    fn start_with(certificate: impl FnOnce(&Path, Ipv4Addr) -> Option<Certificate>) -> Self {
        let programs = programs();
        let home = dirs::private();
        let address = Loopback::claim();
        dirs::copy(&cluster(&programs), home.path());
        let certificate = certificate(home.path(), address.ip());
        give_away(home.path());
        let server = spawn(&programs, home.path(), &address, certificate.as_ref());
        Self { server, address, home, programs, certificate }
    }

    /// Of an empty database, as its owner.
    pub fn url(&self) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}/postgres", self.address.at(PORT))
    }

    /// The `[state]` table of a config that means it; the password is put into a file in `home`.
    pub fn state(&self, home: &Path) -> String {
        let file = home.join("postgres-password");
        fs::write(&file, PASSWORD).expect("write the password");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("make the password private");
        format!(
            "[state]\nurl = \"postgres://{USER}@{}/postgres\"\npassword-file = \"postgres-password\"\n",
            self.address.at(PORT)
        )
    }

    /// What `psql` answers, unaligned and without headers.
    pub fn psql(&self, sql: &str) -> String {
        let mut command = Command::new(self.programs.join("psql"));
        run(command.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url()]))
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Starts it again with the same content at the same address.
    pub fn restart(&mut self) {
        self.server.stop();
        self.server = spawn(&self.programs, self.home.path(), &self.address, self.certificate.as_ref());
    }
}

fn spawn(programs: &Path, dir: &Path, address: &Loopback, certificate: Option<&Certificate>) -> Server {
    let mut command = as_owner(&programs.join("postgres"));
    command.current_dir(dir).env("LC_ALL", "C").arg("-D").arg(dir.join("data"));
    for setting in [
        &format!("listen_addresses={}", address.ip()),
        &format!("port={PORT}"),
        "unix_socket_directories=",
        "fsync=off",
        "full_page_writes=off",
    ] {
        command.arg("-c").arg(setting);
    }
    if let Some(certificate) = certificate {
        command.args(["-c", "ssl=on"]);
        command.arg("-c").arg(format!("ssl_cert_file={}", certificate.certificate.display()));
        command.arg("-c").arg(format!("ssl_key_file={}", certificate.key.display()));
    }
    let ready = programs.join("pg_isready");
    let server = Server::start("postgres", command, dir, || {
        answers(address.at(PORT))
            && output(Command::new(&ready).args(["-q", "-h", &address.to_string(), "-p", &PORT.to_string()]))
                .status
                .success()
    });
    // On TERM it would wait for its clients to leave.
    server.ending_on("INT")
}

/// The template of a cluster.
fn cluster(programs: &Path) -> PathBuf {
    let initdb = programs.join("initdb");
    let version = run(Command::new(&initdb).arg("--version"));
    let name = dirs::digest([version.as_bytes(), USER.as_bytes(), PASSWORD.as_bytes()]);
    dirs::template("postgres", &name, |dir| {
        // Made elsewhere, since its owner may not be able to reach the checkout.
        let work = dirs::private();
        fs::write(work.path().join("password"), PASSWORD).expect("write the password");
        give_away(work.path());
        run(as_owner(&initdb)
            .current_dir(work.path())
            .args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256"])
            .arg(format!("--username={USER}"))
            .args(["--pwfile", "password", "-D", "data"]));
        dirs::copy(work.path(), dir);
    })
}

/// Where `initdb` and the others are: the machine's own, else the newest of Debian's.
fn programs() -> PathBuf {
    let on_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        // A link leads to the place where all of them are.
        .filter_map(|dir| fs::canonicalize(dir.join("initdb")).ok()?.parent().map(Path::to_owned));
    let mut debian: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .filter(|dir| dir.join("initdb").exists())
        .collect();
    debian.sort_by_key(|dir| {
        let version =
            dir.parent().and_then(Path::file_name).and_then(|name| name.to_str()?.parse::<u32>().ok());
        std::cmp::Reverse(version)
    });
    on_path
        .chain(debian)
        .find(|dir| dir.join("postgres").exists())
        .expect("PostgreSQL's initdb and postgres are missing: make setup")
}

/// The user that PostgreSQL runs as, when we are root: it refuses to be.
fn owner() -> Option<String> {
    let id = |arguments: &[&str]| output(Command::new("id").args(arguments));
    if id(&["-u"]).stdout.trim_ascii() != b"0" {
        return None;
    }
    Some(if id(&["-u", "postgres"]).status.success() { "postgres" } else { "nobody" }.to_owned())
}

fn as_owner(program: &Path) -> Command {
    let Some(owner) = owner() else { return Command::new(program) };
    let group = run(Command::new("id").args(["-g", &owner]));
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &owner, "--regid", group.trim(), "--clear-groups", "--"]).arg(program);
    command
}

fn give_away(dir: &Path) {
    if let Some(owner) = owner() {
        run(Command::new("chown").arg("-R").arg(owner).arg("--").arg(dir));
    }
}
