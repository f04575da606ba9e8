//! A small LDAP server that answers searches over a list of entries, and does on demand what real servers won't: sends
//! ranges unasked, ends pages with result codes, goes silent, cuts the connection.

#![allow(dead_code, reason = "each test crate uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "this is test code, where a panic is the report")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::{SinkExt, StreamExt};
use ldap3_proto::LdapCodec;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapBindCred, LdapBindResponse, LdapFilter, LdapMsg, LdapOp, LdapPartialAttribute, LdapResult,
    LdapResultCode, LdapSearchRequest, LdapSearchResultEntry, LdapSearchResultReference, LdapSearchScope,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::codec::Framed;

pub const BASE: &str = "DC=corp,DC=example";
pub const PASSWORD: &str = "secret";

#[derive(Clone, Debug)]
pub struct Entry {
    pub dn: String,
    pub attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    pub fn new(dn: &str, list: &[(&str, &str)]) -> Self {
        let mut entry = Self { dn: dn.to_owned(), attributes: Vec::new() };
        for (name, value) in list {
            entry.add(name, value.as_bytes().to_vec());
        }
        entry
    }

    pub fn add(&mut self, name: &str, value: Vec<u8>) {
        match self.attributes.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some((_, values)) => values.push(value),
            None => self.attributes.push((name.to_owned(), vec![value])),
        }
    }

    fn values(&self, name: &str) -> &[Vec<u8>] {
        let found = self.attributes.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map_or(&[], |(_, values)| values.as_slice())
    }
}

/// A request, as scripts and tests see it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Searches on this server before this one, since it started.
    pub number: usize,
    pub base: String,
    /// The filter in its Debug form.
    pub filter: String,
    pub attributes: Vec<String>,
    /// Entries that were sent before on this paged search; `None` without the paging control.
    pub offset: Option<usize>,
    /// Deleted objects are to be shown.
    pub show_deleted: bool,
    /// It asks for changes (RFC 4533), with this cookie.
    pub sync: Option<Vec<u8>>,
}

impl Seen {
    /// A look-up of names or of what a filter finds, not of the root DSE or the base.
    pub fn is_read(&self) -> bool {
        !(self.base.is_empty() || self.base == BASE && self.filter.contains("Present"))
    }
}

/// What the server does with a request instead of answering it properly.
#[derive(Clone, Debug)]
pub enum Twist {
    /// Sends this many entries of the page, then this result code.
    Code {
        after: usize,
        code: LdapResultCode,
    },
    /// Sends this many entries, then closes the connection.
    Cut {
        after: usize,
    },
    Silent,
    /// Answers as it should, with a continuation reference before the end.
    Refer(String),
    /// Always the first page, always with the same cookie.
    Loop,
    /// Empty pages, for ever.
    Empty,
    /// All entries at once, without the paging control.
    Unpaged,
    /// Every entry twice.
    Twice,
    /// For a range: another one than was asked for.
    Range {
        low: usize,
        high: Option<usize>,
    },
    /// Nothing of what was asked for.
    Nothing,
    /// All that there is, whatever was asked for.
    Everything,
    /// These messages, with success unless they end in another result.
    Say(Vec<(LdapOp, Vec<LdapControl>)>),
}

pub type Script = Arc<dyn Fn(&Seen) -> Option<Twist> + Send + Sync>;

#[derive(Clone)]
pub struct Behaviour {
    pub entries: Vec<Entry>,
    /// Values of one attribute that are sent at once (`MaxValRange`).
    pub most_values: usize,
    pub script: Script,
    /// Of the bind.
    pub bind: (LdapResultCode, String),
    /// `supportedControl` names the paging control.
    pub paging: bool,
    /// `supportedControl` names content synchronisation.
    pub sync: bool,
    /// `supportedCapabilities` says that it is Active Directory.
    pub ad: bool,
}

