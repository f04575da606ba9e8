//! OpenLDAP's slapd in a private directory, with LDAPS, StartTLS and a plain port.

use std::fs;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::company::{Company, Flavour};
use super::dirs;
use super::ldap::{Client, line};
use super::ports::{Loopback, answers};
use super::process::{Server, run};
use super::tls;

const PLAIN: u16 = 3890;
const TLS: u16 = 6360;
const PASSWORD: &str = "slapd secret";

/// What differs from a plain server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keeps `memberOf` of changes made on line (an offline load has none).
    pub memberof: bool,
    /// Lets members of groups follow their objects, of which the groups' change numbers tell nothing.
    pub refint: bool,
    /// Allows content synchronisation (RFC 4533).
    pub syncprov: bool,
    /// Keeps what was deleted, to tell it then; else it lists what is there.
    pub session_log: bool,
    /// Notes each sign-in with the account, and each wrong password.
    pub password_policy: bool,
    /// Entries that one search may return, for all but the reader.
    pub sizelimit: u32,
    /// Lines for the `access to` part of the database, most specific first; everybody may read the rest.
    pub access: Vec<String>,
    /// Lines that limit what an account may ask for.
    pub limits: Vec<String>,
    /// Schemas from the package's directory, beside core, cosine and inetorgperson.
    pub schemas: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            memberof: false,
            refint: false,
            syncprov: false,
            session_log: true,
            password_policy: false,
            sizelimit: 500,
            access: Vec::new(),
            limits: Vec::new(),
            schemas: Vec::new(),
        }
    }
}

/// A running slapd; gone when dropped.
#[derive(Debug)]
pub struct Slapd {
    server: Server,
    address: Loopback,
    home: TempDir,
    ca: PathBuf,
    base: String,
}

impl Slapd {
    pub fn start(company: &Company) -> Self {
        Self::start_with(company, &Options::default())
    }

    pub fn start_with(company: &Company, options: &Options) -> Self {
        Self::build(&company.base_dn(), options, |path| {
            let mut file = BufWriter::new(fs::File::create(path)?);
            company.write_ldif(Flavour::OpenLdap, &mut file)
        })
    }

    /// A server with this content; the first record is the base.
    pub fn start_ldif(ldif: &str, base: &str, options: &Options) -> Self {
        Self::build(base, options, |path| fs::write(path, ldif))
    }

    fn build(base: &str, options: &Options, content: impl FnOnce(&Path) -> std::io::Result<()>) -> Self {
        let home = dirs::private();
        let address = Loopback::claim();
        let dir = home.path();
        fs::create_dir(dir.join("db")).expect("make the database's directory");
        let certificate = tls::issue(dir, address.ip(), &["ldap.corp.example.com", "localhost"]);
        fs::write(dir.join("slapd.conf"), configuration(dir, base, options)).expect("write slapd.conf");
        let ldif = dir.join("content.ldif");
        content(&ldif).expect("write the content");
        load(dir, &ldif);
        fs::remove_file(&ldif).expect("remove the content once loaded");
        let accounts: String = ["reader", "limited"]
            .map(|name| {
                line("dn", &format!("cn={name},{base}"))
                    + "objectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
                    + &format!("cn: {name}\nuserPassword: {PASSWORD}\n\n")
            })
            .concat();
        let policy = line("dn", &format!("cn=policy,{base}"))
            + "objectClass: device\nobjectClass: pwdPolicy\ncn: policy\npwdAttribute: userPassword\n\
               pwdLockout: TRUE\npwdMaxFailure: 50\n\n";
        let accounts = if options.password_policy { accounts + &policy } else { accounts };
        fs::write(dir.join("accounts.ldif"), accounts).expect("write the accounts");
        load(dir, &dir.join("accounts.ldif"));
        let server = spawn(dir, &address);
        Self { server, address, ca: certificate.ca, base: base.to_owned(), home }
    }

    /// For plain connections, and for StartTLS.
    pub fn ldap_url(&self) -> String {
        format!("ldap://{}", self.address.at(PLAIN))
    }

    pub fn ldaps_url(&self) -> String {
        format!("ldaps://{}", self.address.at(TLS))
    }

    pub fn ca_file(&self) -> &Path {
        &self.ca
    }

    pub fn base_dn(&self) -> &str {
        &self.base
    }

    /// May read everything, without limits.
    pub fn reader_dn(&self) -> String {
        format!("cn=reader,{}", self.base)
    }

