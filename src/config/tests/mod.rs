//! Whole files and everything that is said about them.

mod properties;
mod scim;
mod sections;
mod service;

use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;

use super::*;
use crate::directory::{Bind, DirectorySettings, Servers};
use crate::model::Kind;
use crate::plan::{Adopt, GuardLimits, Lifecycle};
use crate::secret::SecretSource;
use crate::target::TargetSettings;

/// A complete config, into whose places other lines can be put.
const GOOD: &str = r#"profile = "corp"
[directory]
kind = "active-directory"
urls = ["ldaps://dc1.corp.example.com"]
base-dn = "DC=corp,DC=example,DC=com"
bind = { dn = "CN=svc,DC=corp", password-env = "PW" }
[scope]
groups = ["AWS-Admins"]
[target]
kind = "identity-store"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::from_bytes(text.as_bytes(), Path::new("/etc/idcsync/corp.toml"))
}

/// What is said about a file, on one line each.
fn lines(text: &str) -> String {
    let error = parse(text).expect_err("the file is wrong");
    error
        .diagnostics()
        .iter()
        .map(|d| format!("{}\n", d.to_string().trim_start_matches("/etc/idcsync/")))
        .collect()
}

/// The same with the line and the carets.
fn shown(text: &str) -> String {
    match parse(text) {
        Err(ConfigError::Invalid(diagnostics)) => diagnostics.render(false, 100),
        other => panic!("{other:?}"),
    }
}

/// `GOOD` with the line that starts with `from` replaced.
fn with(changes: &[(&str, &str)]) -> String {
    let mut text = GOOD.to_owned();
    for (from, to) in changes {
        let line = GOOD.lines().find(|l| l.starts_with(from)).expect("the line is there");
        text = text.replace(line, to);
    }
    text
}

#[test]
fn a_small_file_has_the_defaults() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.profile, "corp");
    let DirectorySettings::Ldap(ldap) = &config.directory else { panic!("no ldap") };
    assert_eq!(ldap.servers, Servers::Urls(vec!["ldaps://dc1.corp.example.com".to_owned()]));
    assert!(matches!(&ldap.bind, Bind::Simple { dn, password: SecretSource::Env(name) }
        if dn == "CN=svc,DC=corp" && name == "PW"));
    assert_eq!((ldap.page_size, ldap.timeout), (1000, Duration::from_secs(30)));
    assert!(!ldap.starttls && !ldap.allow_plaintext && ldap.ca_file.is_none());
    let scope = &config.scope;
    assert!(scope.nested && scope.primary_group && !scope.distribution_groups && scope.user_filter.is_none());
    assert_eq!(scope.entries.iter().map(|e| (e.kind, e.write)).collect::<Vec<_>>(), [(Kind::Group, true)]);
    let TargetSettings::IdentityStore(target) = &config.target else { panic!("no store") };
    assert_eq!(target.requests_per_second, 18);
    assert_eq!(config.policy.guard, GuardLimits::default());
    assert_eq!(config.policy.adopt, Adopt::Approve);
    assert_eq!(config.policy.lifecycle, Lifecycle::default());
    assert_eq!(config.drift_check, Duration::from_secs(86_400));
    assert_eq!(config.max_apply, Duration::from_secs(3000));
    assert_eq!(config.schedule.describe(), "0 * * * *, UTC");
    let listen = "127.0.0.1:8080".parse().unwrap();
    assert_eq!(config.service, ServiceSettings { listen, token: None, grace: Duration::from_secs(30) });
    assert_eq!(config.metrics_textfile, None);
    assert_eq!(config.state.url, "sqlite:///var/lib/idcsync/state.db");
    assert_eq!(config.keep_history, Duration::from_secs(400 * 86_400));
    assert_eq!(config.log, LogSettings { format: LogFormat::Auto, error_log: None });
    assert!(config.warnings.is_empty());
}

