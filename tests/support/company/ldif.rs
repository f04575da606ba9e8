//! The company as LDIF (RFC 2849), streamed.

use std::fmt::Write as _;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{CONTRACTORS, Company, Group, GroupKind, Member, Person};

/// Which schema the entries follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// For Samba: records to add, then `changetype: modify` records with the members, since AD wants a member to
    /// exist. Primary groups are not in it, see [`Company::primary_groups`].
    ActiveDirectory,
    /// inetOrgPerson and groupOfNames with entryUUID, for `slapadd`; the first record is the base.
    OpenLdap,
}

impl Company {
    /// Writes all of it.
    pub fn write_ldif(&self, flavour: Flavour, out: &mut impl Write) -> io::Result<()> {
        match flavour {
            Flavour::ActiveDirectory => self.write_ad(out),
            Flavour::OpenLdap => self.write_openldap(out),
        }
    }

    pub fn person_dn(&self, person: &Person, flavour: Flavour) -> String {
        let unit = self.unit_dn(person.unit);
        match flavour {
            Flavour::ActiveDirectory => format!("CN={},{unit}", escaped(&person.common_name)),
            Flavour::OpenLdap if person.index.is_multiple_of(50) => {
                format!("cn={}+uid={},{unit}", escaped(&person.common_name), person.account)
            }
            Flavour::OpenLdap if person.index % 4 == 1 => {
                format!("cn={},{unit}", escaped(&person.common_name))
            }
            Flavour::OpenLdap => format!("uid={},{unit}", person.account),
        }
    }

    pub fn group_dn(&self, group: &Group) -> String {
        let unit = if group.index % 3 == 1 { "Gruppen, \"intern\"" } else { "Groups" };
        format!("CN={},{}", escaped(&group.common_name), self.unit_dn(unit))
    }

    /// Who is to have a primary group other than Domain Users, and which (DNs).
    pub fn primary_groups(&self) -> Vec<(String, String)> {
        let group = self.group_dn(&self.group(self.special(CONTRACTORS)));
        self.contractors().map(|p| (self.person_dn(&p, Flavour::ActiveDirectory), group.clone())).collect()
    }

    fn unit_dn(&self, unit: &str) -> String {
        format!("OU={},{}", escaped(unit), self.base_dn())
    }

    fn member_dn(&self, member: Member, flavour: Flavour) -> String {
        match member {
            Member::Person(index) => self.person_dn(&self.person(index), flavour),
            Member::Group(index) => self.group_dn(&self.group(index)),
            Member::Computer(index) => format!("CN=WS{index:05},{}", self.unit_dn("Machines")),
            Member::Contact(index) => format!("CN=Partner\\, Extern {index},{}", self.unit_dn("Machines")),
            Member::ServiceAccount => format!("CN=gmsa-batch,{}", self.unit_dn("Machines")),
        }
    }

