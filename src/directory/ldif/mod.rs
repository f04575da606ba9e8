//! A directory read from an LDIF export, for rehearsals off line: the same walk as over LDAP, with the searches
//! answered from memory.
//!
//! An export counts as whole only if its end says so: `ldapsearch`'s trailer with its count of entries, or a line
//! `# idcsync: end` that a person adds to the export of a program that writes no trailer (`ldifde`).

mod parse;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::entry;
use super::filter::{Filter, wrapped};
use super::range;
use super::reader::{Ending, Facts, Fault, Query, RawEntry, Reader, Referral, Selection, Traffic};
use super::settings::LdifSettings;
use super::{Directory, DirectoryError, checked, fates, walk};
use crate::ids::{Anchor, Dn, Sid};
use crate::model::{
    Above, AboveRequest, Code, DirectoryKind, FateRequest, Fates, Finding, ReadRequest, ShortfallKind,
    Snapshot, Subject, Wanted,
};

#[derive(Debug, thiserror::Error)]
pub enum LdifError {
    #[error("it cannot be opened or read")]
    Io(#[from] std::io::Error),
    #[error("line {line}: {what}")]
    Syntax { line: u64, what: String },
    #[error("it is UTF-16; export it again without -u, or save it as UTF-8")]
    Utf16,
    #[error("reading it was broken off")]
    Interrupted,
}

pub struct LdifDirectory {
    settings: LdifSettings,
}

impl LdifDirectory {
    pub fn new(settings: LdifSettings) -> Self {
        Self { settings }
    }
}

#[async_trait]
impl Directory for LdifDirectory {
    async fn read(&self, request: &ReadRequest) -> Result<Snapshot, DirectoryError> {
        checked(request)?;
        let reader = open(&self.settings, &request.wanted).await?;
        Ok(reader.with_unseen(Box::pin(walk::read(&reader, request)).await, &request.wanted))
    }

    async fn look(&self, request: &ReadRequest) -> Result<Snapshot, DirectoryError> {
        checked(request)?;
        let reader = open(&self.settings, &request.wanted).await?;
        Ok(reader.with_unseen(Box::pin(walk::look(&reader, request)).await, &request.wanted))
    }

    async fn above(&self, request: &AboveRequest) -> Result<Above, DirectoryError> {
        let reader = open(&self.settings, &nothing()).await?;
        Ok(Box::pin(walk::above(&reader, request)).await)
    }

    async fn fates(&self, request: &FateRequest) -> Result<Fates, DirectoryError> {
        let reader = open(&self.settings, &nothing()).await?;
        Ok(fates::fates(&reader, request, BTreeSet::new()).await)
    }
}

fn nothing() -> Wanted {
    Wanted {
        entries: Vec::new(),
        nested: false,
        user_filter: None,
        primary_group: false,
        distribution_groups: false,
        attributes: BTreeSet::new(),
    }
}

/// Loads the file, off the threads that drive everything else.
pub(super) async fn open(settings: &LdifSettings, wanted: &Wanted) -> Result<LdifReader, DirectoryError> {
    let (job, keep) = (settings.clone(), attributes(settings.kind, wanted));
    let failed = |source| DirectoryError::Ldif { path: settings.file.clone(), source };
    tokio::task::spawn_blocking(move || LdifReader::load(&job, &keep))
        .await
        .map_err(|_| failed(LdifError::Interrupted))?
        .map_err(failed)
}

/// The attributes that the walk, the mapping and the user filter look at.
fn attributes(kind: DirectoryKind, wanted: &Wanted) -> BTreeSet<String> {
    let mut keep: BTreeSet<String> = wanted.attributes.clone();
    keep.extend(entry::always(kind).iter().chain(&entry::MEMBER).map(|a| (*a).to_owned()));
    keep.extend(["netbiosname".to_owned(), "ncname".to_owned()]);
    keep.extend(of_filter(wanted));
    keep
}

fn of_filter(wanted: &Wanted) -> BTreeSet<String> {
    let filter = wanted.user_filter.as_deref().and_then(|f| Filter::parse(&wrapped(f)).ok());
    filter.iter().flat_map(Filter::attributes).map(str::to_owned).collect()
}

pub(super) struct LdifReader {
    facts: Facts,
    entries: Vec<(Dn, RawEntry)>,
    by_dn: HashMap<Dn, usize>,
    referrals: Vec<Referral>,
    requests: AtomicU64,
    received: AtomicU64,
}

impl LdifReader {
    fn load(settings: &LdifSettings, keep: &BTreeSet<String>) -> Result<Self, LdifError> {
        let mut input = BufReader::with_capacity(1 << 20, File::open(&settings.file)?);
        let mut entries: Vec<(Dn, RawEntry)> = Vec::new();
        let mut bad_name = None;
        let export =
            parse::parse(&mut input.by_ref(), &|name| keep.contains(name), &mut |raw| match Dn::parse(
                raw.dn(),
            ) {
                Ok(dn) => entries.push((dn, raw)),
                Err(why) => bad_name = Some(why.to_string()),
            })?;
        let mut by_dn = HashMap::with_capacity(entries.len());
        for (at, (dn, _)) in entries.iter().enumerate() {
            by_dn.entry(dn.clone()).or_insert(at);
        }
        let doubt = export.doubt.or(bad_name);
        let facts = facts(settings, &entries, &by_dn, doubt);
        let referrals = export.references.iter().map(|url| Referral::of(url, &facts.base)).collect();
        let (requests, received) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { facts, entries, by_dn, referrals, requests, received })
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Says of attributes that the user filter looks at and no entry has: whether nobody has a value, or they were not
    /// exported, is not to be seen in a file.
    fn with_unseen(&self, mut snapshot: Snapshot, wanted: &Wanted) -> Snapshot {
        let unseen =
            of_filter(wanted).into_iter().filter(|name| !self.entries.iter().any(|(_, raw)| raw.has(name)));
        snapshot.findings.extend(unseen.map(|name| {
            let message = format!(
                "no entry of {} has {name}, which scope.user-filter looks at: export it too, unless nobody has a value",
                self.facts.server
            );
            let subject = Subject { kind: None, id: name.clone(), label: name };
            Finding::new(Code::FilterAttributeUnseen, subject, message)
        }));
        snapshot
    }

