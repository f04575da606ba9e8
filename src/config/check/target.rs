//! `[target]` and `[guard]`: where identities are written, and how much may change at once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::scim;
use crate::config::raw::{Reader, Section, Span, shown};
use crate::config::values::{DAY, SECOND, Url, is_identity_store_id, is_region};
use crate::ids::IdentityStoreId;
use crate::plan::{Adopt, GuardLimits};
use crate::target::{IdentityStoreSettings, SandboxSettings, ScimSettings, TargetSettings};

/// What AWS allows all callers of an account together.
const AWS_RATE: u32 = 20;
const DEFAULT_RATE: u32 = 18;
/// No pacing to speak of: for stand-ins.
const MAX_RATE: u32 = 1_000_000;
/// More than any store can hold: what has no limit.
const MAX_COUNT: u32 = 1_000_000_000;
const DEFAULT_MAX_APPLY: Duration = Duration::from_secs(50 * 60);

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sort {
    IdentityStore,
    Scim,
    Sandbox,
}

pub(super) const KINDS: &[(&str, Sort)] =
    &[("identity-store", Sort::IdentityStore), ("sandbox", Sort::Sandbox), ("scim", Sort::Scim)];

pub(super) struct Target {
    pub settings: Option<TargetSettings>,
    pub adopt: Adopt,
    pub protect: Vec<String>,
    pub assignments: bool,
    pub max_apply: Duration,
}

pub(super) fn read<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Target {
    let adopt = section.choice(
        r,
        "adopt",
        &[("approve", Adopt::Approve), ("auto", Adopt::Auto), ("never", Adopt::Never)],
    );
    let settings = settings(r, section);
    Target {
        assignments: assignments(r, section, settings.as_ref()),
        settings,
        adopt: adopt.map_or(Adopt::Approve, |(adopt, _)| adopt),
        protect: protect(r, section),
        max_apply: section.duration(r, "max-apply", SECOND..=DAY).unwrap_or(DEFAULT_MAX_APPLY),
    }
}

fn settings<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Option<TargetSettings> {
    if !section.has("kind") {
        section.missing(r, "kind", "\"identity-store\", \"scim\" or \"sandbox\"");
    }
    let sort = section.choice(r, "kind", KINDS);
    let id = section.string(r, "identity-store-id", "an identity store id");
    if let Some(text) = id.as_ref().filter(|t| !is_identity_store_id(t.value)) {
        r.error(text.span.clone(), format!("\"{}\" is no identity store id", shown(text.value)))
            .label("no identity store id")
            .help("`d-` and ten hex digits, as IAM Identity Center's settings page shows it (not the instance ARN)");
    }
    let region = section.string(r, "region", "a region of AWS");
    if let Some(text) = region.as_ref().filter(|t| !is_region(t.value)) {
        r.error(text.span.clone(), format!("\"{}\" is no region of AWS", shown(text.value)))
            .label("no region")
            .help("such as \"eu-west-1\"");
    }
    let endpoint_url = endpoint(r, section);
    let store = section.path(r, "store");
    let request_log = section.path(r, "request-log");
    let rate = section.number(r, "requests-per-second", 1..=MAX_RATE);
    let requests_per_second = rate.as_ref().map_or(DEFAULT_RATE, |(rate, _)| *rate);
    let identity_store_id = id.map(|text| IdentityStoreId::new(text.value));
    let scim = scim::read(r, section).map(|scim| ScimSettings {
        url: scim.url,
        token: scim.token,
        token_expires: scim.token_expires,
        identity_store_id: identity_store_id.clone(),
        rfc_remove: scim.rfc_remove,
        requests_per_second,
    });
    let endpoint = section.value("endpoint-url").and_then(|v| v.value.as_str());
    let asks_aws = || [endpoint, scim.as_ref().map(|s| s.url.as_str())].into_iter().flatten().any(is_aws);

    match sort? {
        (Sort::IdentityStore, _) => {
            section.refuse(r, &["store", "request-log"], "it is for kind = \"sandbox\"");
            if endpoint.is_none() || asks_aws() {
                limit_rate(r, rate, "`endpoint-url`");
            }
            Some(TargetSettings::IdentityStore(IdentityStoreSettings {
                identity_store_id,
                region: region.map(|text| text.value.to_owned()),
                endpoint_url,
                requests_per_second,
                scim,
            }))
        }
        (Sort::Sandbox, kind) => {
            let why = "kind = \"sandbox\" runs inside idcsync, and asks no endpoint";
            section.refuse(r, &["region", "endpoint-url", "scim"], why);
            if !cfg!(feature = "sandbox") {
                r.error(kind, "this build of idcsync has no sandbox").label("needs the feature `sandbox`");
            }
            if !section.has("store") {
                section.missing(r, "store", "the file that the sandbox keeps its users and groups in");
            }
            Some(TargetSettings::Sandbox(SandboxSettings {
                identity_store_id,
                store: store?,
                request_log,
                requests_per_second,
            }))
        }
        (Sort::Scim, _) => {
            section.refuse(r, &["store", "request-log"], "it is for kind = \"sandbox\"");
            section.refuse(
                r,
                &["region", "endpoint-url"],
                "kind = \"scim\" asks the endpoint that `scim` names",
            );
            if !section.has("scim") {
                section.missing(r, "scim", "scim = { url = \"https://…/scim/v2\", token-file = \"…\" }");
            }
            if asks_aws() {
                limit_rate(r, rate, "`scim.url`");
            }
            Some(TargetSettings::Scim(scim?))
        }
    }
}