impl Behaviour {
    pub fn of(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            most_values: 1500,
            script: Arc::new(|_| None),
            bind: (LdapResultCode::Success, String::new()),
            paging: true,
            sync: false,
            ad: true,
        }
    }

    pub fn with(mut self, script: impl Fn(&Seen) -> Option<Twist> + Send + Sync + 'static) -> Self {
        self.script = Arc::new(script);
        self
    }
}

pub struct FakeLdap {
    pub url: String,
    log: Arc<Mutex<Vec<Seen>>>,
    binds: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FakeLdap {
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ldap://{}", listener.local_addr().unwrap());
        let log: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let binds = Arc::<AtomicUsize>::default();
        let (behaviour, shared, counted) = (Arc::new(behaviour), log.clone(), binds.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, behaviour.clone(), shared.clone(), counted.clone()));
            }
        });
        Self { url, log, binds, task }
    }

    /// How often somebody has tried to sign in.
    pub fn binds(&self) -> usize {
        self.binds.load(Ordering::Relaxed)
    }

    /// All searches so far.
    pub fn log(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    /// Those that read people and groups.
    pub fn reads(&self) -> Vec<Seen> {
        self.log().into_iter().filter(Seen::is_read).collect()
    }
}

impl Drop for FakeLdap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: TcpStream,
    behaviour: Arc<Behaviour>,
    log: Arc<Mutex<Vec<Seen>>>,
    binds: Arc<AtomicUsize>,
) {
    let mut stream = Framed::new(stream, LdapCodec::new(Some(16 << 20), Some(64)));
    while let Some(Ok(LdapMsg { msgid, op, ctrl })) = stream.next().await {
        match op {
            LdapOp::BindRequest(request) => {
                binds.fetch_add(1, Ordering::Relaxed);
                let right = matches!(&request.cred, LdapBindCred::Simple(p) if p == PASSWORD);
                let (code, text) = behaviour.bind.clone();
                let code = if right { code } else { LdapResultCode::InvalidCredentials };
                let res = result(code, &text);
                let op = LdapOp::BindResponse(LdapBindResponse { res, saslcreds: None });
                if stream.send(LdapMsg { msgid, op, ctrl: Vec::new() }).await.is_err() {
                    return;
                }
            }
            LdapOp::SearchRequest(request) => {
                let page = ctrl.iter().find_map(|c| match c {
                    LdapControl::SimplePagedResults { size, cookie } => {
                        let offset = String::from_utf8_lossy(cookie).parse().unwrap_or(0);
                        Some((usize::try_from(*size).unwrap(), offset))
                    }
                    _ => None,
                });
                let seen = {
                    let mut log = log.lock().unwrap();
                    let seen = Seen {
                        number: log.len(),
                        base: request.base.clone(),
                        filter: format!("{:?}", request.filter),
                        attributes: request.attrs.clone(),
                        offset: page.map(|(_, offset)| offset),
                        show_deleted: ctrl.iter().any(|c| matches!(c, LdapControl::ShowDeleted { .. })),
                        sync: ctrl.iter().find_map(|c| match c {
                            LdapControl::SyncRequest { cookie, .. } => {
                                Some(cookie.clone().unwrap_or_default())
                            }
                            _ => None,
                        }),
                    };
                    log.push(seen.clone());
                    seen
                };
                let twist = (behaviour.script)(&seen);
                if matches!(twist, Some(Twist::Silent)) {
                    std::future::pending::<()>().await;
                }
                let (answers, cut) = answer(&behaviour, &request, &seen, page, twist.as_ref());
                for (op, ctrl) in answers {
                    if stream.feed(LdapMsg { msgid, op, ctrl }).await.is_err() {
                        return;
                    }
                }
                if stream.flush().await.is_err() || cut {
                    return;
                }
            }
            LdapOp::UnbindRequest => return,
            _ => {}
        }
    }
}

