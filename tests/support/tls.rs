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

/// Writes `ca.pem`, `cert.pem` and `key.pem` for a server of these names into `dir`.
pub fn issue(dir: &Path, ip: Ipv4Addr, names: &[&str]) -> Certificate {
    let authority = template("ca", "p256", |dir| {
        openssl(dir, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -keyout ca.key -out ca.pem")
            .args(["-subj", "/CN=idcsync test authority"])
            .args(["-addext", "basicConstraints=critical,CA:TRUE"])
            .args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"])
            .run();
    });
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
    openssl(dir, "x509 -req -in server.csr -days 365 -extfile ext -out cert.pem")
        .arg("-CA")
        .arg(authority.join("ca.pem"))
        .arg("-CAkey")
        .arg(authority.join("ca.key"))
        // Many processes issue with one authority, so there is no counter of serial numbers to share.
        .args(["-set_serial", &format!("0x{}", uuid::Uuid::new_v4().simple())])
        .run();
    fs::copy(authority.join("ca.pem"), dir.join("ca.pem")).expect("copy the authority's certificate");
    Certificate { ca: dir.join("ca.pem"), certificate: dir.join("cert.pem"), key: dir.join("key.pem") }
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
