//! `[directory]`: one of three kinds of source, and what rules what out.

use std::time::Duration;

use crate::config::keys;
use crate::config::raw::{Reader, Section, Span, Text, shown};
use crate::config::values::{MINUTE, SECOND, Url, is_host};
use crate::directory::{Bind, DirectorySettings, LdapSettings, LdifSettings, Servers};
use crate::ids::Dn;
use crate::model::DirectoryKind;
use crate::secret::SecretSource;

/// What Active Directory gives at most in one page (MaxPageSize of its query policy).
const MAX_PAGE: u32 = 1000;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

const SCHEMAS: &[(&str, DirectoryKind)] =
    &[("active-directory", DirectoryKind::ActiveDirectory), ("ldap", DirectoryKind::Ldap)];

#[derive(Clone, Copy)]
enum Source {
    Ldap(DirectoryKind),
    Ldif,
}

const KINDS: &[(&str, Source)] = &[
    ("active-directory", Source::Ldap(DirectoryKind::ActiveDirectory)),
    ("ldap", Source::Ldap(DirectoryKind::Ldap)),
    ("ldif", Source::Ldif),
];

/// Which schema the mapping's defaults are for, told even where the rest is wrong.
pub(super) struct Directory {
    pub kind: Option<DirectoryKind>,
    pub settings: Option<DirectorySettings>,
}

pub(super) fn read<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Directory {
    if !section.has("kind") {
        section.missing(r, "kind", "\"active-directory\", \"ldap\" or \"ldif\"");
    }
    let source = section.choice(r, "kind", KINDS).map(|(source, _)| source);
    let base_dn = base_dn(r, section);
    match source {
        Some(Source::Ldap(kind)) => {
            section.refuse(r, &["file", "schema"], "it is for kind = \"ldif\"");
            let settings = ldap(r, section, kind, base_dn).map(DirectorySettings::Ldap);
            Directory { kind: Some(kind), settings }
        }
        Some(Source::Ldif) => {
            let server_keys = ["urls", "discover", "bind", "tls", "allow-plaintext", "page-size", "timeout"];
            section.refuse(r, &server_keys, "kind = \"ldif\" reads a file, and asks no server");
            let file = section.string(r, "file", "a path").map(|text| r.path_of(&text));
            if !section.has("file") {
                section.missing(r, "file", "the export to read, as `ldifde` or `ldapsearch` write it");
            }
            let kind = match section.choice(r, "schema", SCHEMAS) {
                Some((kind, _)) => kind,
                None => DirectoryKind::ActiveDirectory,
            };
            let settings = file
                .zip(base_dn)
                .map(|(file, base_dn)| DirectorySettings::Ldif(LdifSettings { file, base_dn, kind }));
            Directory { kind: Some(kind), settings }
        }
        None => {
            // What the keys may be with each other hangs on the kind; what each may be by itself does not.
            ldap_keys(r, section);
            section.path(r, "file");
            section.choice(r, "schema", SCHEMAS);
            Directory { kind: None, settings: None }
        }
    }
}

fn base_dn<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Option<Dn> {
    let text = section.required(
        r,
        "base-dn",
        "a distinguished name",
        "the top of what is read, such as \"DC=corp,DC=example,DC=com\"",
    )?;
    dn(r, &text)
}

fn dn<'t>(r: &mut Reader<'t>, text: &Text<'t>) -> Option<Dn> {
    match Dn::parse(text.value) {
        Ok(dn) => Some(dn),
        Err(error) => {
            r.error(text.span.clone(), format!("no distinguished name: {error}"))
                .label("no distinguished name")
                .help("such as \"OU=People,DC=corp,DC=example,DC=com\"");
            None
        }
    }
}

/// What the keys of a server say, each by itself.
struct LdapKeys<'t> {
    urls: Vec<(Text<'t>, Url<'t>)>,
    servers: Option<Servers>,
    bind: Option<(Bind, Span)>,
    ca_file: Option<(std::path::PathBuf, Span)>,
    starttls: Option<(bool, Span)>,
    allow_plaintext: bool,
    page_size: u32,
    timeout: Duration,
}