/// The messages to send, and whether the connection is cut after them.
fn answer(
    behaviour: &Behaviour,
    request: &LdapSearchRequest,
    seen: &Seen,
    page: Option<(usize, usize)>,
    twist: Option<&Twist>,
) -> (Vec<(LdapOp, Vec<LdapControl>)>, bool) {
    if request.base.is_empty() {
        return (vec![(entry(&root_dse(behaviour), request, 0, None), vec![]), (done(0), vec![])], false);
    }
    if let Some(Twist::Say(messages)) = twist {
        let mut messages = messages.clone();
        if !matches!(messages.last(), Some((LdapOp::SearchResultDone(_), _))) {
            messages.push((done(0), vec![]));
        }
        return (messages, false);
    }
    let everything = matches!(twist, Some(Twist::Everything));
    let hits: Vec<&Entry> = behaviour
        .entries
        .iter()
        .filter(|e| everything || matches(e, request) && (is_live(e) || shows_deleted(seen)))
        .collect();
    let (size, offset) = match (page, twist) {
        (_, Some(Twist::Unpaged)) | (None, _) => (usize::MAX, 0),
        (Some((size, _)), Some(Twist::Loop)) => (size, 0),
        (Some(page), _) => page,
    };
    let end = offset.saturating_add(size).min(hits.len());
    let mut shown: Vec<&Entry> = hits[offset.min(end)..end].to_vec();
    let control = |cookie: String| match page {
        Some(_) if !matches!(twist, Some(Twist::Unpaged)) => {
            vec![LdapControl::SimplePagedResults { size: 0, cookie: cookie.into_bytes() }]
        }
        _ => vec![],
    };
    let next = if end < hits.len() { end.to_string() } else { String::new() };
    let mut ending = (done(0), control(next.clone()));
    let (mut cut, mut range) = (false, None);
    match twist {
        Some(Twist::Code { after, code }) => {
            shown.truncate(*after);
            ending = (LdapOp::SearchResultDone(result(code.clone(), "as told")), control(next));
        }
        Some(Twist::Cut { after }) => {
            shown.truncate(*after);
            cut = true;
        }
        Some(Twist::Loop) => ending.1 = control("0".to_owned()),
        Some(Twist::Empty) => {
            shown.clear();
            ending.1 = control("0".to_owned());
        }
        Some(Twist::Twice) => shown = shown.iter().flat_map(|e| [*e, *e]).collect(),
        Some(Twist::Range { low, high }) => range = Some((*low, *high)),
        Some(Twist::Nothing) => shown.clear(),
        _ => {}
    }
    let mut messages: Vec<_> =
        shown.iter().map(|e| (entry(e, request, behaviour.most_values, range), vec![])).collect();
    if let Some(Twist::Refer(url)) = twist {
        let uris = vec![url.clone()];
        messages.push((LdapOp::SearchResultReference(LdapSearchResultReference { uris }), vec![]));
    }
    if !cut {
        messages.push(ending);
    }
    (messages, cut)
}

fn root_dse(behaviour: &Behaviour) -> Entry {
    let mut root = Entry::new(
        "",
        &[
            ("defaultNamingContext", BASE),
            ("namingContexts", BASE),
            ("rootDomainNamingContext", BASE),
            ("configurationNamingContext", "CN=Configuration,DC=corp,DC=example"),
            ("currentTime", "20261103120000.0Z"),
            ("dnsHostName", "dc1.corp.example"),
        ],
    );
    if behaviour.ad {
        root.add("supportedCapabilities", b"1.2.840.113556.1.4.800".to_vec());
    }
    if behaviour.sync {
        root.add("supportedControl", b"1.3.6.1.4.1.4203.1.9.1.1".to_vec());
    }
    if behaviour.paging {
        root.add("supportedControl", b"1.2.840.113556.1.4.319".to_vec());
    }
    root
}

