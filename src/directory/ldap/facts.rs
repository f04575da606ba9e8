//! What a server says of itself: its root DSE (RFC 4512 section 5.1), the base DN, the domain's SID and name.

use std::collections::BTreeSet;

use jiff::Timestamp;
use ldap3::Scope;

use super::changes::SYNC_REQUEST;
use super::connect::Setback;
use super::session::{Answer, PAGED_RESULTS, Session};
use super::wire::Ask;
use crate::directory::entry::{self, generalized_time};
use crate::directory::error::{DirectoryError, ServerFailure};
use crate::directory::names::equal;
use crate::directory::reader::{Facts, Fault, RawEntry, Selection};
use crate::directory::settings::LdapSettings;
use crate::directory::survey::Greeting;
use crate::ids::{Anchor, Dn};
use crate::model::{DirectoryKind, ShortfallKind};

/// Names in one look-up: far below any server's limit on the size of a request or of a filter.
const BATCH: usize = 200;

const ROOT_DSE: [&str; 13] = [
    "defaultNamingContext",
    "namingContexts",
    "rootDomainNamingContext",
    "configurationNamingContext",
    "schemaNamingContext",
    "currentTime",
    "dnsHostName",
    "supportedControl",
    "supportedCapabilities",
    "dsServiceName",
    "highestCommittedUSN",
    "vendorName",
    "vendorVersion",
];

/// LDAP_CAP_ACTIVE_DIRECTORY_OID ([MS-ADTS] 3.1.1.3.4.3.1)
const ACTIVE_DIRECTORY: &str = "1.2.840.113556.1.4.800";

/// What the read needs, and what `check` tells beside it.
pub(in crate::directory) struct Learned {
    pub facts: Facts,
    pub paging: bool,
    /// The name that the server gives itself.
    pub host: Option<String>,
    pub vendor: Option<String>,
    /// The server says that it is Active Directory.
    pub is_ad: bool,
    /// The server offers to tell what has changed (RFC 4533), in a way that is understood here.
    pub change_log: bool,
    /// Before anything else was asked (Active Directory).
    pub commits: Option<Commits>,
}

pub(super) async fn learn(
    session: &Session,
    settings: &LdapSettings,
    server: &str,
    need_domain_name: bool,
    now: &(dyn Fn() -> Timestamp + Sync),
) -> Result<Learned, Setback> {
    let root = one(session, "", &ROOT_DSE, "reading the root DSE", settings).await?.unwrap_or_else(nothing);
    // At once: what is asked next may take its time.
    let here = now();
    let base = &settings.base_dn;
    let about = ["objectClass", "objectSid", "entryUUID", "nsUniqueId"];
    let missing =
        || Setback::Final(DirectoryError::BaseMissing { base: base.clone(), server: server.to_owned() });
    let head =
        one(session, base.as_str(), &about, "reading the base DN", settings).await?.ok_or_else(missing)?;

    let list = |name: &str| -> Vec<Dn> {
        root.values(name)
            .filter_map(|v| std::str::from_utf8(v).ok())
            .filter_map(|text| Dn::parse(text).ok())
            .collect()
    };
    let first = |name: &str| list(name).into_iter().next();
    let vendor = root.text("vendorname").map(str::to_owned);
    let apart =
        if settings.kind == DirectoryKind::ActiveDirectory { partitions_apart(&list) } else { Vec::new() };
    // The longest naming context that holds the base.
    let context = list("namingcontexts")
        .into_iter()
        .filter(|context| base.is_within(context))
        .max_by_key(|context| context.key().len())
        .or_else(|| first("defaultnamingcontext").filter(|context| base.is_within(context)))
        .unwrap_or_else(|| base.clone());
    let mut binding = context.components().collect::<Vec<_>>().join(",");
    let mut domain_names = BTreeSet::new();
    if settings.kind == DirectoryKind::ActiveDirectory {
        let domain = if context == *base {
            Some(head.clone())
        } else {
            one(session, context.as_str(), &["objectSid"], "reading the domain", settings).await?
        };
        if let Some(sid) = domain.as_ref().and_then(entry::sid) {
            binding = sid.to_string();
        }
        if need_domain_name && let Some(configuration) = first("configurationnamingcontext") {
            domain_names.extend(netbios(session, &configuration, &context).await);
        }
        if domain_names.is_empty() {
            domain_names.extend(base.dns_domain().split('.').next().map(str::to_uppercase));
        }
    }
    let has_vendor = |word: &str| vendor.as_deref().is_some_and(|v| v.to_lowercase().contains(word));
    let offers = |oid: &str| root.values("supportedcontrol").any(|offered| offered == oid.as_bytes());
    let paging = offers(PAGED_RESULTS);
    let page = usize::try_from(settings.page_size).unwrap_or(1000).max(1);
    let current_time = root.text("currenttime").and_then(generalized_time);
    let facts = Facts {
        kind: settings.kind,
        base: base.clone(),
        context,
        server: server.to_owned(),
        binding,
        domain: base.dns_domain(),
        current_time,
        clock_ahead: current_time.map(|there| there.as_second() - here.as_second()),
        domain_names,
        ns_unique_id: has_vendor("389")
            || has_vendor("fedora")
            || has_vendor("red hat")
            || head.has("nsuniqueid"),
        apart,
        sids: settings.kind == DirectoryKind::ActiveDirectory,
        page,
        batch: BATCH.min(page),
        partial: None,
    };
    let is_ad = root.values("supportedcapabilities").any(|oid| oid == ACTIVE_DIRECTORY.as_bytes());
    // Samba offers it too, and may then hang for minutes. What 389 DS reports as entryUUID is its nsUniqueId, in an
    // order of bytes of its own; it has tombstones.
    let change_log =
        settings.kind == DirectoryKind::Ldap && !is_ad && !facts.ns_unique_id && offers(SYNC_REQUEST);
    let host = root.text("dnshostname").map(str::to_owned);
    let commits = Commits::of(&root);
    Ok(Learned { facts, paging, host, vendor, is_ad, change_log, commits })
}

