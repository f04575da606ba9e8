//! Servers found through DNS (RFC 2782), as Active Directory publishes its domain controllers.

use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;

use crate::directory::DirectoryError;
use crate::directory::settings::LdapSettings;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    priority: u16,
    weight: u16,
    port: u16,
    host: String,
}

pub(super) async fn discover(domain: &str, settings: &LdapSettings) -> Result<Vec<String>, DirectoryError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| DirectoryError::Discovery {
        domain: domain.to_owned(),
        source,
    };
    let name = format!("_ldap._tcp.{}.", domain.trim_end_matches('.'));
    let resolver = TokioResolver::builder_tokio()
        .and_then(|builder| builder.build())
        .map_err(|source| failed(source.into()))?;
    let answer = tokio::time::timeout(settings.timeout, resolver.srv_lookup(name.as_str()))
        .await
        .map_err(|source| failed(source.into()))?
        .map_err(|source| {
            if source.is_no_records_found() {
                DirectoryError::NothingDiscovered(domain.to_owned())
            } else {
                failed(source.into())
            }
        })?;
    let records = answer
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Record {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                host: srv.target.to_utf8(),
            }),
            _ => None,
        })
        .collect();
    let urls = urls(records, settings.starttls || settings.allow_plaintext);
    if urls.is_empty() {
        return Err(DirectoryError::NothingDiscovered(domain.to_owned()));
    }
    Ok(urls)
}

/// By priority, then by weight, the heaviest first. The RFC draws lots among weights; always taking the same order
/// keeps the cycles on one server, whose replica is then the same each time.
fn urls(mut records: Vec<Record>, plain: bool) -> Vec<String> {
    // A target of `.` says that the service is not offered.
    records.retain(|r| !r.host.trim_end_matches('.').is_empty());
    records.sort_by(|a, b| {
        (a.priority, std::cmp::Reverse(a.weight), &a.host, a.port).cmp(&(
            b.priority,
            std::cmp::Reverse(b.weight),
            &b.host,
            b.port,
        ))
    });
    records.dedup();
    records
        .iter()
        .map(|r| {
            let host = r.host.trim_end_matches('.');
            // The records give the port of plain LDAP; LDAPS has its own.
            match (plain, r.port) {
                (true, port) => format!("ldap://{host}:{port}"),
                (false, 389) => format!("ldaps://{host}:636"),
                (false, 3268) => format!("ldaps://{host}:3269"),
                (false, port) => format!("ldaps://{host}:{port}"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(priority: u16, weight: u16, host: &str) -> Record {
        Record { priority, weight, port: 389, host: host.to_owned() }
    }

    #[test]
    fn servers_are_tried_by_priority_then_weight() {
        let records = vec![
            record(10, 100, "far.corp.example."),
            record(0, 10, "light.corp.example."),
            record(0, 90, "heavy.corp.example."),
            record(0, 0, "."),
        ];
        assert_eq!(
            urls(records.clone(), false),
            [
                "ldaps://heavy.corp.example:636",
                "ldaps://light.corp.example:636",
                "ldaps://far.corp.example:636"
            ]
        );
        assert_eq!(urls(records, true)[0], "ldap://heavy.corp.example:389");
    }
}
