//! The company's domain controllers: what they answer to searches, in good and in bad weather. Everything of the real
//! program is in use but the connection itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use idcsync::directory::{Ask, Broken, Network, ServerFailure, Setback, Take, Wire};
use jiff::Timestamp;
use ldap3::asn1::{PL, StructureTag, TagClass, write};
use ldap3::controls::{Control, RawControl};
use ldap3::{LdapResult, ResultEntry, Scope};

use super::company::{Account, Company, Group, Guid, Person};
use super::filter::{self, Filter};
use super::hub::{Domain, Hub, Trouble};

pub const BASE: &str = "DC=corp,DC=example";
pub const FIRST: &str = "ldap://dc1.corp.example";
pub const SECOND: &str = "ldap://dc2.corp.example";
/// Of the servers themselves.
const SETTINGS: &str = "CN=NTDS Settings,CN=DC,CN=Servers,CN=Configuration,DC=corp,DC=example";
const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
const SHOW_DELETED: &str = "1.2.840.113556.1.4.417";
/// Values of one attribute in one answer.
const MOST_VALUES: usize = 4;

pub struct Servers(pub Arc<Hub>);

struct Connection {
    hub: Arc<Hub>,
    url: &'static str,
    dead: AtomicBool,
}

#[async_trait]
impl Network for Servers {
    async fn connect(&self, url: &str) -> Result<Box<dyn Wire>, Setback> {
        let trouble = self.0.enter(Domain::Directory, || format!("connect to {url}")).await;
        let url = if url == FIRST { FIRST } else { SECOND };
        let weather = self.0.lock().weather.clone();
        let down = if url == FIRST { weather.first_down } else { weather.second_down };
        if down || trouble.is_some() {
            return Err(Setback::Next(ServerFailure::Connect("connection refused".to_owned())));
        }
        Ok(Box::new(Connection { hub: self.0.clone(), url, dead: AtomicBool::new(false) }))
    }

    fn now(&self) -> Timestamp {
        self.0.clock()
    }
}

/// One entry as the server has it.
pub struct Entry {
    pub dn: String,
    pub guid: Option<Guid>,
    pub deleted: bool,
    pub attributes: Vec<(&'static str, Vec<Vec<u8>>)>,
}

impl Entry {
    pub fn values(&self, name: &str) -> &[Vec<u8>] {
        let found = self.attributes.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or(&[], |(_, values)| values.as_slice())
    }
}

#[async_trait]
impl Wire for Connection {
    async fn search(&self, ask: &Ask<'_>, take: Take<'_>) -> Result<Option<LdapResult>, Broken> {
        let what = || {
            let filter: String = ask.filter.chars().take(70).collect();
            let page =
                ask.page.as_ref().map(|(size, cookie)| (*size, String::from_utf8_lossy(cookie).into_owned()));
            format!("search {} {} {filter} {page:?}", self.url, ask.base)
        };
        let trouble = self.hub.enter(Domain::Directory, what).await;
        if self.dead.load(Ordering::SeqCst) {
            return Err(Broken::Lost("the connection was lost before".to_owned()));
        }
        if trouble == Some(Trouble::Silent) {
            self.dead.store(true, Ordering::SeqCst);
            return Err(Broken::Silent(Duration::from_secs(30)));
        }
        let answer = self.answer(ask);
        let (mut entries, mut result) = answer;
        let mut cut = None;
        match trouble {
            Some(Trouble::Cut(after)) => cut = Some(after),
            Some(Trouble::Code(code, after)) => {
                entries.truncate(after);
                result = LdapResult { rc: code, text: "as it happens".to_owned(), ..result };
            }
            Some(Trouble::Omit(at)) if at < entries.len() => {
                entries.remove(at);
            }
            Some(Trouble::Refer) => {
                entries.push(reference("ldap://elsewhere.example/DC=elsewhere,DC=example"))
            }
            _ => {}
        }
        for (at, entry) in entries.into_iter().enumerate() {
            if cut == Some(at) {
                break;
            }
            if !take(ResultEntry::new(entry)) {
                return Ok(None);
            }
        }
        if cut.is_some() {
            self.dead.store(true, Ordering::SeqCst);
            return Err(Broken::Lost("the connection was cut".to_owned()));
        }
        if let Some(Trouble::Crash { after: true }) = trouble {
            self.hub.die().await;
        }
        Ok(Some(result))
    }

    async fn close(&self) {}
}

impl Connection {
    /// What this server has, and marks that it was shown.
    fn view(&self) -> Arc<Company> {
        let mut inner = self.hub.lock();
        let last = inner.versions.len() - 1;
        let at = if self.url == FIRST { last } else { last.saturating_sub(inner.weather.lag) };
        inner.served.insert(at);
        inner.versions[at].clone()
    }