#[test]
fn relative_paths_start_where_the_file_is() {
    let text = with(&[("bind", r#"bind = { dn = "CN=svc", password-file = "secret/ldap" }"#)])
        + "[log]\nerror-log = \"../errors.jsonl\"\n[service]\ntoken-file = \"secret/http\"\n\
           [metrics]\ntextfile = \"idcsync.prom\"\n";
    let config = parse(&text).unwrap();
    let DirectorySettings::Ldap(ldap) = &config.directory else { panic!("no ldap") };
    assert!(matches!(&ldap.bind, Bind::Simple { password: SecretSource::File(path), .. }
        if path == Path::new("/etc/idcsync/secret/ldap")));
    assert_eq!(config.log.error_log.unwrap(), Path::new("/etc/idcsync/../errors.jsonl"));
    assert_eq!(config.service.token, Some(SecretSource::File("/etc/idcsync/secret/http".into())));
    assert_eq!(config.metrics_textfile.unwrap(), Path::new("/etc/idcsync/idcsync.prom"));
    assert_eq!(config.state.base_dir, Path::new("/etc/idcsync"));
    let here = Config::from_bytes(GOOD.as_bytes(), Path::new("corp.toml")).unwrap();
    assert_eq!(here.state.base_dir, Path::new("."));
}

#[test]
fn every_sort_of_mistake_is_told_at_once() {
    assert_snapshot!(shown(r#"
profile = "corp 1"
[directory]
kind = "activedirectory"
urls = ["ldaps://dc1.corp.example.com", "dc2.corp.example.com"]
base_dn = "DC=corp,DC=example,DC=com"
page-size = "many"
timeout = "30"
[scope]
groups = ["AWS-Admins", { group = "Container", wirte = false }, "aws-admins"]
[mapping.user]
"userName" = "${userprincipalname"
"nick" = "${cn}"
[target]
kind = "identity-store"
requests-per-second = 100
[guard]
max-percent = 120
[schedule]
cron = "0 24 * * *"
"#), @r#"
     × "corp 1" cannot be the name of a profile
      ╭─[/etc/idcsync/corp.toml:2:11]
    2 │ profile = "corp 1"
      ·           ────┬───
      ·               ╰── no name
      ╰────
     help: at most 64 letters, digits, `-`, `_` and `.`, beginning with a letter or digit

     × `kind` cannot be "activedirectory"
      ╭─[/etc/idcsync/corp.toml:4:8]
    4 │ kind = "activedirectory"
      ·        ────────┬────────
      ·                ╰── unknown value
      ╰────
     help: did you mean "active-directory"?

     × no url of an LDAP server: not of the form scheme://host
      ╭─[/etc/idcsync/corp.toml:5:42]
    5 │ urls = ["ldaps://dc1.corp.example.com", "dc2.corp.example.com"]
      ·                                          ──────────┬─────────
      ·                                                    ╰── not of the form scheme://host
      ╰────
     help: such as "ldaps://dc1.corp.example.com" or "ldap://10.0.0.5:389"

     × unknown key `base_dn` in [directory]
      ╭─[/etc/idcsync/corp.toml:6:1]
    6 │ base_dn = "DC=corp,DC=example,DC=com"
      · ───┬───
      ·    ╰── unknown
      ╰────
     help: did you mean `base-dn`?

     × expected a whole number, found a string
      ╭─[/etc/idcsync/corp.toml:7:13]
    7 │ page-size = "many"
      ·             ───┬──
      ·                ╰── expected a whole number
      ╰────

     × `timeout` is no span of time: "30": the unit is missing: w, d, h, m or s
      ╭─[/etc/idcsync/corp.toml:8:12]
    8 │ timeout = "30"
      ·            ─┬
      ·             ╰── the unit is missing: w, d, h, m or s
      ╰────
     help: such as "30s", "1h30m" or "28d"

     × unknown key `wirte` in `scope.groups`
       ╭─[/etc/idcsync/corp.toml:10:48]
    10 │ groups = ["AWS-Admins", { group = "Container", wirte = false }, "aws-admins"]
       ·                                                ──┬──
       ·                                                  ╰── unknown
       ╰────
     help: did you mean `write`?

     × the group "aws-admins" is named twice
       ╭─[/etc/idcsync/corp.toml:10:65]
    10 │ groups = ["AWS-Admins", { group = "Container", wirte = false }, "aws-admins"]
       ·           ──────┬─────                                          ──────┬─────
       ·                 │                                                     ╰── again here
       ·                 ╰── first here
       ╰────

     × the mapping of `userName` is wrong: this `${` has no closing brace
       ╭─[/etc/idcsync/corp.toml:12:15]
    12 │ "userName" = "${userprincipalname"
       ·               ─┬
       ·                ╰── here
       ╰────
     help: write `$${` for a `${` that is meant as it stands

     × unknown attribute `nick` in [mapping.user]
       ╭─[/etc/idcsync/corp.toml:13:1]
    13 │ "nick" = "${cn}"
       · ───┬──
       ·    ╰── unknown
       ╰────
     help: known here: userName, displayName, name.givenName, name.familyName, name.middleName,
           name.formatted, name.honorificPrefix, name.honorificSuffix, nickName, profileUrl,
           emails[primary].value, emails[primary].type, phoneNumbers[primary].value,
           phoneNumbers[primary].type, addresses[primary].streetAddress, addresses[primary].locality,
           addresses[primary].region, addresses[primary].postalCode, addresses[primary].country,
           addresses[primary].formatted, addresses[primary].type, userType, title, preferredLanguage,
           locale, timezone, website, externalId, enterprise.employeeNumber, enterprise.costCenter,
           enterprise.organization, enterprise.division, enterprise.department, enterprise.manager

     × `requests-per-second` must be from 1 to 20
       ╭─[/etc/idcsync/corp.toml:16:23]
    16 │ requests-per-second = 100
       ·                       ─┬─
       ·                        ╰── from 1 to 20
       ╰────
     help: AWS allows 20 a second for all callers of the account together; more only to a stand-in,
           by `endpoint-url`

     × `max-percent` must be from 1 to 100
       ╭─[/etc/idcsync/corp.toml:18:15]
    18 │ max-percent = 120
       ·               ─┬─
       ·                ╰── from 1 to 100
       ╰────

     × `cron` cannot be "0 24 * * *": the hour is wrong: value must be in range 0..=23; found 24
       ╭─[/etc/idcsync/corp.toml:20:11]
    20 │ cron = "0 24 * * *"
       ·           ─┬
       ·            ╰── the hour is wrong: value must be in range 0..=23; found 24
       ╰────
     help: five fields as in crontab(5), such as "0 * * * *" (hourly) or "30 2 * * mon-fri"; or
           "@hourly"
    "#);
}

#[test]
fn the_caret_finds_its_place_within_a_string() {
    assert_snapshot!(shown(&(GOOD.to_owned() + r#"
[mapping.user]
"title" = { jmespath = "title || \u0027Employee\u0027 || (" }
"displayName" = "\u00fc\t${displayname} ${proxyaddresses[?type == \"SMPT\"].value}"
"nickName" = """
${givenname} \
   ${"""
"locale" = { jmespath = 'shout(title)' }
"#)), @r#"
     × the mapping of `title` is wrong: a value, name or function must stand here, not the end
       ╭─[/etc/idcsync/corp.toml:13:59]
    13 │ "title" = { jmespath = "title || \u0027Employee\u0027 || (" }
       ·                                                           ▲
       ·                                                           ╰── here
       ╰────

     × the mapping of `displayName` is wrong: the only filters in a template are `proxyaddresses[?
     │ type == "SMTP"].value` and the same with "smtp"
       ╭─[/etc/idcsync/corp.toml:14:57]
    14 │ "displayName" = "\u00fc\t${displayname} ${proxyaddresses[?type == \"SMPT\"].value}"
       ·                                                         ────────────┬────────────
       ·                                                                     ╰── here
       ╰────
     help: for anything else write `{ jmespath = "…" }` in place of the template

     × the mapping of `nickName` is wrong: this `${` has no closing brace
       ╭─[/etc/idcsync/corp.toml:17:4]
    17 │    ${"""
       ·    ─┬
       ·     ╰── here
       ╰────
     help: write `$${` for a `${` that is meant as it stands

     × the mapping of `locale` is wrong: there is no function `shout`
       ╭─[/etc/idcsync/corp.toml:18:26]
    18 │ "locale" = { jmespath = 'shout(title)' }
       ·                          ──┬──
       ·                            ╰── here
       ╰────
     help: there are abs, avg, ceil, contains, ends_with, floor, join, keys, length, lower, map, max,
           max_by, merge, min, min_by, not_null, replace, reverse, sort, sort_by, split, starts_with,
           substring, sum, to_array, to_number, to_string, trim, type, upper, values
    "#);
}

#[test]
fn an_empty_file_and_empty_tables_say_what_is_missing() {
    assert_snapshot!(lines(""), @r#"
    corp.toml:1:1: `profile` is missing from the file; a short name for this sync, such as "corp"
    corp.toml:1:1: the table [directory] is missing
    corp.toml:1:1: the table [scope] is missing
    corp.toml:1:1: the table [target] is missing
    "#);
    assert_snapshot!(lines("[directory]\nkind = \"ldap\"\n[scope]\n[target]\n"), @r#"
    corp.toml:1:1: `profile` is missing from the file; a short name for this sync, such as "corp"
    corp.toml:1:2: `base-dn` is missing from [directory]; the top of what is read, such as "DC=corp,DC=example,DC=com"
    corp.toml:1:2: `urls` is missing from [directory]; or `discover`, a DNS domain whose SRV records name the servers
    corp.toml:1:2: `bind` is missing from [directory]; bind = { dn = "…", password-file = "…" }, or bind = "gssapi" or "external"
    corp.toml:3:2: the scope is empty: nobody would be synced; groups = ["…"]: each is a sAMAccountName, DOMAIN\name, userPrincipalName, mail, DN or objectGUID
    corp.toml:4:2: `kind` is missing from [target]; "identity-store", "scim" or "sandbox"
    "#);
    assert_snapshot!(lines("directory = 3\nprofile = []\n[[scope]]\n[target]\nkind = \"sandbox\""), @r#"
    corp.toml:1:13: expected a table, found an integer
    corp.toml:2:11: expected a name, found an array
    corp.toml:3:1: expected a table, found an array
    corp.toml:4:2: `store` is missing from [target]; the file that the sandbox keeps its users and groups in
    "#);
    assert_snapshot!(shown(""), @r#"
    × `profile` is missing from the file
     ╭─[/etc/idcsync/corp.toml:1:1]
     ╰────
    help: a short name for this sync, such as "corp"

    × the table [directory] is missing
     ╭─[/etc/idcsync/corp.toml:1:1]
     ╰────

    × the table [scope] is missing
     ╭─[/etc/idcsync/corp.toml:1:1]
     ╰────

    × the table [target] is missing
     ╭─[/etc/idcsync/corp.toml:1:1]
     ╰────
    "#);
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let text = with(&[("bind", r#"bind = { dn = "CN=svc", password = "geheim" }"#)])
        + "[state]\nurl = \"postgres://u:geheim@h/d\"\n";
    assert_snapshot!(shown(&text), @r#"
     × unknown key `password` in `directory.bind`
      ╭─[/etc/idcsync/corp.toml:6:25]
    6 │ bind = { dn = "CN=svc", password = "******" }
      ·                         ────┬───
      ·                             ╰── unknown
      ╰────
     help: secrets are never written in this file: use `password-file` or `password-env`

     × secrets are never written in this file: the url has a password in it
       ╭─[/etc/idcsync/corp.toml:12:21]
    12 │ url = "postgres://u:******@h/d"
       ·                     ───┬──
       ·                        ╰── a password
       ╰────
     help: leave it out of the url, and name it by `password-file` or `password-env`
    "#);
    let query = GOOD.to_owned() + "[state]\nurl = \"postgres://u@h/d?sslmode=require&password=geheim\"\n";
    let broken = text.replace("[scope]", "[scope");
    for text in [&text, &query, &broken] {
        let said = format!("{}{}{:?}", shown(text), lines(text), parse(text).unwrap_err());
        assert!(!said.contains("geheim"), "{said}");
    }
}

#[test]
fn a_config_shows_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pw"), "geheim").unwrap();
    let text = with(&[("bind", r#"bind = { dn = "CN=svc", password-file = "pw" }"#)]);
    let config = Config::from_bytes(text.as_bytes(), &dir.path().join("corp.toml")).unwrap();
    assert!(!format!("{config:?}").contains("geheim"));
}

#[cfg(unix)]
#[test]
fn a_password_file_that_others_may_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (file, config) = (dir.path().join("pw"), dir.path().join("corp.toml"));
    std::fs::write(&file, "geheim").unwrap();
    std::fs::write(&config, with(&[("bind", r#"bind = { dn = "CN=svc", password-file = "pw" }"#)])).unwrap();
    let warnings = |mode| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let config = Config::load(&config).unwrap();
        config.warnings.list().iter().map(|w| (w.severity, w.line, w.message.clone())).collect::<Vec<_>>()
    };
    assert_eq!(warnings(0o640), []);
    let expected = "every user of this machine may read the password file".to_owned();
    assert_eq!(warnings(0o644), [(Severity::Warning, 6, expected)]);
}

#[test]
fn what_is_no_toml_or_no_text() {
    assert_snapshot!(shown("profile = \"corp\n[directory\nkind = ldap\nurls = [\"x\", ]\n"), @r#"
     × not valid TOML: invalid basic string, expected `"`
      ╭─[/etc/idcsync/corp.toml:1:15]
    1 │ profile = "corp
      ·               ┬
      ·               ╰── not valid TOML
      ╰────

     × not valid TOML: unclosed table, expected `]`
      ╭─[/etc/idcsync/corp.toml:2:10]
    2 │ [directory
      ·          ┬
      ·          ╰── not valid TOML
      ╰────
    "#);
    assert_snapshot!(lines("a = 1\na = 2\n"), @r#"corp.toml:2:1: not valid TOML: duplicate key"#);
    assert_snapshot!(lines("[mapping.user]\nemails[primary].value = '${mail}'\n"), @r#"corp.toml:2:7: not valid TOML: key with no value, expected `=`; a name with brackets in it stands in quotes: "emails[primary].value""#);
    let error = Config::from_bytes(b"profile = \"c\xFCrp\"\n", Path::new("corp.toml")).unwrap_err();
    assert_snapshot!(error.diagnostics()[0].to_string(), @r#"corp.toml:1:13: the file is not UTF-8, as TOML must be"#);
    let error = Config::load(Path::new("/nowhere/corp.toml")).unwrap_err();
    assert_snapshot!(error.to_string(), @r#"cannot read the config file /nowhere/corp.toml"#);
    assert!(error.diagnostics().is_empty() && std::error::Error::source(&error).is_some());
    assert_snapshot!(parse("").unwrap_err().to_string(), @r#"the config file /etc/idcsync/corp.toml has 4 errors"#);
}

#[test]
fn diagnostics_are_data_too() {
    let error = parse(&with(&[("kind = \"active", "kind = \"ad\"")])).unwrap_err();
    assert_snapshot!(serde_json::to_string_pretty(error.diagnostics()).unwrap(), @r#"
    [
      {
        "severity": "error",
        "file": "/etc/idcsync/corp.toml",
        "line": 3,
        "column": 8,
        "message": "`kind` cannot be \"ad\"",
        "label": "unknown value",
        "help": "expected \"active-directory\", \"ldap\" or \"ldif\""
      }
    ]
    "#);
}