    /// Has the server's size limit.
    pub fn limited_dn(&self) -> String {
        format!("cn=limited,{}", self.base)
    }

    /// Of all accounts.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// A client with StartTLS, bound as the one who may change everything.
    pub fn admin(&self) -> Client {
        self.client(&format!("cn=admin,{}", self.base))
    }

    /// A client with StartTLS, bound as one of the accounts.
    pub fn client(&self, bind_dn: &str) -> Client {
        Client {
            url: self.ldap_url(),
            ca: self.ca.clone(),
            starttls: true,
            bind_dn: bind_dn.to_owned(),
            password: PASSWORD.to_owned(),
        }
    }

    /// Everything a reader sees, for [`super::oracle`].
    pub fn dump(&self) -> String {
        self.client(&self.reader_dn()).search(&["-b", &self.base, "(objectClass=*)", "*", "entryUUID"])
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Ends the server as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again, with the same content on the same ports, whether it was running or not.
    pub fn restart(&mut self) {
        self.server.stop();
        self.server = spawn(self.home.path(), &self.address);
    }
}

fn spawn(dir: &Path, address: &Loopback) -> Server {
    let urls = format!("ldap://{} ldaps://{}", address.at(PLAIN), address.at(TLS));
    let mut command = Command::new(program("slapd"));
    command.args(["-d", "0", "-h", &urls, "-f"]).arg(dir.join("slapd.conf"));
    Server::start("slapd", command, dir, || answers(address.at(PLAIN)) && answers(address.at(TLS)))
}

fn load(dir: &Path, ldif: &Path) {
    run(Command::new(program("slapadd")).arg("-q").arg("-f").arg(dir.join("slapd.conf")).arg("-l").arg(ldif));
}

/// Daemons are not on everybody's path.
fn program(name: &str) -> PathBuf {
    let path = Path::new("/usr/sbin").join(name);
    assert!(path.exists(), "{} is missing: make setup", path.display());
    path
}

fn configuration(dir: &Path, base: &str, options: &Options) -> String {
    let mut text = String::new();
    let mut say = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let home = dir.display();
    for schema in
        ["core", "cosine", "inetorgperson"].iter().copied().chain(options.schemas.iter().map(String::as_str))
    {
        say(format!("include /etc/ldap/schema/{schema}.schema"));
    }
    say("modulepath /usr/lib/ldap\nmoduleload back_mdb".to_owned());
    if options.memberof {
        say("moduleload memberof".to_owned());
    }
    if options.refint {
        say("moduleload refint".to_owned());
    }
    if options.syncprov {
        say("moduleload syncprov".to_owned());
    }
    if options.password_policy {
        say("moduleload ppolicy".to_owned());
    }
    say(format!("pidfile {home}/slapd.pid\nargsfile {home}/slapd.args"));
    say(format!("TLSCACertificateFile {home}/ca.pem"));
    say(format!("TLSCertificateFile {home}/cert.pem\nTLSCertificateKeyFile {home}/key.pem"));
    say(format!("threads 4\nsizelimit {}", options.sizelimit));
    say(format!("database mdb\nsuffix \"{base}\"\ndirectory {home}/db\nmaxsize 8589934592\ndbnosync"));
    say(format!("rootdn \"cn=admin,{base}\"\nrootpw \"{PASSWORD}\""));
    say(format!("limits dn.exact=\"cn=reader,{base}\" size=unlimited time=unlimited"));
    for line in &options.limits {
        say(line.clone());
    }
    if options.password_policy {
        say("lastbind on".to_owned());
    }
    say("index objectClass,entryUUID,entryCSN,member eq\nindex uid,cn,mail eq".to_owned());
    for line in &options.access {
        say(line.clone());
    }
    say("access to attrs=userPassword by * auth\naccess to * by * read".to_owned());
    if options.refint {
        // A group must not be empty.
        say(format!(
            "overlay refint\nrefint_attributes member uniqueMember\nrefint_nothing \"cn=nobody,{base}\""
        ));
    }
    if options.syncprov {
        say("overlay syncprov\nsyncprov-checkpoint 1000 10".to_owned());
        if options.session_log {
            say("syncprov-sessionlog 50000".to_owned());
        }
    }
    if options.password_policy {
        say(format!("overlay ppolicy\nppolicy_default \"cn=policy,{base}\""));
    }
    if options.memberof {
        say("overlay memberof\nmemberof-group-oc groupOfNames\nmemberof-refint TRUE".to_owned());
    }
    text
}