    fn answer(&self, ask: &Ask<'_>) -> (Vec<StructureTag>, LdapResult) {
        let (weather, now) = {
            let inner = self.hub.lock();
            (inner.weather.clone(), inner.now)
        };
        if ask.base.is_empty() {
            // How far its changes go is a word about all of them, for whoever reads by them.
            let commits = if self.hub.by_changes { self.view().commits } else { 0 };
            return (vec![entry(&root(now, self.url, commits), ask)], done(0, None));
        }
        if ask.base == SETTINGS {
            let incarnation = [if self.url == FIRST { 1 } else { 2 }; 16];
            let settings = Entry {
                dn: SETTINGS.to_owned(),
                guid: None,
                deleted: false,
                attributes: vec![("invocationId", vec![incarnation.to_vec()])],
            };
            return (vec![entry(&settings, ask)], done(0, None));
        }
        let company = self.view();
        let wanted = filter::parse(ask.filter).expect("a filter that was sent is one");
        let deleted = ask.controls.iter().any(|c| c.ctype == SHOW_DELETED) && !weather.hidden.tombstones;
        let mut hits: Vec<Entry> = entries(&company)
            .into_iter()
            .filter(|e| !e.guid.is_some_and(|guid| weather.hidden.objects.contains(&guid)))
            .map(|mut e| {
                let hidden = &weather.hidden;
                e.attributes.retain(|(name, _)| {
                    let Some(guid) = e.guid else { return true };
                    !(*name == "member" && hidden.members.contains(&guid)
                        || *name == "userAccountControl" && hidden.accounts.contains(&guid))
                });
                e
            })
            .filter(|e| (deleted || !e.deleted) && within(e, ask) && holds(e, &wanted))
            .collect();
        if matches!(ask.scope, Scope::Base) && hits.is_empty() {
            return (Vec::new(), done(32, None));
        }
        let limit = weather.size_limit.unwrap_or(usize::MAX);
        let Some((size, cookie)) = &ask.page else {
            let code = if hits.len() > limit { 4 } else { 0 };
            hits.truncate(limit);
            return (hits.iter().map(|e| entry(e, ask)).collect(), done(code, None));
        };
        let size = usize::try_from(*size).unwrap();
        // `offset` or `offset+`: an empty page was just sent.
        let text = String::from_utf8_lossy(cookie).into_owned();
        let (offset, empty) = (text.trim_end_matches('+').parse().unwrap_or(0_usize), text.ends_with('+'));
        if size == 0 {
            return (Vec::new(), done(0, Some(String::new())));
        }
        // A server cuts pages before it filters: one of them may have nothing in it.
        if !empty && !hits.is_empty() && self.hub.lock().chance.one_in(4) {
            return (Vec::new(), done(0, Some(format!("{offset}+"))));
        }
        let end = offset.saturating_add(size).min(hits.len());
        if end > limit {
            let shown = hits.iter().take(limit).skip(offset).map(|e| entry(e, ask)).collect();
            return (shown, done(4, Some(String::new())));
        }
        let next = if end < hits.len() { end.to_string() } else { String::new() };
        (hits[offset.min(end)..end].iter().map(|e| entry(e, ask)).collect(), done(0, Some(next)))
    }
}

pub fn person_dn(person: &Person) -> String {
    format!("CN={},OU={},{BASE}", person.name, person.unit.replace(',', "\\,"))
}

pub fn group_dn(group: &Group) -> String {
    format!("CN={},OU={},{BASE}", group.name, group.unit.replace(',', "\\,"))
}

fn sid(number: u32) -> Vec<u8> {
    let mut bytes = vec![1, 5, 0, 0, 0, 0, 0, 5];
    for part in [21, 1, 2, 3, 1000 + number] {
        bytes.extend(u32::to_le_bytes(part));
    }
    bytes
}

fn root(now: Timestamp, url: &str, commits: u64) -> Entry {
    let time = now.strftime("%Y%m%d%H%M%S.0Z").to_string();
    let text = |value: &str| vec![value.as_bytes().to_vec()];
    Entry {
        dn: String::new(),
        guid: None,
        deleted: false,
        attributes: vec![
            ("defaultNamingContext", text(BASE)),
            ("namingContexts", text(BASE)),
            ("rootDomainNamingContext", text(BASE)),
            ("configurationNamingContext", text("CN=Configuration,DC=corp,DC=example")),
            ("currentTime", text(&time)),
            ("dnsHostName", text(url.trim_start_matches("ldap://"))),
            ("dsServiceName", text(SETTINGS)),
            ("highestCommittedUSN", text(&commits.to_string())),
            ("supportedCapabilities", text("1.2.840.113556.1.4.800")),
            ("supportedControl", vec![PAGED_RESULTS.as_bytes().to_vec(), SHOW_DELETED.as_bytes().to_vec()]),
        ],
    }
}

/// Everything below the base, and the base.
fn entries(company: &Company) -> Vec<Entry> {
    let text = |value: &str| vec![value.as_bytes().to_vec()];
    let mut domain_sid = sid(0);
    domain_sid.truncate(24);
    domain_sid[1] = 4;
    let mut all = vec![Entry {
        dn: BASE.to_owned(),
        guid: None,
        deleted: false,
        attributes: vec![("objectClass", text("domainDNS")), ("objectSid", vec![domain_sid])],
    }];
    for person in company.people.values() {
        let control = if person.account == Account::Disabled { "514" } else { "512" };
        let expires = if person.account == Account::Expired { "129000000000000000" } else { "0" };
        let primary = person.primary.and_then(|g| company.groups.get(&g)).map_or(513, |g| 1000 + g.number);
        let mut attributes = vec![
            (
                "objectClass",
                ["top", "person", "organizationalPerson", "user"].map(|c| c.as_bytes().to_vec()).to_vec(),
            ),
            ("objectGUID", vec![person.guid.0.to_vec()]),
            ("objectSid", vec![sid(person.number)]),
            ("sAMAccountName", text(&person.name)),
            ("sAMAccountType", text("805306368")),
            ("userAccountControl", text(control)),
            ("accountExpires", text(expires)),
            ("whenCreated", text("20250101000000.0Z")),
            ("primaryGroupID", text(&primary.to_string())),
            ("displayName", text(&format!("Person {}", person.number))),
            ("givenName", text("P")),
        ];
        for (name, value) in [
            ("userPrincipalName", &person.upn),
            ("mail", &person.mail),
            ("sn", &person.surname),
            ("title", &person.title),
        ] {
            attributes.extend(value.iter().map(|value| (name, text(value))));
        }
        all.push(Entry { dn: person_dn(person), guid: Some(person.guid), deleted: false, attributes });
    }
    for group in company.groups.values() {
        let mut members: Vec<Vec<u8>> = Vec::new();
        members.extend(
            group.people.iter().filter_map(|g| company.people.get(g)).map(|p| person_dn(p).into_bytes()),
        );
        members.extend(
            group.groups.iter().filter_map(|g| company.groups.get(g)).map(|g| group_dn(g).into_bytes()),
        );
        let mut attributes = vec![
            ("objectClass", ["top", "group"].map(|c| c.as_bytes().to_vec()).to_vec()),
            ("objectGUID", vec![group.guid.0.to_vec()]),
            ("objectSid", vec![sid(group.number)]),
            ("sAMAccountName", text(&group.name)),
            ("groupType", text("-2147483646")),
            ("whenCreated", text("20250101000000.0Z")),
        ];
        if !members.is_empty() {
            attributes.push(("member", members));
        }
        all.push(Entry { dn: group_dn(group), guid: Some(group.guid), deleted: false, attributes });
    }
    for guid in &company.tombstones {
        all.push(Entry {
            dn: format!("CN=gone\\0ADEL:{},CN=Deleted Objects,{BASE}", guid.text()),
            guid: Some(*guid),
            deleted: true,
            attributes: vec![
                ("objectGUID", vec![guid.0.to_vec()]),
                ("isDeleted", text("TRUE")),
                ("objectClass", ["top", "user"].map(|c| c.as_bytes().to_vec()).to_vec()),
            ],
        });
    }
    all.push(Entry {
        dn: format!("CN=Deleted Objects,{BASE}"),
        guid: None,
        deleted: true,
        attributes: vec![("objectClass", text("container")), ("isDeleted", text("TRUE"))],
    });
    if company.says_member_of {
        for entry in &mut all {
            let is_in = |group: &&Group| {
                entry.guid.is_some_and(|g| group.people.contains(&g) || group.groups.contains(&g))
            };
            let of: Vec<Vec<u8>> =
                company.groups.values().filter(is_in).map(|g| group_dn(g).into_bytes()).collect();
            if !of.is_empty() {
                entry.attributes.push(("memberOf", of));
            }
        }
    }
    for entry in &mut all {
        if let Some(stamp) = entry.guid.and_then(|guid| company.stamps.get(&guid)) {
            entry.attributes.push(("uSNCreated", text(&stamp.created.to_string())));
            entry.attributes.push(("uSNChanged", text(&stamp.changed.to_string())));
        }
    }
    all
}

fn within(entry: &Entry, ask: &Ask<'_>) -> bool {
    let base = ask.base.to_lowercase();
    if let Some(guid) = base.strip_prefix("<guid=").and_then(|b| b.strip_suffix('>')) {
        return !entry.deleted && entry.guid.is_some_and(|g| g.text() == guid);
    }
    let dn = entry.dn.to_lowercase();
    match ask.scope {
        Scope::Base => dn == base,
        Scope::OneLevel | Scope::Subtree => dn == base || dn.ends_with(&format!(",{base}")),
    }
}

fn holds(entry: &Entry, wanted: &Filter) -> bool {
    match wanted {
        Filter::And(list) => list.iter().all(|f| holds(entry, f)),
        Filter::Or(list) => list.iter().any(|f| holds(entry, f)),
        Filter::Not(inner) => !holds(entry, inner),
        Filter::Present(name) => !entry.values(name).is_empty(),
        Filter::Equal(name, value) if name.eq_ignore_ascii_case("distinguishedName") => {
            entry.dn.as_bytes().eq_ignore_ascii_case(value)
        }
        Filter::Equal(name, value) if name.eq_ignore_ascii_case("objectGUID") => {
            entry.guid.is_some_and(|guid| guid.0.as_slice() == value.as_slice())
        }
        Filter::AtLeast(name, least) => {
            let number = |v: &Vec<u8>| std::str::from_utf8(v).ok()?.parse::<u64>().ok();
            entry.values(name).iter().filter_map(number).any(|n| n >= *least)
        }
        Filter::Equal(name, value) => entry.values(name).iter().any(|v| v.eq_ignore_ascii_case(value)),
    }
}

fn primitive(bytes: &[u8]) -> StructureTag {
    StructureTag { class: TagClass::Universal, id: 4, payload: PL::P(bytes.to_vec()) }
}

fn constructed(id: u64, parts: Vec<StructureTag>) -> StructureTag {
    StructureTag { class: TagClass::Universal, id, payload: PL::C(parts) }
}

/// SearchResultEntry (RFC 4511 section 4.5.2) with the attributes that were asked for.
fn entry(entry: &Entry, ask: &Ask<'_>) -> StructureTag {
    let mut list = Vec::new();
    let mut add = |name: String, values: &[Vec<u8>]| {
        let values = values.iter().map(|v| primitive(v)).collect();
        list.push(constructed(16, vec![primitive(name.as_bytes()), constructed(17, values)]));
    };
    for asked in ask.attributes.iter() {
        let (name, from) = match asked.split_once(";range=") {
            Some((name, range)) => (name, range.split('-').next().and_then(|low| low.parse::<usize>().ok())),
            None => (asked.as_str(), None),
        };
        let values = entry.values(name);
        if values.is_empty() {
            continue;
        }
        if from.is_none() && values.len() <= MOST_VALUES {
            add(name.to_owned(), values);
            continue;
        }
        let low = from.unwrap_or(0);
        if from.is_none() {
            add(name.to_owned(), &[]);
        }
        if low >= values.len() {
            continue;
        }
        let end = (low + MOST_VALUES).min(values.len());
        let high = if end == values.len() { "*".to_owned() } else { (end - 1).to_string() };
        add(format!("{name};range={low}-{high}"), &values[low..end]);
    }
    // As bytes, which is how the program has the library hand entries over.
    let mut body = BytesMut::new();
    for part in [primitive(entry.dn.as_bytes()), constructed(16, list)] {
        write::encode_into(&mut body, part).unwrap();
    }
    StructureTag { class: TagClass::Application, id: 4, payload: PL::P(body.to_vec()) }
}

fn reference(url: &str) -> StructureTag {
    StructureTag { class: TagClass::Application, id: 19, payload: PL::C(vec![primitive(url.as_bytes())]) }
}

/// With the paging control's answer, where there is a cookie.
fn done(code: u32, cookie: Option<String>) -> LdapResult {
    let control = cookie.map(|cookie| {
        let mut value = vec![0x30, u8::try_from(cookie.len() + 5).unwrap(), 2, 1, 0, 4];
        value.push(u8::try_from(cookie.len()).unwrap());
        value.extend(cookie.as_bytes());
        Control(None, RawControl { ctype: PAGED_RESULTS.to_owned(), crit: false, val: Some(value) })
    });
    LdapResult {
        rc: code,
        matched: String::new(),
        text: String::new(),
        refs: Vec::new(),
        ctrls: control.into_iter().collect(),
    }
}