fn entry(
    entry: &Entry,
    request: &LdapSearchRequest,
    most: usize,
    twist: Option<(usize, Option<usize>)>,
) -> LdapOp {
    let mut attributes = Vec::new();
    let mut done = BTreeSet::new();
    for asked in &request.attrs {
        let (name, from) = match asked.to_lowercase().split_once(";range=") {
            Some((name, range)) => {
                let from = range.split('-').next().unwrap().parse().unwrap();
                (name.to_owned(), Some(from))
            }
            None => (asked.to_lowercase(), None),
        };
        let values = entry.values(&name);
        if values.is_empty() || !done.insert(name.clone()) {
            continue;
        }
        let name = entry.attributes.iter().find(|(n, _)| n.eq_ignore_ascii_case(&name)).unwrap().0.clone();
        if from.is_none() && (most == 0 || values.len() <= most) {
            attributes.push(LdapPartialAttribute { atype: name, vals: values.to_vec() });
            continue;
        }
        if from.is_none() {
            // Unasked: the attribute itself is there, and empty.
            attributes.push(LdapPartialAttribute { atype: name.clone(), vals: Vec::new() });
        }
        let (low, high) = match (from, twist) {
            (Some(_), Some((low, high))) => (low, high),
            (from, _) => {
                let low: usize = from.unwrap_or(0);
                (low, Some(low + most - 1).filter(|high| *high < values.len() - 1))
            }
        };
        if low >= values.len() {
            continue;
        }
        let span = match high {
            Some(high) => format!("{low}-{high}"),
            None => format!("{low}-*"),
        };
        let last = high.map_or(values.len(), |high| (high + 1).clamp(low, values.len()));
        let vals = values[low..last].to_vec();
        attributes.push(LdapPartialAttribute { atype: format!("{name};range={span}"), vals });
    }
    LdapOp::SearchResultEntry(LdapSearchResultEntry { dn: entry.dn.clone(), attributes })
}

fn matches(entry: &Entry, request: &LdapSearchRequest) -> bool {
    let base = request.base.to_lowercase();
    let dn = entry.dn.to_lowercase();
    let in_scope = match (&request.scope, base.strip_prefix("<guid=").and_then(|b| b.strip_suffix('>'))) {
        (_, Some(guid)) => {
            let bytes = uuid::Uuid::parse_str(guid).unwrap().to_bytes_le();
            entry.values("objectGUID").first().is_some_and(|g| g.as_slice() == bytes)
        }
        (LdapSearchScope::Base, None) => dn == base,
        _ => dn == base || dn.ends_with(&format!(",{base}")),
    };
    in_scope && holds(entry, &request.filter)
}

fn holds(entry: &Entry, filter: &LdapFilter) -> bool {
    match filter {
        LdapFilter::And(list) => list.iter().all(|f| holds(entry, f)),
        LdapFilter::Or(list) => list.iter().any(|f| holds(entry, f)),
        LdapFilter::Not(inner) => !holds(entry, inner),
        LdapFilter::Present(name) => !entry.values(name).is_empty(),
        LdapFilter::Equality(name, value) => {
            if ["distinguishedname", "entrydn"].contains(&name.to_lowercase().as_str()) {
                return entry.dn.eq_ignore_ascii_case(value);
            }
            entry.values(name).iter().any(|v| v.eq_ignore_ascii_case(value.as_bytes()))
        }
        other => panic!("the fake server does not evaluate {other:?}"),
    }
}

fn is_live(entry: &Entry) -> bool {
    let tombstone = |class: &Vec<u8>| class.eq_ignore_ascii_case(b"nsTombstone");
    entry.values("isDeleted").is_empty() && !entry.values("objectClass").iter().any(tombstone)
}

/// By the control in Active Directory, by their class in 389 Directory Server.
fn shows_deleted(seen: &Seen) -> bool {
    seen.show_deleted || seen.filter.contains("nsTombstone")
}

pub fn ended(code: LdapResultCode) -> LdapOp {
    LdapOp::SearchResultDone(result(code, ""))
}

fn done(_: u32) -> LdapOp {
    LdapOp::SearchResultDone(result(LdapResultCode::Success, ""))
}

fn result(code: LdapResultCode, message: &str) -> LdapResult {
    LdapResult { code, matcheddn: String::new(), message: message.to_owned(), referral: Vec::new() }
}