fn ldap_keys<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> LdapKeys<'t> {
    let urls = urls(r, section);
    let discover = section.string(r, "discover", "a DNS domain");
    if let Some(domain) = discover.as_ref().filter(|d| !is_host(d.value)) {
        r.error(domain.span.clone(), format!("`discover` is no DNS domain: \"{}\"", shown(domain.value)))
            .label("no DNS domain")
            .help("such as \"corp.example.com\"; its SRV records name the servers");
    }
    let servers = match (&discover, urls.is_empty()) {
        (Some(domain), _) => Some(Servers::Discover(domain.value.to_owned())),
        (None, false) => Some(Servers::Urls(urls.iter().map(|(text, _)| text.value.to_owned()).collect())),
        (None, true) => None,
    };
    let tls = section.table(r, "tls", &keys::TLS);
    let ca_file = tls.as_ref().and_then(|tls| {
        let text = tls.string(r, "ca-file", "a path")?;
        Some((r.path_of(&text), text.span))
    });
    LdapKeys {
        urls,
        servers,
        bind: bind(r, section),
        ca_file,
        starttls: tls.as_ref().and_then(|tls| tls.bool(r, "starttls")),
        allow_plaintext: section.bool(r, "allow-plaintext").is_some_and(|(allow, _)| allow),
        page_size: section.number(r, "page-size", 1..=MAX_PAGE).map_or(MAX_PAGE, |(size, _)| size),
        timeout: section.duration(r, "timeout", SECOND..=10 * MINUTE).unwrap_or(DEFAULT_TIMEOUT),
    }
}

fn urls<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Vec<(Text<'t>, Url<'t>)> {
    let Some((texts, span)) = section.strings(r, "urls", "a url such as \"ldaps://dc1.corp.example.com\"")
    else {
        return Vec::new();
    };
    if section.has("urls") && section.array_is_empty("urls") {
        r.error(span, "`urls` names no server").label("empty");
    }
    let mut urls: Vec<(Text<'t>, Url<'t>)> = Vec::new();
    for text in texts {
        match Url::server(text.value, &["ldap", "ldaps"]) {
            Ok(url) => urls.push((text, url)),
            Err(flaw) => {
                let place = r.within(&text, flaw.offset, flaw.len);
                r.error(place, "no url of an LDAP server")
                    .because(flaw.message)
                    .help("such as \"ldaps://dc1.corp.example.com\" or \"ldap://10.0.0.5:389\"");
            }
        }
    }
    urls
}

fn ldap<'t>(
    r: &mut Reader<'t>,
    section: &Section<'t>,
    kind: DirectoryKind,
    base_dn: Option<Dn>,
) -> Option<LdapSettings> {
    let given = ldap_keys(r, section);
    match (section.key_span("urls"), section.key_span("discover")) {
        (Some(urls), Some(discover)) => {
            r.error(discover, "`discover` and `urls` are two ways to say which servers")
                .label("one of the two")
                .also(urls, "the other");
        }
        (None, None) => {
            section.missing(r, "urls", "or `discover`, a DNS domain whose SRV records name the servers")
        }
        _ => {}
    }
    if !section.has("bind") {
        section.missing(
            r,
            "bind",
            "bind = { dn = \"…\", password-file = \"…\" }, or bind = \"gssapi\" or \"external\"",
        );
    }
    transport(r, &given);
    Some(LdapSettings {
        kind,
        servers: given.servers?,
        base_dn: base_dn?,
        bind: given.bind?.0,
        ca_file: given.ca_file.map(|(path, _)| path),
        starttls: given.starttls.is_some_and(|(on, _)| on),
        allow_plaintext: given.allow_plaintext,
        page_size: given.page_size,
        timeout: given.timeout,
    })
}

/// What goes over the wire unencrypted, and what may.
fn transport(r: &mut Reader<'_>, given: &LdapKeys<'_>) {
    let with_scheme = |scheme: &str| {
        given.urls.iter().find(|(_, url)| url.scheme == scheme).map(|(text, _)| text.span.clone())
    };
    let starttls = given.starttls.as_ref().filter(|(on, _)| *on).map(|(_, span)| span.clone());
    if let (Some(starttls), Some(url)) = (&starttls, with_scheme("ldaps")) {
        r.error(
            starttls.clone(),
            "`starttls` is for ldap:// urls: an ldaps:// connection is encrypted from its start",
        )
        .label("starts TLS within TLS")
        .also(url, "ldaps://")
        .help("leave `starttls` out, or write ldap:// in the url");
    }
    let plain = match (&starttls, &given.servers) {
        (None, Some(Servers::Urls(_))) => with_scheme("ldap"),
        _ => None,
    };
    let Some(plain) = plain else { return };
    match &given.bind {
        Some((Bind::Simple { .. }, bind)) if !given.allow_plaintext => {
            r.error(plain, "the password would travel over plain ldap://")
                .label("not encrypted")
                .also(bind.clone(), "the password")
                .help("write ldaps://, or tls = { starttls = true }, or say allow-plaintext = true");
        }
        Some((Bind::External { .. }, bind)) => {
            r.error(plain, "bind = \"external\" proves itself by TLS, and plain ldap:// has none")
                .label("not encrypted")
                .also(bind.clone(), "needs TLS")
                .help("write ldaps://, or tls = { starttls = true }");
        }
        _ => {
            if let Some((_, span)) = &given.ca_file
                && given.urls.iter().all(|(_, url)| url.scheme == "ldap")
            {
                r.warn(span.clone(), "`ca-file` has no effect: no connection is encrypted").label("not used");
            }
        }
    }
}

