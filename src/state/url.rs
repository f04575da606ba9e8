//! `state.url`: which database, without ever showing a password.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;

use super::percent::decode;
use super::transport::{TlsFiles, protect};
use super::{Result, StateError, place};
use crate::secret::SecretSource;

/// What may stand after the `?` of a PostgreSQL url. Anything else is refused: sqlx would put an unknown
/// parameter into the log with its value.
const PARAMETERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "options",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// A checked url. `Debug` and `Display` show no password.
#[derive(Clone)]
pub struct StateUrl {
    pub(super) kind: UrlKind,
    shown: String,
    password: Option<SecretSource>,
    password_in_url: bool,
    files: TlsFiles,
    warning: Option<String>,
}

#[derive(Clone)]
pub(super) enum UrlKind {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

impl StateUrl {
    /// `sqlite:///var/lib/idcsync/state.db`, `sqlite:state.db` or `sqlite://state.db` (relative to `base_dir`),
    /// `postgres://user@host:5432/database?sslmode=verify-full&sslrootcert=ca.pem`.
    pub fn parse(text: &str, base_dir: &Path) -> Result<Self> {
        let bad = |problem: &str| StateError::Url { url: shown_in_error(text), problem: problem.to_owned() };
        let (scheme, rest) =
            text.split_once(':').ok_or_else(|| bad("it must begin with sqlite: or postgres://"))?;
        match scheme.to_ascii_lowercase().as_str() {
            "sqlite" => {
                let path = decode_path(rest.strip_prefix("//").unwrap_or(rest)).map_err(bad)?;
                if path == ":memory:" {
                    return Err(bad("what is only in memory is lost when the program ends: give a path"));
                }
                if path.is_empty() || path.ends_with('/') {
                    return Err(bad("it names no file"));
                }
                let path = base_dir.join(path);
                let shown = format!("sqlite:{}", path.display());
                Ok(Self {
                    kind: UrlKind::Sqlite(path),
                    shown,
                    password: None,
                    password_in_url: false,
                    files: TlsFiles::default(),
                    warning: None,
                })
            }
            "postgres" | "postgresql" => Self::parse_postgres(text, rest, base_dir),
            _ => Err(bad("it must begin with sqlite: or postgres://")),
        }
    }

    fn parse_postgres(text: &str, rest: &str, base_dir: &Path) -> Result<Self> {
        let bad = |problem: String| StateError::Url { url: shown_in_error(text), problem };
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(bad("it must begin with postgres://".to_owned()));
        };
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let key = pair.split('=').next().unwrap_or_default();
            if key == "password" {
                return Err(bad("give the password as password-file or password-env".to_owned()));
            }
            if !PARAMETERS.contains(&key) {
                return Err(bad(format!(
                    "there is no parameter `{key}`; known are {}",
                    PARAMETERS.join(", ")
                )));
            }
        }
        let password_in_url = address.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
        // The error may quote a parameter, and these are no secrets; it never quotes the password.
        let options = PgConnectOptions::from_str(text).map_err(|e| bad(e.to_string()))?;
        let (options, files, warning) = protect(options, query, base_dir);
        let shown = shown_postgres(&options);
        let kind = UrlKind::Postgres(Box::new(options));
        Ok(Self { kind, shown, password: None, password_in_url, files, warning })
    }

    /// Takes the password from a file or from the environment, anew each time the database is opened. Without
    /// it, `PGPASSWORD` and `~/.pgpass` count, as with every client of PostgreSQL.
    pub fn with_password(mut self, source: Option<SecretSource>) -> Result<Self> {
        if source.is_some() {
            let problem = match self.kind {
                UrlKind::Sqlite(_) => Some("SQLite has no password"),
                UrlKind::Postgres(_) if self.password_in_url => Some("the password is given twice"),
                UrlKind::Postgres(_) => None,
            };
            if let Some(problem) = problem {
                return Err(StateError::Url { url: self.shown, problem: problem.to_owned() });
            }
        }
        self.password = source;
        Ok(self)
    }

    /// Whether the password stands in the url itself, which a config file must not have.
    pub fn has_password(&self) -> bool {
        self.password_in_url
    }

    /// What is to be said of it although it can be used.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    pub fn is_sqlite(&self) -> bool {
        matches!(self.kind, UrlKind::Sqlite(_))
    }

    /// The file, for SQLite.
    pub fn path(&self) -> Option<&Path> {
        match &self.kind {
            UrlKind::Sqlite(path) => Some(path),
            UrlKind::Postgres(_) => None,
        }
    }

    /// The options with the password of now. The files that they name must be there.
    pub(super) fn postgres_with_password(&self, options: &PgConnectOptions) -> Result<PgConnectOptions> {
        let options = options.clone();
        for file in &self.files.0 {
            std::fs::read(file).map_err(|source| place::file_error("read", file, source))?;
        }
        match &self.password {
            Some(source) => {
                let password = source.read().map_err(StateError::Password)?;
                Ok(options.password(password.expose_secret()))
            }
            None => Ok(options),
        }
    }
}