    fn answered(&self, entries: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.received.fetch_add(entries, Ordering::Relaxed);
    }
}

fn facts(
    settings: &LdifSettings,
    entries: &[(Dn, RawEntry)],
    by_dn: &HashMap<Dn, usize>,
    doubt: Option<String>,
) -> Facts {
    let base = &settings.base_dn;
    let domain = base.dns_domain();
    let mut domain_names = BTreeSet::new();
    let mut binding = base.components().collect::<Vec<_>>().join(",");
    let mut apart = Vec::new();
    if settings.kind == DirectoryKind::ActiveDirectory {
        let head = by_dn.get(base).and_then(|at| entry::sid(&entries[*at].1));
        let member = || {
            entries
                .iter()
                .filter(|(dn, _)| dn.is_within(base))
                .filter_map(|(_, raw)| entry::sid(raw))
                .find(|sid| sid.as_str().starts_with("S-1-5-21-"))
                .and_then(|sid: Sid| sid.domain())
        };
        if let Some(sid) = head.or_else(member) {
            binding = sid.to_string();
        }
        domain_names.extend(entries.iter().filter_map(|(_, raw)| {
            let of = Dn::parse(raw.text("ncname")?).ok()?;
            (of == *base).then(|| raw.text("netbiosname")).flatten().map(str::to_uppercase)
        }));
        if domain_names.is_empty() {
            domain_names.extend(domain.split('.').next().map(str::to_uppercase));
        }
        for leaf in ["CN=Configuration", "DC=DomainDnsZones", "DC=ForestDnsZones"] {
            apart.extend(Dn::parse(&format!("{leaf},{base}")));
        }
    }
    Facts {
        kind: settings.kind,
        base: base.clone(),
        context: base.clone(),
        server: settings.file.display().to_string(),
        binding,
        domain,
        current_time: None,
        clock_ahead: None,
        domain_names,
        ns_unique_id: entries.iter().any(|(_, raw)| raw.has("nsuniqueid")),
        apart,
        // It may have been made without them.
        sids: false,
        page: 1000,
        batch: 1000,
        partial: doubt
            .map(|why| Fault::new(ShortfallKind::Truncated, format!("the export is not whole: {why}"))),
    }
}

#[async_trait]
impl Reader for LdifReader {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn search(&self, query: &Query<'_>, sink: &mut (dyn FnMut(RawEntry) + Send)) -> Ending {
        let filter = match Filter::parse(query.filter) {
            Ok(filter) => filter,
            Err(why) => {
                return Ending {
                    fault: Some(Fault::new(ShortfallKind::Malformed, why)),
                    ..Ending::default()
                };
            }
        };
        let mut hits = 0;
        for (dn, raw) in &self.entries {
            if dn.is_within(&self.facts.base) && filter.evaluate(raw, dn) == Some(true) {
                hits += 1;
                sink(raw.clone());
            }
        }
        self.answered(hits);
        Ending { referrals: self.referrals.clone(), ..Ending::default() }
    }

    async fn lookup(&self, names: &[Dn], filter: Option<&str>, _: &Selection) -> (Vec<RawEntry>, Ending) {
        let filter = match filter.map(Filter::parse).transpose() {
            Ok(filter) => filter,
            Err(why) => {
                let fault = Some(Fault::new(ShortfallKind::Malformed, why));
                return (Vec::new(), Ending { fault, ..Ending::default() });
            }
        };
        let entries: Vec<RawEntry> = names
            .iter()
            .filter_map(|dn| self.by_dn.get(dn))
            .map(|at| &self.entries[*at])
            .filter(|(dn, raw)| filter.as_ref().is_none_or(|f| f.evaluate(raw, dn) == Some(true)))
            .map(|(_, raw)| raw.clone())
            .collect();
        self.answered(entries.len() as u64);
        (entries, Ending { referrals: self.referrals.clone(), ..Ending::default() })
    }

    async fn range(&self, _: Anchor, dn: &Dn, attribute: &str, from: u32) -> Result<RawEntry, Fault> {
        let name = range::request(attribute, from);
        Err(Fault::new(
            ShortfallKind::Range,
            format!("the export of {dn} lacks {name}: it holds the first part only"),
        ))
    }

    /// An export shows what is there.
    async fn deleted(&self, _: &[Anchor]) -> (BTreeSet<Anchor>, Ending) {
        (BTreeSet::new(), Ending::default())
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }
}