    fn all_units(&self) -> impl Iterator<Item = &'static str> {
        self.units().iter().copied().chain(["Groups", "Gruppen, \"intern\"", "Machines"])
    }

    fn write_ad(&self, out: &mut impl Write) -> io::Result<()> {
        let ad = Flavour::ActiveDirectory;
        for unit in self.all_units() {
            Record::new(&self.unit_dn(unit))
                .add("objectClass", "organizationalUnit")
                .add("ou", unit)
                .end(out)?;
        }
        for person in (0..self.people).map(|index| self.person(index)) {
            let control = match (person.disabled, person.index % 5) {
                (true, 0) => "66050",
                (true, _) => "514",
                (false, 0) => "66048",
                (false, _) => "512",
            };
            let mut record = Record::new(&self.person_dn(&person, ad));
            record
                .add("objectClass", "user")
                .add("sAMAccountName", &person.account)
                .add("userAccountControl", control)
                .add("title", person.title)
                .add("department", person.department)
                .add_some("givenName", person.given_name.as_deref())
                .add_some("sn", person.surname.as_deref())
                .add_some("displayName", person.display_name.as_deref())
                .add_some("userPrincipalName", person.principal_name.as_deref())
                .add_some("mail", person.mail.as_deref())
                .add_bytes("objectGUID", &person.guid);
            if let Some(mail) = &person.mail {
                record
                    .add("proxyAddresses", &format!("SMTP:{mail}"))
                    .add("proxyAddresses", &format!("smtp:{}@{}", person.account, self.domain));
            }
            if person.expired {
                // 1 January 2020, in tenths of a microsecond since 1601.
                record.add("accountExpires", "132223104000000000");
            }
            record.end(out)?;
        }
        for index in 0..self.computers() {
            Record::new(&self.member_dn(Member::Computer(index), ad))
                .add("objectClass", "computer")
                .add("sAMAccountName", &format!("WS{index:05}$"))
                .add("userAccountControl", "4096")
                .end(out)?;
        }
        for index in 0..self.contacts() {
            Record::new(&self.member_dn(Member::Contact(index), ad))
                .add("objectClass", "contact")
                .add("givenName", "Extern")
                .add("sn", "Partner")
                .add("displayName", "Partner, Extern")
                .add("mail", &format!("partner{index}@example.org"))
                .end(out)?;
        }
        Record::new(&self.member_dn(Member::ServiceAccount, ad))
            .add("objectClass", "msDS-GroupManagedServiceAccount")
            .add("sAMAccountName", "gmsa-batch$")
            .add("userAccountControl", "4096")
            .add("msDS-ManagedPasswordInterval", "30")
            .add("displayName", "Batch")
            .end(out)?;
        for group in (0..self.groups).map(|index| self.group(index)) {
            let kind = match group.kind {
                GroupKind::Global => "-2147483646",
                GroupKind::DomainLocal => "-2147483644",
                GroupKind::Universal => "-2147483640",
                GroupKind::Distribution => "8",
            };
            Record::new(&self.group_dn(&group))
                .add("objectClass", "group")
                .add("sAMAccountName", &group.account)
                .add("groupType", kind)
                .add("description", &format!("{} of {}", group.common_name, self.domain))
                .add_bytes("objectGUID", &group.guid)
                .end(out)?;
        }
        for index in 0..self.groups {
            let mut members = self.members(index).peekable();
            if members.peek().is_some() {
                let mut record = Record::new(&self.group_dn(&self.group(index)));
                record.add("changetype", "modify").add("add", "member");
                for member in members {
                    record.add("member", &self.member_dn(member, ad));
                }
                record.text.push_str("-\n");
                record.end(out)?;
            }
        }
        Ok(())
    }

    fn write_openldap(&self, out: &mut impl Write) -> io::Result<()> {
        let flavour = Flavour::OpenLdap;
        let label = self.domain.split('.').next().unwrap_or("corp");
        Record::new(&self.base_dn())
            .add("objectClass", "dcObject")
            .add("objectClass", "organization")
            .add("dc", label)
            .add("o", &self.domain)
            .end(out)?;
        for unit in self.all_units() {
            Record::new(&self.unit_dn(unit))
                .add("objectClass", "organizationalUnit")
                .add("ou", unit)
                .end(out)?;
        }
        for person in (0..self.people).map(|index| self.person(index)) {
            let mut record = Record::new(&self.person_dn(&person, flavour));
            record
                .add("objectClass", "inetOrgPerson")
                .add("uid", &person.account)
                .add("cn", &person.common_name)
                // The schema demands it.
                .add("sn", person.surname.as_deref().unwrap_or(&person.account))
                .add("title", person.title)
                .add("departmentNumber", person.department)
                .add_some("givenName", person.given_name.as_deref())
                .add_some("displayName", person.display_name.as_deref())
                .add_some("mail", person.mail.as_deref())
                .add("entryUUID", &dashed(&person.guid));
            record.end(out)?;
        }
        for index in 0..self.computers() {
            Record::new(&self.member_dn(Member::Computer(index), flavour))
                .add("objectClass", "device")
                .add("cn", &format!("WS{index:05}"))
                .end(out)?;
        }
        for index in 0..self.contacts() {
            Record::new(&self.member_dn(Member::Contact(index), flavour))
                .add("objectClass", "organizationalRole")
                .add("cn", &format!("Partner, Extern {index}"))
                .end(out)?;
        }
        Record::new(&self.member_dn(Member::ServiceAccount, flavour))
            .add("objectClass", "applicationProcess")
            .add("cn", "gmsa-batch")
            .end(out)?;
        for group in (0..self.groups).map(|index| self.group(index)) {
            let mut record = Record::new(&self.group_dn(&group));
            record
                .add("objectClass", "groupOfNames")
                .add("cn", &group.common_name)
                .add("description", &format!("{} of {}", group.common_name, self.domain))
                .add("entryUUID", &dashed(&group.guid));
            let mut none = true;
            for member in self.members(group.index) {
                record.add("member", &self.member_dn(member, flavour));
                none = false;
            }
            if group.index == self.special(CONTRACTORS) {
                for person in self.contractors() {
                    record.add("member", &self.person_dn(&person, flavour));
                    none = false;
                }
            }
            if none {
                // The schema demands a member. A group that has only itself is as good as empty.
                record.add("member", &self.group_dn(&group));
            }
            record.end(out)?;
        }
        Ok(())
    }
}

/// One LDIF record under construction.
struct Record {
    text: String,
}

impl Record {
    fn new(dn: &str) -> Self {
        let mut record = Self { text: String::with_capacity(512) };
        record.add("dn", dn);
        record
    }

    fn add(&mut self, name: &str, value: &str) -> &mut Self {
        // RFC 2849: safe text is ASCII that begins neither with a space, a colon nor "<", and does not end in a space.
        let safe = value.bytes().all(|byte| (0x20..0x7f).contains(&byte))
            && !value.starts_with([' ', ':', '<'])
            && !value.ends_with(' ');
        if !safe {
            return self.add_bytes(name, value.as_bytes());
        }
        for part in [name, ": ", value, "\n"] {
            self.text.push_str(part);
        }
        self
    }

    fn add_some(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value { self.add(name, value) } else { self }
    }

    fn add_bytes(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.text.push_str(name);
        self.text.push_str(":: ");
        STANDARD.encode_string(value, &mut self.text);
        self.text.push('\n');
        self
    }

    fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.text.push('\n');
        out.write_all(self.text.as_bytes())
    }
}

/// The value of an RDN, escaped as RFC 4514 section 2.4 asks.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 8);
    let last = value.chars().count().saturating_sub(1);
    for (nth, letter) in value.chars().enumerate() {
        let special = matches!(letter, '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=')
            || (nth == 0 && matches!(letter, ' ' | '#'))
            || (nth == last && letter == ' ');
        if special {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

/// A UUID as text, the bytes in the order of RFC 9562 (entryUUID; not that of objectGUID).
fn dashed(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (nth, byte) in bytes.iter().enumerate() {
        if matches!(nth, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}