impl fmt::Display for StateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for StateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateUrl({})", self.shown)
    }
}

fn shown_postgres(options: &PgConnectOptions) -> String {
    let host =
        options.get_socket().map_or_else(|| options.get_host().to_owned(), |s| s.display().to_string());
    let database = options.get_database().unwrap_or(options.get_username());
    format!("postgres://{}@{host}:{}/{database}", options.get_username(), options.get_port())
}

/// Of a url that was not understood, nothing is shown in which a password could be.
fn shown_in_error(text: &str) -> String {
    if !text.contains(['@', '?']) || text.starts_with("sqlite:") {
        return text.to_owned();
    }
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    format!("{scheme}://…")
}

/// A url's path may have no `?` or `#` of its own.
fn decode_path(text: &str) -> Result<String, &'static str> {
    if text.contains(['?', '#']) {
        return Err("SQLite takes no parameters; in a path, write %3F for `?` and %23 for `#`");
    }
    decode(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<StateUrl> {
        StateUrl::parse(text, Path::new("/etc/idcsync"))
    }

    fn problem(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn sqlite_paths() {
        for (text, path) in [
            ("sqlite:///var/lib/idcsync/state.db", "/var/lib/idcsync/state.db"),
            ("sqlite:/var/state.db", "/var/state.db"),
            ("sqlite:state.db", "/etc/idcsync/state.db"),
            ("sqlite://state/my%20%25.db", "/etc/idcsync/state/my %.db"),
        ] {
            assert_eq!(parse(text).unwrap().path().unwrap(), Path::new(path), "{text}");
        }
    }

    #[test]
    fn urls_that_cannot_be_used_say_why() {
        assert!(problem("state.db").contains("must begin with"));
        assert!(problem("mysql://h/d").contains("must begin with"));
        assert!(problem("sqlite::memory:").contains("lost when the program ends"));
        assert!(problem("sqlite:").contains("names no file"));
        assert!(problem("sqlite:///a/").contains("names no file"));
        assert!(problem("sqlite:a.db?mode=ro").contains("takes no parameters"));
        assert!(problem("sqlite:a%zz").contains("two hex digits"));
        assert!(problem("postgres:h/d").contains("must begin with postgres://"));
        assert!(problem("postgres://h/d?sslmod=require").contains("no parameter `sslmod`"));
        assert!(problem("postgres://h/d?sslmode=perhaps").contains("perhaps"));
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = parse("postgres://me:ge%40heim@db.example:5433/idc").unwrap();
        assert!(url.has_password());
        for text in [
            format!("{url} {url:?}"),
            problem("postgres://me:geheim@h/d?nope=1"),
            problem("postgres://me:geheim@h:port/d"),
            problem("postgres://me:gehe?im@h/d"),
            problem("postgres://h/d?password=geheim"),
            problem("mysql://me:geheim@h/d"),
            format!("{:?}", parse("postgres://me:geheim@h:port/d").unwrap_err()),
        ] {
            assert!(!text.contains("heim") && !text.contains("gehe"), "{text}");
        }
        assert_eq!(url.to_string(), "postgres://me@db.example:5433/idc");
    }

    #[test]
    fn a_password_file_belongs_to_postgres_alone_and_not_beside_another() {
        let source = || Some(SecretSource::Env("X".to_owned()));
        assert!(parse("sqlite:a.db").unwrap().with_password(source()).is_err());
        assert!(parse("postgres://me:p@h/d").unwrap().with_password(source()).is_err());
        assert!(parse("postgres://me@h/d").unwrap().with_password(source()).is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_url_panic_and_no_error_tells_the_password(
            text in "(sqlite|postgres|postgresql|://|:|/|@|%|%2F|\\?|&|=|#|sslmode|host|[a-z0-9.]|é){0,14}|\\PC*",
            tail in "[a-z:/?%@#=]{0,10}",
        ) {
            let _ = parse(&text);
            if let Err(error) = parse(&format!("postgres://user:geheim12@{tail}")) {
                prop_assert!(!format!("{error} {error:?}").contains("geheim12"), "{}", tail);
            }
        }
    }
}
