//! `[state]` and `[log]`: what is kept between cycles, and what is told.

use std::time::Duration;

use crate::config::raw::{Reader, Section, Text};
use crate::config::settings::{LogFormat, LogSettings, StateSettings};
use crate::config::values::{DAY, Flaw, Url};
use crate::state::{StateError, StateUrl};

const DEFAULT_URL: &str = "sqlite:///var/lib/idcsync/state.db";
const DEFAULT_HISTORY: Duration = Duration::from_secs(400 * 24 * 60 * 60);
const SCHEMES: &str = "such as sqlite:///var/lib/idcsync/state.db, sqlite:state.db (beside this file) or postgres://user@host/database";

pub(super) struct State {
    pub settings: Option<StateSettings>,
    pub keep_history: Duration,
}

pub(super) fn read<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> State {
    let keep_history = section.duration(r, "keep-history", DAY..=3650 * DAY).unwrap_or(DEFAULT_HISTORY);
    let password = super::directory::password(r, section);
    let url = match section.string(r, "url", "a url") {
        Some(text) => {
            let url = url(r, &text);
            if url.is_some() && text.value.starts_with("sqlite:") {
                section.refuse(r, &["password-file", "password-env"], "SQLite has no passwords");
            }
            url
        }
        None if section.has("url") => None,
        None => {
            section.refuse(r, &["password-file", "password-env"], "SQLite, the default, has no passwords");
            Some(DEFAULT_URL.to_owned())
        }
    };
    let settings = url.map(|url| StateSettings { url, password, base_dir: r.base.to_owned() });
    State { settings, keep_history }
}

fn url<'t>(r: &mut Reader<'t>, text: &Text<'t>) -> Option<String> {
    let checked = if text.value.starts_with("sqlite:") { sqlite(text.value) } else { postgres(text.value) };
    // What is said above has a place within the url; whoever opens the database knows the rest.
    let checked = checked.and_then(|()| match StateUrl::parse(text.value, r.base) {
        Ok(url) => {
            if let Some(warning) = url.warning() {
                let at = text.value.find("sslmode=").unwrap_or(0);
                let len = text.value[at..].find('&').unwrap_or(text.value.len() - at);
                r.warn(r.within(text, at, len), warning.to_owned()).help(
                    "without sslmode the server's certificate is checked; sslrootcert=FILE names its CA",
                );
            }
            Ok(())
        }
        Err(StateError::Url { problem, .. }) => Err(Wrong::whole(text.value, problem)),
        Err(other) => Err(Wrong::whole(text.value, other.to_string())),
    });
    match checked {
        Ok(()) => Some(text.value.to_owned()),
        Err(Wrong::Secret(flaw)) => {
            let place = r.within(text, flaw.offset, flaw.len);
            r.error(place, "secrets are never written in this file: the url has a password in it")
                .label(flaw.message)
                .help("leave it out of the url, and name it by `password-file` or `password-env`");
            None
        }
        Err(Wrong::Form(flaw)) => {
            let place = r.within(text, flaw.offset, flaw.len);
            r.error(place, "`url` is no url of a state database").because(flaw.message).help(SCHEMES);
            None
        }
    }
}

enum Wrong {
    Secret(Flaw),
    Form(Flaw),
}

impl Wrong {
    fn whole(url: &str, message: String) -> Self {
        Self::Form(Flaw { offset: 0, len: url.len(), message })
    }
}

/// `sqlite:PATH`, `sqlite://PATH` (both from where the config file is) or `sqlite:///ABSOLUTE/PATH`.
fn sqlite(text: &str) -> Result<(), Wrong> {
    let path = text.trim_start_matches("sqlite:");
    let path = path.strip_prefix("//").unwrap_or(path);
    let at = text.len() - path.len();
    let wrong =
        |offset, len, message: &str| Err(Wrong::Form(Flaw { offset, len, message: message.to_owned() }));
    if path.is_empty() || path.ends_with('/') {
        return wrong(at, path.len(), "the path of the database file is expected here");
    }
    if path == ":memory:" || path.starts_with(":memory:") {
        return wrong(at, path.len(), "a database in memory would forget who is who after each run");
    }
    match path.find(['?', '#']) {
        Some(q) => wrong(at + q, path.len() - q, "options are not taken: idcsync sets its own"),
        None => Ok(()),
    }
}

fn postgres(text: &str) -> Result<(), Wrong> {
    let url = Url::parse(text).map_err(Wrong::Form)?;
    let form = |offset: usize, len: usize, message: &str| {
        Wrong::Form(Flaw { offset, len, message: message.to_owned() })
    };
    if !matches!(url.scheme, "postgres" | "postgresql") {
        return Err(form(0, url.scheme.len(), "expected sqlite: or postgres://"));
    }
    let user_at = url.scheme.len() + 3;
    if let Some((user, password)) = url.userinfo.and_then(|u| u.split_once(':')) {
        let offset = user_at + user.len() + 1;
        return Err(Wrong::Secret(Flaw { offset, len: password.len(), message: "a password".to_owned() }));
    }
    if let Some(query) = url.query {
        let mut at = text.len() - query.len();
        for pair in query.split('&') {
            let name = pair.split('=').next().unwrap_or(pair);
            if name.to_lowercase().contains("password") {
                return Err(Wrong::Secret(Flaw {
                    offset: at,
                    len: pair.len(),
                    message: "a password".to_owned(),
                }));
            }
            at += pair.len() + 1;
        }
    }
    // Without a host it is the local socket, or `?host=`.
    Ok(())
}

const FORMATS: &[(&str, LogFormat)] =
    &[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];

pub(super) fn log<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> LogSettings {
    LogSettings {
        format: section.choice(r, "format", FORMATS).map_or(LogFormat::Auto, |(format, _)| format),
        error_log: section.path(r, "error-log"),
    }
}
