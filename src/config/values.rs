//! Values with a form of their own: spans of time, urls, the ids and regions of AWS.

use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::raw::{Reader, Section, shown};

/// Where in a text it is wrong (byte offset and length), and how.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub offset: usize,
    pub len: usize,
    pub message: String,
}

impl Flaw {
    fn new(offset: usize, len: usize, message: impl Into<String>) -> Self {
        Self { offset, len, message: message.into() }
    }
}

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const UNITS: [(char, u64); 5] = [('w', 7 * 86_400), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// `28d`, `1h30m`, `0s`: whole numbers with w, d, h, m or s, from the largest unit down. A day has 24 hours.
pub(super) fn duration(text: &str) -> Result<Duration, Flaw> {
    let (mut rest, mut seconds, mut units) = (text, 0_u64, &UNITS[..]);
    while !rest.is_empty() || units.len() == UNITS.len() {
        let at = text.len() - rest.len();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let unit = rest[digits..].chars().next();
        if digits == 0 {
            return Err(Flaw::new(at, unit.map_or(0, char::len_utf8), "a number is expected here"));
        }
        let Some(unit) = unit else {
            return Err(Flaw::new(at, digits, "the unit is missing: w, d, h, m or s"));
        };
        let word = rest[digits..].chars().take_while(|c| !c.is_ascii_digit()).map(char::len_utf8).sum();
        let Some(index) = units.iter().position(|(u, _)| *u == unit).filter(|_| word == 1) else {
            let message = if word == 1 && UNITS.iter().any(|(u, _)| *u == unit) {
                "units go from the largest to the smallest, each once"
            } else {
                "the units are w, d, h, m and s"
            };
            return Err(Flaw::new(at + digits, word, message));
        };
        let sum = rest[..digits]
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(units[index].1))
            .and_then(|s| s.checked_add(seconds));
        seconds = sum.ok_or_else(|| Flaw::new(at, digits, "this is too long"))?;
        units = &units[index + 1..];
        rest = &rest[digits + word..];
    }
    Ok(Duration::from_secs(seconds))
}

