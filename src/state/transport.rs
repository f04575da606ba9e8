//! How far the way to PostgreSQL must be protected: the password goes over it, and everybody's names.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::percent::decode_query;

/// Files that a url may name, from where the config file is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsFiles(pub Vec<PathBuf>);

/// What the parameters of the url make of the options: with no sslmode there, and a server on another machine, its
/// certificate must be valid for its name. The environment has no say in that. Gives a warning where the url asks for
/// less.
pub(super) fn protect(
    mut options: PgConnectOptions,
    query: &str,
    base_dir: &Path,
) -> (PgConnectOptions, TlsFiles, Option<String>) {
    let mut explicit = false;
    let mut files = TlsFiles::default();
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let path = || base_dir.join(decode_query(value));
        match key {
            "sslmode" => explicit = true,
            "sslrootcert" => {
                files.0.push(path());
                options = options.ssl_root_cert(path());
            }
            "sslcert" => {
                files.0.push(path());
                options = options.ssl_client_cert(path());
            }
            "sslkey" => {
                files.0.push(path());
                options = options.ssl_client_key(path());
            }
            _ => {}
        }
    }
    if is_local(&options) {
        return (options, files, None);
    }
    if !explicit {
        return (options.ssl_mode(PgSslMode::VerifyFull), files, None);
    }
    let warning = warning(options.get_ssl_mode());
    (options, files, warning)
}

fn warning(mode: PgSslMode) -> Option<String> {
    let (word, what) = match mode {
        PgSslMode::Disable => ("disable", IN_THE_CLEAR),
        // sqlx does not try TLS.
        PgSslMode::Allow => ("allow", IN_THE_CLEAR),
        PgSslMode::Prefer => ("prefer", IN_THE_CLEAR),
        PgSslMode::Require => ("require", ANYBODY),
        PgSslMode::VerifyCa => ("verify-ca", ANY_HOST),
        PgSslMode::VerifyFull => return None,
    };
    Some(format!("sslmode={word}: {what}"))
}

const IN_THE_CLEAR: &str = "the password and all names may go to the state database unencrypted";
const ANYBODY: &str = "whoever answers in the state database's place is not found out";
const ANY_HOST: &str = "another host with a certificate of the same CA is not found out";

/// A socket of this machine, or its loopback address.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    if options.get_socket().is_some() || host.starts_with('/') {
        return true;
    }
    let host = host.trim_matches(['[', ']']);
    host.parse::<IpAddr>().map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protected(address: &str, query: &str) -> (String, Option<String>) {
        let text = format!("postgres://{address}?{query}");
        let (options, _, warning) = protect(text.parse().unwrap(), query, Path::new("/etc/idcsync"));
        (format!("{:?}", options.get_ssl_mode()), warning)
    }

    #[test]
    fn another_machine_must_prove_who_it_is_unless_the_url_says_otherwise() {
        for address in
            ["u@db.example/d", "10.0.0.1/d", "[2001:db8::1]/d", "localhost.example/d", "127.example/d"]
        {
            assert_eq!(
                protected(address, "application_name=x"),
                ("VerifyFull".to_owned(), None),
                "{address}"
            );
        }
        for address in
            ["u@localhost/d", "127.0.0.1:5433/d", "127.8.7.6/d", "[::1]/d", "%2Frun%2Fpostgresql/d"]
        {
            let (mode, warning) = protected(address, "application_name=x");
            assert!(mode != "VerifyFull" && warning.is_none(), "{address}");
        }
        assert_eq!(protected("/d", "host=db.example").0, "VerifyFull");
        assert_ne!(protected("/d", "host=/run/postgresql").0, "VerifyFull");
    }

    #[test]
    fn what_the_url_asks_for_is_done_and_warned_of_where_it_is_less() {
        for (word, mode, part) in [
            ("disable", "Disable", "unencrypted"),
            ("allow", "Allow", "unencrypted"),
            ("prefer", "Prefer", "unencrypted"),
            ("require", "Require", "whoever answers"),
            ("verify-ca", "VerifyCa", "another host"),
        ] {
            let query = format!("sslmode={word}");
            let (found, warning) = protected("db.example/d", &query);
            assert_eq!(found, mode);
            let warning = warning.unwrap();
            assert!(warning.contains(part) && warning.contains(&query), "{warning}");
            assert_eq!(protected("127.0.0.1/d", &query), (mode.to_owned(), None));
        }
        assert_eq!(protected("db.example/d", "sslmode=verify-full"), ("VerifyFull".to_owned(), None));
    }

    #[test]
    fn files_are_named_from_where_the_config_is() {
        let query = "sslrootcert=certs/my%20ca+1.pem&sslcert=/abs/c.pem&sslkey=k.pem";
        let text = format!("postgres://db.example/d?{query}");
        let (options, files, _) = protect(text.parse().unwrap(), query, Path::new("/etc/idcsync"));
        let expected = ["/etc/idcsync/certs/my ca 1.pem", "/abs/c.pem", "/etc/idcsync/k.pem"];
        assert_eq!(files.0, expected.map(PathBuf::from));
        let shown = format!("{options:?}");
        assert!(expected.iter().all(|path| shown.contains(path)), "{shown}");
    }
}