/// What a server says of itself, whatever it holds.
pub(super) async fn greet(
    session: &Session,
    settings: &LdapSettings,
    server: &str,
) -> Result<Greeting, Setback> {
    let root = one(session, "", &ROOT_DSE, "reading the root DSE", settings).await?.unwrap_or_else(nothing);
    let list = |name: &str| -> Vec<Dn> {
        let values = root.values(name).filter_map(|v| std::str::from_utf8(v).ok());
        values.filter_map(|text| Dn::parse(text).ok()).collect()
    };
    let is_ad = root.values("supportedcapabilities").any(|oid| oid == ACTIVE_DIRECTORY.as_bytes());
    let kind = if is_ad { DirectoryKind::ActiveDirectory } else { DirectoryKind::Ldap };
    let apart = if is_ad { partitions_apart(&list) } else { Vec::new() };
    let mut bases = list("defaultnamingcontext");
    for context in list("namingcontexts") {
        // What a server keeps of itself is nobody's home.
        let own = ["cn=config", "cn=monitor", "cn=changelog", "cn=accesslog", "cn=schema"];
        if !bases.contains(&context) && !apart.contains(&context) && !own.contains(&context.key()) {
            bases.push(context);
        }
    }
    Ok(Greeting {
        server: server.to_owned(),
        host: root.text("dnshostname").map(str::to_owned),
        vendor: root.text("vendorname").map(str::to_owned),
        kind,
        bases,
    })
}

/// How far the changes of an Active Directory server go.
#[derive(Clone, Debug)]
pub(in crate::directory) struct Commits {
    /// The name of the server's own settings (`dsServiceName`).
    service: String,
    /// `highestCommittedUSN`
    pub usn: u64,
}

impl Commits {
    fn of(root: &RawEntry) -> Option<Self> {
        let usn = root.number("highestcommittedusn").and_then(|usn| u64::try_from(usn).ok())?;
        Some(Self { service: root.text("dsservicename")?.to_owned(), usn })
    }

    pub async fn now(session: &Session) -> Option<Self> {
        let attributes: Selection = ["dsServiceName", "highestCommittedUSN"].map(str::to_owned).into();
        let (entries, answer) = session.collect(Ask::entry("", &attributes)).await.ok()?;
        entries.first().filter(|_| answer.code == 0).and_then(Self::of)
    }

    /// Which incarnation of its database the server works on (`invocationId`).
    pub async fn invocation(&self, session: &Session) -> Option<Anchor> {
        let attributes: Selection = ["invocationId".to_owned()].into();
        let (entries, answer) = session.collect(Ask::entry(&self.service, &attributes)).await.ok()?;
        Anchor::from_object_guid(
            entries.first().filter(|_| answer.code == 0)?.values("invocationid").first()?,
        )
    }
}

/// A search of a whole domain ends with references to these; nobody lives there.
fn partitions_apart(list: &dyn Fn(&str) -> Vec<Dn>) -> Vec<Dn> {
    let mut apart = list("configurationnamingcontext");
    apart.extend(list("schemanamingcontext"));
    let zones = |zone: &str, of: Vec<Dn>| {
        of.into_iter().filter_map(|dn| Dn::parse(&format!("DC={zone},{dn}")).ok()).collect::<Vec<_>>()
    };
    apart.extend(zones("DomainDnsZones", list("defaultnamingcontext")));
    apart.extend(zones("ForestDnsZones", list("rootdomainnamingcontext")));
    apart
}

/// The NetBIOS name of the domain, if it may be read.
async fn netbios(session: &Session, configuration: &Dn, domain: &Dn) -> Option<String> {
    let filter = format!("(&(objectClass=crossRef){})", equal("nCName", domain.as_str()));
    let attributes: Selection = ["nETBIOSName".to_owned()].into();
    let base = format!("CN=Partitions,{configuration}");
    let ask = Ask {
        base: &base,
        scope: Scope::OneLevel,
        filter: &filter,
        attributes: &attributes,
        page: None,
        controls: &[],
    };
    let (entries, _) = session.collect(ask).await.ok()?;
    entries.first()?.text("netbiosname").map(str::to_uppercase)
}

/// A root DSE that nobody may read.
fn nothing() -> RawEntry {
    RawEntry::new::<&str, [&[u8]; 0]>("", [])
}

/// One entry by its name; `None` where there is no such entry, or it is hidden.
async fn one(
    session: &Session,
    dn: &str,
    attributes: &[&str],
    stage: &'static str,
    settings: &LdapSettings,
) -> Result<Option<RawEntry>, Setback> {
    let attributes: Selection = attributes.iter().map(|a| (*a).to_owned()).collect();
    let answered = session.collect(Ask::entry(dn, &attributes)).await;
    let (entries, answer) = answered.map_err(|fault| Setback::Next(failure(&fault, stage, settings)))?;
    match answer {
        Answer { code: 0, .. } => Ok(entries.into_iter().next()),
        // noSuchObject, or a referral to whoever has it
        Answer { code: 10 | 32, .. } => Ok(None),
        Answer { code, text, .. } => Err(Setback::Next(ServerFailure::Refused { stage, code, text })),
    }
}

fn failure(fault: &Fault, stage: &'static str, settings: &LdapSettings) -> ServerFailure {
    match fault.kind {
        ShortfallKind::Timeout => ServerFailure::Timeout { stage, limit: settings.timeout },
        _ => ServerFailure::Lost { stage, detail: fault.detail.clone() },
    }
}