/// As [`duration`] reads it, in the largest units.
pub(super) fn duration_text(duration: Duration) -> String {
    let (mut left, mut out) = (duration.as_secs(), String::new());
    for (unit, length) in UNITS.into_iter().skip(1) {
        if left >= length {
            out.push_str(&format!("{}{unit}", left / length));
            left %= length;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

impl<'t> Section<'t> {
    pub fn duration(
        &self,
        r: &mut Reader<'t>,
        key: &'static str,
        allowed: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let text = self.string(r, key, "a span of time such as \"30s\", \"50m\" or \"28d\"")?;
        let duration = match duration(text.value) {
            Ok(duration) => duration,
            Err(flaw) => {
                let place = r.within(&text, flaw.offset, flaw.len);
                r.error(place, format!("`{key}` is no span of time: \"{}\"", shown(text.value)))
                    .because(flaw.message)
                    .help("such as \"30s\", \"1h30m\" or \"28d\"");
                return None;
            }
        };
        if !allowed.contains(&duration) {
            let range =
                format!("from {} to {}", duration_text(*allowed.start()), duration_text(*allowed.end()));
            r.error(text.span, format!("`{key}` must be {range}")).label(range);
            return None;
        }
        Some(duration)
    }
}

/// The parts of `scheme://user:password@host:port/path?query`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    pub scheme: &'a str,
    pub userinfo: Option<&'a str>,
    /// An IPv6 address with its brackets.
    pub host: &'a str,
    pub port: Option<u16>,
    pub path: &'a str,
    pub query: Option<&'a str>,
}

impl<'a> Url<'a> {
    /// Splits, and checks port and IPv6 address; what the host may be is for the caller.
    pub fn parse(text: &'a str) -> Result<Self, Flaw> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(Flaw::new(0, text.len(), "not of the form scheme://host"));
        };
        if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+') {
            return Err(Flaw::new(0, scheme.len(), "no scheme"));
        }
        if let Some((at, c)) =
            text.char_indices().find(|(_, c)| c.is_whitespace() || c.is_control() || *c == '#')
        {
            return Err(Flaw::new(at, c.len_utf8(), "not allowed in a url"));
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (userinfo, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, authority),
        };
        let at = text.len() - tail.len() - address.len();
        let (host, port) = if address.starts_with('[') {
            let close = address.find(']').ok_or_else(|| Flaw::new(at, address.len(), "`]` is missing"))?;
            if address[1..close].parse::<Ipv6Addr>().is_err() {
                return Err(Flaw::new(at + 1, close - 1, "no IPv6 address"));
            }
            let after = &address[close + 1..];
            let port = after.strip_prefix(':');
            if port.is_none() && !after.is_empty() {
                return Err(Flaw::new(at + close + 1, after.len(), "a port is expected here"));
            }
            (&address[..=close], port)
        } else {
            address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port)))
        };
        let port = match port {
            None => None,
            Some(digits) => {
                let number = digits.parse::<u16>().ok().filter(|p| *p != 0 && !digits.starts_with('+'));
                let at = text.len() - tail.len() - digits.len();
                Some(number.ok_or_else(|| Flaw::new(at, digits.len(), "no port number"))?)
            }
        };
        let (path, query) = tail.split_once('?').map_or((tail, None), |(p, q)| (p, Some(q)));
        Ok(Self { scheme, userinfo, host, port, path, query })
    }

    /// Like `parse`, for a url that names a server and nothing more.
    pub fn server(text: &'a str, schemes: &[&str]) -> Result<Self, Flaw> {
        let url = Self::of_host(text, schemes)?;
        if url.path.len() > 1 || url.query.is_some() {
            let tail = url.path.len() + url.query.map_or(0, |q| q.len() + 1);
            return Err(Flaw::new(text.len() - tail, tail, "nothing may follow the host and port"));
        }
        Ok(url)
    }

    /// Like `parse`, for a url to which paths are added.
    pub fn base(text: &'a str, schemes: &[&str]) -> Result<Self, Flaw> {
        let url = Self::of_host(text, schemes)?;
        if let Some(query) = url.query {
            let tail = query.len() + 1;
            return Err(Flaw::new(text.len() - tail, tail, "nothing may follow the path"));
        }
        Ok(url)
    }

    /// Scheme and host are held to what they may be; nobody logs in.
    fn of_host(text: &'a str, schemes: &[&str]) -> Result<Self, Flaw> {
        let url = Self::parse(text)?;
        if !schemes.contains(&url.scheme) {
            let list: Vec<String> = schemes.iter().map(|s| format!("{s}://")).collect();
            return Err(Flaw::new(0, url.scheme.len(), format!("expected {}", list.join(" or "))));
        }
        let host_at = url.scheme.len() + 3;
        if let Some(user) = url.userinfo {
            return Err(Flaw::new(
                host_at,
                user.len() + 1,
                "user names and passwords do not belong in a url",
            ));
        }
        if !url.host.starts_with('[') && !is_host(url.host) {
            return Err(Flaw::new(host_at, url.host.len(), "no host name or address"));
        }
        Ok(url)
    }
}

/// A host name by its letters (RFC 1123 section 2.1, with the underscores that Windows domains have), or an IPv4
/// address.
pub(super) fn is_host(host: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(label)
}

/// `d-` with ten hex digits, or a UUID (Identity Store API Reference, "IdentityStoreId").
pub(super) fn is_identity_store_id(text: &str) -> bool {
    let hex = |t: &str| t.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if let Some(digits) = text.strip_prefix("d-") {
        return digits.len() == 10 && hex(digits);
    }
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|g| g.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(|g| hex(g))
}

