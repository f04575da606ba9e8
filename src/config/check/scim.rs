//! `scim = { … }` in `[target]`: the store's SCIM endpoint, and its bearer token.

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use toml::de::DeValue;

use super::directory::{TOKEN, secret};
use crate::config::keys;
use crate::config::raw::{Reader, Section, shown};
use crate::config::values::Url;
use crate::secret::SecretSource;

/// What the table says.
pub(super) struct Scim {
    pub url: String,
    pub token: SecretSource,
    pub token_expires: Option<Timestamp>,
    pub rfc_remove: bool,
}

/// `None` where it is absent, or wrong, which has been noted.
pub(super) fn read<'t>(r: &mut Reader<'t>, target: &Section<'t>) -> Option<Scim> {
    let table = target.table(r, "scim", &keys::SCIM)?;
    let url = url(r, &table);
    let token = secret(r, &table, &TOKEN);
    if !table.tries("token-file") && !table.tries("token-env") {
        r.error(table.at.clone(), "the SCIM endpoint has no token")
            .label("no token")
            .help("token-file = \"…\" or token-env = \"…\": IAM Identity Center shows it once, when it is generated");
    }
    let token_expires = expires(r, &table);
    let rfc_remove = table.choice(r, "remove-form", &[("aws", false), ("rfc", true)]);
    Some(Scim { url: url?, token: token?, token_expires, rfc_remove: rfc_remove.is_some_and(|(rfc, _)| rfc) })
}

fn url<'t>(r: &mut Reader<'t>, table: &Section<'t>) -> Option<String> {
    const SUCH_AS: &str = "such as \"https://scim.eu-west-1.amazonaws.com/TENANT/scim/v2\", as IAM Identity Center \
                           shows it under Automatic provisioning";
    let text = table.required(r, "url", "a url", SUCH_AS)?;
    let url = match Url::base(text.value, &["https", "http"]) {
        Ok(url) => url,
        Err(flaw) => {
            let place = r.within(&text, flaw.offset, flaw.len);
            r.error(place, "`url` is no url of a SCIM endpoint").because(flaw.message).help(SUCH_AS);
            return None;
        }
    };
    if url.scheme == "http" && !is_loopback(url.host) {
        r.error(text.span, "the token would travel over plain http://")
            .label("not encrypted")
            .help("write https://; http:// is for a stand-in on this machine");
        return None;
    }
    Some(text.value.to_owned())
}

pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.parse::<IpAddr>().map_or(host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback())
}

/// A day, in a string or as TOML has it; the token counts as ended when it begins, in UTC.
fn expires<'t>(r: &mut Reader<'t>, table: &Section<'t>) -> Option<Timestamp> {
    let value = table.value("token-expires")?;
    let text = match value.value {
        DeValue::String(text) => text.to_string(),
        DeValue::Datetime(day) => day.to_string(),
        other => {
            r.wrong_type(other, value.span, "a date");
            return None;
        }
    };
    let day = text.parse::<Date>().ok().filter(|day| day.to_string() == text);
    let begins = day.and_then(|day| day.to_zoned(TimeZone::UTC).ok()).map(|begins| begins.timestamp());
    if begins.is_none() {
        r.error(value.span, format!("`token-expires` is no date: \"{}\"", shown(&text)))
            .label("no date")
            .help("such as \"2027-10-01\"");
    }
    begins
}
