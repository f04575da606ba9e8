//! Samba as an Active Directory domain controller, on an address of its own, with LDAPS.
//!
//! A domain is provisioned once and a company loaded into it once; both are kept as templates, and every test gets a
//! copy. Needs to be root: the ports of a domain controller cannot be chosen.

pub mod content;

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use uuid::Uuid;

use super::company::{Company, Flavour};
use super::dirs;
use super::ldap::{Client, line, text_of};
use super::ports::{Loopback, answers};
use super::process::{Server, run};
use super::tls;

const PROVISION: &str = include_str!("provision.py");
const LOAD: &str = include_str!("load.py");
const DENY: &str = include_str!("deny.py");
const PASSWORD: &str = "Passw0rd!rig1";
const READER: &str = "svc-idcsync";
/// Samba's modules are there for the system's own Python only.
const PYTHON: &str = "/usr/bin/python3";

/// For `ldapsearch` and `ldapmodify`: as a critical control.
const SHOW_DELETED: &str = "!1.2.840.113556.1.4.417";
/// Attributes that a tombstone loses and a recycle bin keeps.
const RESTORED: [&str; 11] = [
    "userAccountControl",
    "accountExpires",
    "userPrincipalName",
    "displayName",
    "givenName",
    "sn",
    "initials",
    "mail",
    "title",
    "description",
    "proxyAddresses",
];

/// What is known of a deleted object, enough to bring it back.
#[derive(Debug, Clone)]
pub struct Deleted {
    pub dn: String,
    pub guid: Uuid,
    /// Changes that restore the attributes, as LDIF.
    attributes: String,
    /// The groups that it was a member of.
    pub groups: Vec<String>,
    /// Its own members.
    pub members: Vec<String>,
}

/// A running domain controller; gone when dropped.
#[derive(Debug)]
pub struct Samba {
    server: Server,
    address: Loopback,
    home: TempDir,
    ca: PathBuf,
    base: String,
    domain: String,
}

impl Samba {
    /// A domain controller with this company in it.
    pub fn start(company: &Company) -> Self {
        let mut ldif = Vec::new();
        company.write_ldif(Flavour::ActiveDirectory, &mut ldif).expect("write the company");
        let primary: String =
            company.primary_groups().iter().fold(String::new(), |mut text, (user, group)| {
                let _ = writeln!(text, "{user}\t{group}");
                text
            });
        Self::build(&company.domain, &ldif, &primary)
    }

    /// A domain controller with this LDIF in it: records to add, and `changetype: modify` ones.
    pub fn start_ldif(domain: &str, ldif: &str) -> Self {
        Self::build(domain, ldif.as_bytes(), "")
    }

    fn build(domain: &str, ldif: &[u8], primary: &str) -> Self {
        let address = Loopback::claim();
        let home = dirs::private();
        let dir = home.path();
        dirs::copy(&loaded(domain, ldif, primary), dir);
        fs::create_dir_all(dir.join("tls")).expect("make the directory for certificates");
        let host = format!("dc1.{domain}");
        let certificate = tls::issue(&dir.join("tls"), address.ip(), &[&host, "localhost"]);
        configure(dir, address.ip(), domain);
        let server = spawn(dir, &address);
        let base = domain.split('.').map(|label| format!("DC={label}")).collect::<Vec<_>>().join(",");
        Self { server, address, ca: certificate.ca, base, domain: domain.to_owned(), home }
    }

    pub fn ldaps_url(&self) -> String {
        format!("ldaps://{}", self.address)
    }