/// Asked for, and to be had: only the API shows them.
fn assignments<'t>(r: &mut Reader<'t>, section: &Section<'t>, settings: Option<&TargetSettings>) -> bool {
    let Some((true, span)) = section.bool(r, "assignments") else { return false };
    if matches!(settings, Some(TargetSettings::Scim(_))) {
        r.warn(span, "account assignments cannot be read over SCIM: plans do not show them")
            .label("not over SCIM")
            .help("they need kind = \"identity-store\"");
        return false;
    }
    true
}

/// AWS refuses what is faster; a stand-in may be asked as fast as it can.
fn limit_rate(r: &mut Reader<'_>, rate: Option<(u32, Span)>, stand_in: &str) {
    if let Some((_, span)) = rate.filter(|(rate, _)| *rate > AWS_RATE) {
        r.error(span, format!("`requests-per-second` must be from 1 to {AWS_RATE}"))
            .label(format!("from 1 to {AWS_RATE}"))
            .help(format!(
                "AWS allows 20 a second for all callers of the account together; more only to a stand-in, by {stand_in}"
            ));
    }
}

/// Whether a url names one of AWS's own endpoints: those of a VPC, FIPS and dual-stack ones among them.
fn is_aws(url: &str) -> bool {
    let host = Url::parse(url).map_or("", |url| url.host).to_lowercase();
    [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".amazonaws.eu"]
        .iter()
        .any(|domain| host.ends_with(domain))
}

fn endpoint<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Option<String> {
    let text = section.string(r, "endpoint-url", "a url")?;
    match Url::server(text.value, &["http", "https"]) {
        Ok(url) => {
            if url.scheme == "http" && !scim::is_loopback(url.host) {
                r.warn(
                    text.span,
                    "names of people and the session of the AWS credentials would travel over plain http://",
                )
                .label("not encrypted")
                .help("write https://; http:// is for a stand-in on this machine");
            }
            Some(text.value.to_owned())
        }
        Err(flaw) => {
            let place = r.within(&text, flaw.offset, flaw.len);
            r.error(place, "`endpoint-url` is no url of a server")
                .because(flaw.message)
                .help("such as \"http://127.0.0.1:4566\"");
            None
        }
    }
}

fn protect<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Vec<String> {
    let Some((texts, _)) = section.strings(r, "protect", "the name of a user or group") else {
        return Vec::new();
    };
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    let mut names = Vec::new();
    for text in texts {
        if let Some(first) = seen.get(&text.value.to_lowercase()).cloned() {
            r.error(text.span.clone(), format!("\"{}\" is named twice", shown(text.value)))
                .label("again here")
                .also(first, "first here");
        }
        seen.insert(text.value.to_lowercase(), text.span);
        names.push(text.value.to_owned());
    }
    names
}

pub(super) fn guard<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> GuardLimits {
    let mut limits = GuardLimits::default();
    let counts: [(&'static str, &mut u32); 5] = [
        ("max-deletes", &mut limits.max_deletes),
        ("max-disables", &mut limits.max_disables),
        ("max-removals", &mut limits.max_removals),
        ("max-renames", &mut limits.max_renames),
        ("max-growth", &mut limits.max_growth),
    ];
    for (key, limit) in counts {
        if let Some((count, _)) = section.number(r, key, 0..=MAX_COUNT) {
            *limit = count;
        }
    }
    if let Some((percent, _)) = section.number(r, "max-percent", 1..=100) {
        limits.max_percent = percent;
    }
    limits
}
