//! Certificates: one authority for all of the rig, and one certificate per server, with alternative names.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::dirs::template;
use super::process::run;

/// What a server needs. All files are PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    Expired,
    NotYetValid,
    /// For other names and addresses than the server's.
    OtherName,
    /// By an authority that nobody trusts.
    OtherAuthority,
    /// By an authority of the trusted one's name with another key: one that was renewed.
    RenewedAuthority,
}

/// Writes `ca.pem`, `cert.pem` and `key.pem` for a server of these names into `dir`.
pub fn issue(dir: &Path, ip: Ipv4Addr, names: &[&str]) -> Certificate {
    issue_with(dir, ip, names, Flaw::None)
}

/// The same with a flaw; `ca.pem` is the authority that clients trust.
pub fn issue_with(dir: &Path, ip: Ipv4Addr, names: &[&str], flaw: Flaw) -> Certificate {
    let trusted = authority("p256", "idcsync test authority");
    let signer = match flaw {
        Flaw::OtherAuthority => authority("other-p256", "another authority"),
        Flaw::RenewedAuthority => authority("renewed-p256", "idcsync test authority"),
        _ => trusted.clone(),
    };
    let (ip, names) = match flaw {
        Flaw::OtherName => (Ipv4Addr::new(192, 0, 2, 1), &["other.example"][..]),
        _ => (ip, names),
    };
    let mut alternatives = format!("subjectAltName=IP:{ip}");
    for name in names {
        alternatives.push_str(",DNS:");
        alternatives.push_str(name);
    }
    fs::write(
        dir.join("ext"),
        format!("{alternatives}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n"),
    )
    .expect("write the extensions of a certificate");
    let subject = format!("/CN={}", names.first().copied().unwrap_or("server"));
    openssl(dir, "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out server.csr")
        .args(["-subj", &subject])
        .run();
    match flaw {
        Flaw::Expired => sign_between(dir, &signer, "20200101000000Z", "20210101000000Z"),
        Flaw::NotYetValid => sign_between(dir, &signer, "20900101000000Z", "20910101000000Z"),
        _ => sign(dir, &signer),
    }
    fs::copy(trusted.join("ca.pem"), dir.join("ca.pem")).expect("copy the authority's certificate");
    Certificate { ca: dir.join("ca.pem"), certificate: dir.join("cert.pem"), key: dir.join("key.pem") }
}

/// The template of an authority.
fn authority(name: &str, subject: &str) -> PathBuf {
    template("ca", name, |dir| {
        openssl(dir, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -keyout ca.key -out ca.pem")
            .args(["-subj", &format!("/CN={subject}")])
            .args(["-addext", "basicConstraints=critical,CA:TRUE"])
            .args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"])
            .run();
    })
}

fn sign(dir: &Path, authority: &Path) {
    openssl(dir, "x509 -req -in server.csr -days 365 -extfile ext -out cert.pem")
        .arg("-CA")
        .arg(authority.join("ca.pem"))
        .arg("-CAkey")
        .arg(authority.join("ca.key"))
        // Many processes issue with one authority, so there is no counter of serial numbers to share.
        .args(["-set_serial", &format!("0x{}", uuid::Uuid::new_v4().simple())])
        .run();
}

/// With chosen dates, which only `openssl ca` takes: it wants a database of its own for that.
fn sign_between(dir: &Path, authority: &Path, start: &str, end: &str) {
    fs::write(dir.join("index.txt"), "").expect("write an empty database");
    fs::write(
        dir.join("ca.conf"),
        "[ca]\ndefault_ca = this\n[this]\ndatabase = index.txt\nnew_certs_dir = .\nrand_serial = yes\n\
         default_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n",
    )
    .expect("write the settings of an authority");
    openssl(dir, "ca -batch -notext -config ca.conf -in server.csr -extfile ext -out cert.pem")
        .args(["-startdate", start, "-enddate", end])
        .arg("-cert")
        .arg(authority.join("ca.pem"))
        .arg("-keyfile")
        .arg(authority.join("ca.key"))
        .run();
}

struct Openssl(Command);

fn openssl(dir: &Path, words: &str) -> Openssl {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(words.split(' '));
    Openssl(command)
}

impl Openssl {
    fn arg(mut self, word: impl AsRef<std::ffi::OsStr>) -> Self {
        self.0.arg(word);
        self
    }

    fn args<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.0.args(words);
        self
    }

    fn run(mut self) {
        run(&mut self.0);
    }
}