/// `eu-west-1`, `us-gov-west-1`, `eusc-de-east-1`: words of letters, then a number.
pub(super) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [words @ .., number] => {
            words.len() >= 2
                && words.iter().all(|w| w.len() >= 2 && w.chars().all(|c| c.is_ascii_lowercase()))
                && (1..=2).contains(&number.len())
                && number.chars().all(|c| c.is_ascii_digit())
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let secs = |text: &str| duration(text).map(|d| d.as_secs());
        assert_eq!(secs("28d"), Ok(28 * 86_400));
        assert_eq!(secs("1h30m"), Ok(5_400));
        assert_eq!(secs("2w1d"), Ok(15 * 86_400));
        assert_eq!(secs("0s"), Ok(0));
        assert_eq!(secs(""), Err(Flaw::new(0, 0, "a number is expected here")));
        assert_eq!(secs("30"), Err(Flaw::new(0, 2, "the unit is missing: w, d, h, m or s")));
        assert_eq!(secs("1h30"), Err(Flaw::new(2, 2, "the unit is missing: w, d, h, m or s")));
        assert_eq!(secs("28 days"), Err(Flaw::new(2, 5, "the units are w, d, h, m and s")));
        assert_eq!(secs("5min"), Err(Flaw::new(1, 3, "the units are w, d, h, m and s")));
        assert_eq!(
            secs("1m1h"),
            Err(Flaw::new(3, 1, "units go from the largest to the smallest, each once"))
        );
        assert_eq!(secs("1d1d").map_err(|f| f.offset), Err(3));
        assert_eq!(secs("-1d").map_err(|f| (f.offset, f.len)), Err((0, 1)));
        assert_eq!(secs("99999999999999999999d"), Err(Flaw::new(0, 20, "this is too long")));
        assert_eq!(secs("9999999999999999999w"), Err(Flaw::new(0, 19, "this is too long")));
        assert_eq!(secs("1ü").map_err(|f| (f.offset, f.len)), Err((1, 2)));
        for text in ["28d", "1h30m", "0s", "1d1s"] {
            assert_eq!(duration_text(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn server_urls() {
        let ldap = |text| Url::server(text, &["ldap", "ldaps"]);
        let url = ldap("ldaps://dc1.corp.example.com:636/").unwrap();
        assert_eq!((url.scheme, url.host, url.port), ("ldaps", "dc1.corp.example.com", Some(636)));
        assert_eq!(ldap("ldap://[::1]:389").unwrap().host, "[::1]");
        assert_eq!(ldap("ldap://127.0.0.1").unwrap().port, None);
        let flaw = |text| ldap(text).map_err(|f| (f.offset, f.len)).unwrap_err();
        assert_eq!(flaw("dc1.corp.example.com"), (0, 20));
        assert_eq!(flaw("http://dc1"), (0, 4));
        assert_eq!(flaw("ldap://"), (7, 0));
        assert_eq!(flaw("ldap://dc1:port"), (11, 4));
        assert_eq!(flaw("ldap://dc1:0"), (11, 1));
        assert_eq!(flaw("ldap://dc1:"), (11, 0));
        assert_eq!(flaw("ldap://me:pw@dc1"), (7, 6));
        assert_eq!(flaw("ldap://dc1/DC=x?sub"), (10, 9));
        assert_eq!(flaw("ldap://dc 1"), (9, 1));
        assert_eq!(flaw("ldap://[::1"), (7, 4));
        assert_eq!(flaw("ldap://[x]"), (8, 1));
        assert_eq!(flaw("ldap://[::1]x"), (12, 1));
        assert_eq!(flaw("ldap://dc_1..corp"), (7, 10));
    }

    #[test]
    fn a_database_url_is_split() {
        let url = Url::parse("postgres://sync:p@w@db.example:5432/idc?sslmode=require").unwrap();
        assert_eq!((url.userinfo, url.host), (Some("sync:p@w"), "db.example"));
        assert_eq!((url.path, url.query), ("/idc", Some("sslmode=require")));
        assert_eq!(Url::parse("postgres://h?host=/run").unwrap().path, "");
    }

    #[test]
    fn ids_and_regions_of_aws() {
        assert!(is_identity_store_id("d-1234567890"));
        assert!(is_identity_store_id("6b29fc40-ca47-1067-b31d-00dd010662da"));
        for bad in ["d-123", "d-123456789G", "D-1234567890", "", "d-", "6b29fc40"] {
            assert!(!is_identity_store_id(bad), "{bad}");
        }
        for good in ["eu-west-1", "us-gov-west-1", "us-isob-east-1", "ap-southeast-10", "eusc-de-east-1"] {
            assert!(is_region(good), "{good}");
        }
        for bad in ["eu-west", "EU-WEST-1", "eu-west-1a", "", "1", "europe"] {
            assert!(!is_region(bad), "{bad}");
        }
    }
}