    /// For plain connections, which this server allows, and for StartTLS.
    pub fn ldap_url(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// The `[directory]` table of a config that means this server; the password is to be in `password` beside it.
    pub fn directory(&self) -> String {
        format!(
            "[directory]\nkind = \"active-directory\"\nurls = [\"{}\"]\nbase-dn = \"{}\"\n\
             bind = {{ dn = \"{}\", password-file = \"password\" }}\ntls = {{ ca-file = \"{}\" }}\n",
            self.ldaps_url(),
            self.base,
            self.bind_dn(),
            self.ca.display(),
        )
    }

    pub fn ca_file(&self) -> &Path {
        &self.ca
    }

    pub fn base_dn(&self) -> &str {
        &self.base
    }

    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// An ordinary user's account, to bind with.
    pub fn bind_dn(&self) -> String {
        format!("CN={READER},CN=Users,{}", self.base)
    }

    /// Of the account to bind with, and of Administrator.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Somebody who may change everything, over LDAPS.
    pub fn admin(&self) -> Client {
        self.client(&format!("CN=Administrator,CN=Users,{}", self.base))
    }

    /// The account that idcsync would use, over LDAPS.
    pub fn reader(&self) -> Client {
        self.client(&self.bind_dn())
    }

    fn client(&self, bind_dn: &str) -> Client {
        Client {
            url: self.ldaps_url(),
            ca: self.ca.clone(),
            starttls: false,
            bind_dn: bind_dn.to_owned(),
            password: PASSWORD.to_owned(),
        }
    }

    /// `ldapsearch` as the reader, over LDAPS.
    pub fn ldapsearch(&self, arguments: &[&str]) -> String {
        self.reader().search(arguments)
    }

    /// `ldapmodify` as Administrator, over LDAPS.
    pub fn ldapmodify(&self, ldif: &str) {
        self.admin().modify(ldif);
    }

    /// Changes the database itself, beside the running server: for what LDAP does not allow, such as a chosen
    /// objectGUID.
    pub fn ldbmodify(&self, ldif: &str) {
        self.ldbmodify_with(&[], ldif);
    }

    /// The same with more arguments, such as controls.
    pub fn ldbmodify_with(&self, arguments: &[&str], ldif: &str) {
        let file = tempfile::NamedTempFile::new().expect("make a temporary file");
        fs::write(file.path(), ldif).expect("write the change");
        run(Command::new("ldbmodify")
            .env("SMB_CONF_PATH", self.home.path().join("smb.conf"))
            .arg("-H")
            .arg(self.home.path().join("private/sam.ldb"))
            .arg("--relax")
            .args(arguments)
            .arg(file.path()));
    }

    /// Denies the reader something on an object and on what is below it: `rights` as the first fields of an ACE of
    /// SDDL, such as `"D;CI;LC;;"` for looking into it, or `"D;;RP;bf9679c0-0de6-11d0-a285-00aa003049e2;"` for `member`.
    pub fn deny(&self, dn: &str, rights: &str) {
        let conf = self.home.path().join("smb.conf");
        let ace = format!("({rights};{READER})");
        run(Command::new(PYTHON).args(["-c", DENY]).arg(conf).args([dn, &ace]));
    }

    /// The DN of the only object with this sAMAccountName.
    pub fn dn_of(&self, account: &str) -> String {
        self.admin().dn_of(&self.base, &format!("(sAMAccountName={account})"))
    }

    /// Deletes somebody or some group, and remembers what a recycle bin would.
    pub fn delete(&self, account: &str) -> Deleted {
        let admin = self.admin();
        let dn = self.dn_of(account);
        let before = admin.search(&["-b", &dn, "-s", "base", "(objectClass=*)", "*", "memberOf"]);
        let guid = self.guid_of(account);
        let (mut attributes, mut groups, mut members) = (String::new(), Vec::new(), Vec::new());
        for line in before.lines() {
            match line.split_once(':') {
                Some(("memberOf", _)) => groups.push(text_of(line)),
                Some(("member", _)) => members.push(text_of(line)),
                Some((name, _)) if RESTORED.contains(&name) => {
                    let _ = writeln!(attributes, "replace: {name}\n{line}\n-");
                }
                _ => {}
            }
        }
        admin.delete(&dn);
        Deleted { dn, guid, attributes, groups, members }
    }

    /// Brings it back as Active Directory's recycle bin does: the same object in its old place, with its attributes and
    /// its memberships.
    pub fn undelete(&self, deleted: &Deleted) {
        let admin = self.admin();
        let object = format!("<GUID={}>", deleted.guid);
        let found =
            admin.search(&["-e", SHOW_DELETED, "-b", &object, "-s", "base", "(isDeleted=TRUE)", "1.1"]);
        let tombstone = found.lines().find(|line| line.starts_with("dn:")).map(text_of);
        let tombstone = tombstone.unwrap_or_else(|| panic!("{} is not deleted", deleted.dn));
        let ldif = line("dn", &tombstone)
            + "changetype: modify\ndelete: isDeleted\n-\nreplace: distinguishedName\n"
            + &line("distinguishedName", &deleted.dn)
            + "-\n";
        admin.modify_with(&["-e", SHOW_DELETED], &ldif);
        // What the reanimation of a tombstone does not bring back.
        if !deleted.attributes.is_empty() {
            self.ldbmodify(&(line("dn", &deleted.dn) + "changetype: modify\n" + &deleted.attributes));
        }
        for group in &deleted.groups {
            admin.add_member(group, &deleted.dn);
        }
        for member in &deleted.members {
            admin.add_member(&deleted.dn, member);
        }
    }

    /// The objectGUID of the only object with this sAMAccountName.
    pub fn guid_of(&self, account: &str) -> Uuid {
        let filter = format!("(sAMAccountName={account})");
        let answer = self.admin().search(&["-b", &self.base, &filter, "objectGUID"]);
        let encoded = answer.lines().find_map(|line| line.strip_prefix("objectGUID:: "));
        let encoded = encoded.unwrap_or_else(|| panic!("nothing is called {account}"));
        Uuid::from_slice_le(&STANDARD.decode(encoded).expect("decode base64")).expect("a GUID")
    }

    /// Lets the reader see deleted objects, which ordinary accounts may not.
    pub fn show_deleted_to_reader(&self) {
        self.allow(&format!("CN=Deleted Objects,{}", self.base), "A;CI;LCRP;;");
    }

    /// Allows the reader something: the same as [`Self::deny`].
    pub fn allow(&self, dn: &str, rights: &str) {
        self.deny(dn, rights);
    }

    /// Everything the reader sees, for [`super::oracle`].
    pub fn dump(&self) -> String {
        self.ldapsearch(&["-E", "pr=1000/noprompt", "-b", &self.base, "(objectClass=*)"])
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Ends the server as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again as one that takes no simple bind over a connection that is not encrypted: Samba's own default, and
    /// what "LDAP server signing requirements" makes of a Windows one.
    pub fn demand_strong_auth(&mut self) {
        let path = self.home.path().join("smb.conf");
        let text = fs::read_to_string(&path).expect("read smb.conf");
        let changed = text.replace("strong auth = no", "strong auth = yes");
        assert_ne!(text, changed);
        fs::write(&path, changed).expect("write smb.conf");
        self.restart();
    }

    /// Starts it again with the same content at the same address, whether it was running or not.
    pub fn restart(&mut self) {
        self.server.stop();
        self.server = spawn(self.home.path(), &self.address);
    }
}

fn spawn(dir: &Path, address: &Loopback) -> Server {
    let mut command = Command::new("/usr/sbin/samba");
    // In the model "single", one slow search would stop all others.
    command.args(["-F", "--no-process-group", "-M", "standard", "--debug-stdout", "-d", "1", "-s"]);
    command.arg(dir.join("smb.conf"));
    Server::start("samba", command, dir, || answers(address.at(389)) && answers(address.at(636)))
}

/// The template of an empty domain.
fn provisioned(domain: &str) -> PathBuf {
    let version = run(Command::new("/usr/sbin/samba").arg("--version"));
    let sample = configuration(Path::new("/"), Ipv4Addr::LOCALHOST, domain);
    let parts = [PROVISION.as_bytes(), domain.as_bytes(), version.as_bytes(), sample.as_bytes()];
    dirs::template("samba", &format!("domain-{}", dirs::digest(parts)), |dir| {
        configure(dir, Ipv4Addr::LOCALHOST, domain);
        run(Command::new(PYTHON).args(["-c", PROVISION]).arg(dir.join("smb.conf")).args([
            &domain.to_uppercase(),
            PASSWORD,
            READER,
        ]));
    })
}

/// The template of a domain with this content.
fn loaded(domain: &str, ldif: &[u8], primary: &str) -> PathBuf {
    let empty = provisioned(domain);
    let origin = empty.file_name().expect("a template's name").as_encoded_bytes().to_vec();
    let name = format!("company-{}", dirs::digest([LOAD.as_bytes(), &origin, ldif, primary.as_bytes()]));
    dirs::template("samba", &name, |dir| {
        dirs::copy(&empty, dir);
        configure(dir, Ipv4Addr::LOCALHOST, domain);
        let (content, groups) = (dir.join("content.ldif"), dir.join("primary.tsv"));
        fs::write(&content, ldif).expect("write the content");
        fs::write(&groups, primary).expect("write the primary groups");
        run(Command::new(PYTHON).args(["-c", LOAD]).arg(dir.join("smb.conf")).arg(&content).arg(&groups));
        for file in [content, groups] {
            fs::remove_file(file).expect("remove the content once loaded");
        }
    })
}

fn configure(dir: &Path, ip: Ipv4Addr, domain: &str) {
    for part in ["private", "state", "cache", "lock", "run", "bind-dns"] {
        fs::create_dir_all(dir.join(part)).expect("make a directory of the domain controller");
    }
    fs::write(dir.join("smb.conf"), configuration(dir, ip, domain)).expect("write smb.conf");
}

fn configuration(dir: &Path, ip: Ipv4Addr, domain: &str) -> String {
    let realm = domain.to_uppercase();
    let workgroup = realm.split('.').next().unwrap_or("CORP");
    let home = dir.display();
    format!(
        "[global]
netbios name = DC1
realm = {realm}
workgroup = {workgroup}
server role = active directory domain controller
server services = ldap
dcerpc endpoint servers = -winreg
interfaces = {ip}/8
bind interfaces only = yes
private dir = {home}/private
state directory = {home}/state
cache directory = {home}/cache
lock directory = {home}/lock
pid directory = {home}/run
ncalrpc dir = {home}/run/ncalrpc
binddns dir = {home}/bind-dns
log file = {home}/log.samba
log level = 1
ldap server require strong auth = no
tls enabled = yes
tls cafile = {home}/tls/ca.pem
tls certfile = {home}/tls/cert.pem
tls keyfile = {home}/tls/key.pem
idmap_ldb:use rfc2307 = yes
disable netbios = yes
load printers = no
[sysvol]
path = {home}/state/sysvol
read only = no
[netlogon]
path = {home}/state/sysvol/{domain}/scripts
read only = no
"
    )
}