fn bind<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Option<(Bind, Span)> {
    const WORDS: &[(&str, ())] = &[("gssapi", ()), ("external", ())];
    let value = section.value("bind")?;
    if value.value.is_table() {
        return bind_table(r, section, value.span);
    }
    if !value.value.is_str() {
        r.wrong_type(
            value.value,
            value.span,
            "a table with dn and password-file, or \"gssapi\" or \"external\"",
        );
        return None;
    }
    let ((), span) = section.choice(r, "bind", WORDS)?;
    if value.value.as_str() == Some("external") {
        r.warn(span.clone(), "no client certificate is named: a server accepts this bind only where it knows the client otherwise")
            .label("without a certificate")
            .help("bind = { external = { cert-file = \"…\", key-file = \"…\" } }");
        return Some((Bind::External { cert_file: None, key_file: None }, span));
    }
    if !cfg!(feature = "gssapi") {
        r.error(span.clone(), "this build of idcsync has no Kerberos")
            .label("needs the feature `gssapi`")
            .help("build it with `--features gssapi`, or use bind = { dn = \"…\", password-file = \"…\" }");
    }
    Some((Bind::Gssapi, span))
}

fn bind_table<'t>(r: &mut Reader<'t>, section: &Section<'t>, span: Span) -> Option<(Bind, Span)> {
    let table = section.table(r, "bind", &keys::BIND)?;
    if table.has("external") {
        table.refuse(r, &["dn", "password-file", "password-env"], "the certificate says who binds");
        let external = table.table(r, "external", &keys::EXTERNAL)?;
        for (key, other) in [("cert-file", "key-file"), ("key-file", "cert-file")] {
            if !external.has(key) {
                external.missing(r, key, &format!("`{other}` alone proves nothing: both are PEM files"));
            }
        }
        let (cert_file, key_file) = (external.path(r, "cert-file"), external.path(r, "key-file"));
        return Some((Bind::External { cert_file, key_file }, span));
    }
    let name = table.required(
        r,
        "dn",
        "the name to bind as",
        "the DN of the service account (for AD, name@domain does, too)",
    );
    let password = password(r, &table);
    if !table.tries("password-file") && !table.tries("password-env") {
        r.error(span.clone(), "the bind has no password")
            .label("no password")
            .help("password-file = \"…\" or password-env = \"…\": a bind without one would be anonymous");
    }
    let name = name?;
    // AD binds by userPrincipalName and DOMAIN\name as well ([MS-ADTS] 5.1.1.1.1).
    if name.value.contains('=') {
        dn(r, &name)?;
    }
    Some((Bind::Simple { dn: name.value.to_owned(), password: password? }, span))
}

/// A secret: the two keys by which it is found, and what it is called.
pub(super) struct Secret {
    pub file: &'static str,
    pub env: &'static str,
    pub what: &'static str,
}

pub(super) const PASSWORD: Secret = Secret { file: "password-file", env: "password-env", what: "password" };
pub(super) const TOKEN: Secret = Secret { file: "token-file", env: "token-env", what: "token" };

pub(super) fn password<'t>(r: &mut Reader<'t>, section: &Section<'t>) -> Option<SecretSource> {
    secret(r, section, &PASSWORD)
}

/// From the file or the environment variable; a warning where others may read the file.
pub(super) fn secret<'t>(r: &mut Reader<'t>, section: &Section<'t>, secret: &Secret) -> Option<SecretSource> {
    let file = section.string(r, secret.file, "a path");
    let env = section.string(r, secret.env, "the name of an environment variable");
    if let (Some(a), Some(b)) = (section.key_span(secret.file), section.key_span(secret.env)) {
        r.error(b, format!("`{}` and `{}` exclude each other", secret.file, secret.env))
            .label("one of the two")
            .also(a, "the other");
    }
    if let Some(name) = env.as_ref().filter(|e| e.value.contains(['=', ' '])) {
        r.error(name.span.clone(), format!("`{}` is the name of an environment variable", secret.env))
            .label("no such name");
    }
    if let Some(text) = file {
        let path = r.path_of(&text);
        if others_may_read(&path) {
            r.warn(text.span, format!("every user of this machine may read the {} file", secret.what))
                .label("readable by others")
                .help("chmod o-r");
        }
        return Some(SecretSource::File(path));
    }
    env.map(|name| SecretSource::Env(name.value.to_owned()))
}

#[cfg(unix)]
fn others_may_read(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn others_may_read(_path: &std::path::Path) -> bool {
    false
}
