//! What each table refuses.

use insta::assert_snapshot;

use super::*;
use crate::plan::{DisableMethod, OnDelete, OnDisable, OnGroupOut};

#[test]
fn mappings_that_are_no_mappings() {
    assert_snapshot!(lines(&(GOOD.to_owned() + r#"
[mapping.user]
name.givenName = "${givenname}"
"username" = "${cn}"
"displayName" = ""
"title" = 5
"locale" = { jmspath = "x" }
"timezone" = { jmespath = 1 }
"externalId" = "${objectguid}"
[mapping.group]
"displayname" = "${cn}"
[mapping.role]
"#)), @r#"
    corp.toml:13:1: unknown attribute `name` in [mapping.user]; a name with a dot in it stands in quotes: "name.givenName"
    corp.toml:14:1: unknown attribute `username` in [mapping.user]; did you mean `userName`?
    corp.toml:15:17: `displayName` cannot be left out: the target requires it
    corp.toml:16:11: expected a template in a string, or { jmespath = "…" }, found an integer
    corp.toml:17:14: unknown key `jmspath` in the table of a mapping; did you mean `jmespath`?
    corp.toml:18:27: expected a JMESPath expression in a string, found an integer
    corp.toml:19:1: `externalId` cannot be mapped for this target; the Identity Store API has it in no input: only kind = "scim" writes it
    corp.toml:21:1: unknown attribute `displayname` in [mapping.group]; did you mean `displayName`?
    corp.toml:22:10: unknown key `role` in [mapping]; known here: user, group
    "#);
}

#[test]
fn passwords_do_not_travel_in_the_clear() {
    let plain = ("urls", r#"urls = ["ldaps://dc1", "ldap://dc2"]"#);
    assert_snapshot!(shown(&with(&[plain])), @r#"
     × the password would travel over plain ldap://
      ╭─[/etc/idcsync/corp.toml:4:24]
    4 │ urls = ["ldaps://dc1", "ldap://dc2"]
      ·                        ──────┬─────
      ·                              ╰── not encrypted
    5 │ base-dn = "DC=corp,DC=example,DC=com"
    6 │ bind = { dn = "CN=svc,DC=corp", password-env = "PW" }
      ·        ───────────────────────┬──────────────────────
      ·                               ╰── the password
      ╰────
     help: write ldaps://, or tls = { starttls = true }, or say allow-plaintext = true
    "#);
    assert_snapshot!(lines(&with(&[plain, ("base-dn", "base-dn = \"DC=x\"\ntls = { starttls = true }")])), @r#"corp.toml:6:20: `starttls` is for ldap:// urls: an ldaps:// connection is encrypted from its start; leave `starttls` out, or write ldap:// in the url"#);
    assert_snapshot!(lines(&with(&[("urls", r#"urls = ["ldap://dc1"]"#), ("bind", "bind = \"external\"")])), @r#"corp.toml:4:9: bind = "external" proves itself by TLS, and plain ldap:// has none; write ldaps://, or tls = { starttls = true }"#);
    let allowed = with(&[plain, ("base-dn", "base-dn = \"DC=x\"\nallow-plaintext = true")]);
    assert!(parse(&allowed).is_ok());
    let starttls = with(&[("urls", "urls = [\"ldap://dc1\"]\ntls = { starttls = true }")]);
    assert!(parse(&starttls).is_ok());
}

#[test]
fn servers_and_binds_that_contradict_themselves() {
    assert_snapshot!(lines(&with(&[
        ("urls", "urls = []\ndiscover = \"corp example\"\nfile = \"x\""),
        ("bind", r#"bind = { dn = "CN=a,b", password = "geheim" }"#),
    ])), @r#"
    corp.toml:4:8: `urls` names no server
    corp.toml:5:1: `discover` and `urls` are two ways to say which servers
    corp.toml:5:12: `discover` is no DNS domain: "corp example"; such as "corp.example.com"; its SRV records name the servers
    corp.toml:6:1: `file` cannot be used here: it is for kind = "ldif"
    corp.toml:8:15: no distinguished name: `CN=a,b` has a component without `=`; such as "OU=People,DC=corp,DC=example,DC=com"
    corp.toml:8:25: unknown key `password` in `directory.bind`; secrets are never written in this file: use `password-file` or `password-env`
    "#);
    assert_snapshot!(lines(&with(&[
        ("urls", "urls = [\"ldaps://me:geheim@dc1\", 5, \"\"]"),
        ("bind", r#"bind = { dn = "x", password-file = "a", password-env = "b" }"#),
    ])), @r#"
    corp.toml:4:18: no url of an LDAP server: user names and passwords do not belong in a url; such as "ldaps://dc1.corp.example.com" or "ldap://10.0.0.5:389"
    corp.toml:4:34: expected a url such as "ldaps://dc1.corp.example.com", found an integer
    corp.toml:4:37: expected a url such as "ldaps://dc1.corp.example.com", found an empty string
    corp.toml:6:41: `password-file` and `password-env` exclude each other
    "#);
    assert_snapshot!(lines(&with(&[("bind", r#"bind = { external = { cert-file = "a" }, dn = "x" }"#)])), @r#"
    corp.toml:6:10: `key-file` is missing from `directory.bind.external`; `cert-file` alone proves nothing: both are PEM files
    corp.toml:6:42: `dn` cannot be used here: the certificate says who binds
    "#);
    assert_snapshot!(lines(&with(&[("bind", r#"bind = "kerberos""#)])), @r#"corp.toml:6:8: `bind` cannot be "kerberos"; expected "gssapi" or "external""#);
    assert_snapshot!(lines(&with(&[("kind = \"active", r#"kind = "ldif""#)])), @r#"
    corp.toml:2:2: `file` is missing from [directory]; the export to read, as `ldifde` or `ldapsearch` write it
    corp.toml:4:1: `urls` cannot be used here: kind = "ldif" reads a file, and asks no server
    corp.toml:6:1: `bind` cannot be used here: kind = "ldif" reads a file, and asks no server
    "#);
}

#[test]
fn an_external_bind_takes_both_files_or_warns() {
    let text = with(&[("bind", r#"bind = { external = { cert-file = "c.pem", key-file = "/k.pem" } }"#)]);
    let DirectorySettings::Ldap(ldap) = parse(&text).unwrap().directory else { panic!("no ldap") };
    assert!(matches!(ldap.bind, Bind::External { cert_file: Some(c), key_file: Some(k) }
        if c == Path::new("/etc/idcsync/c.pem") && k == Path::new("/k.pem")));
    let config = parse(&with(&[("bind", "bind = \"external\"")])).unwrap();
    assert_snapshot!(format!("{:?}", config.warnings), @r#"["/etc/idcsync/corp.toml:6:8: warning: no client certificate is named: a server accepts this bind only where it knows the client otherwise; bind = { external = { cert-file = \"…\", key-file = \"…\" } }"]"#);
}

#[test]
fn scopes_that_name_nobody_or_someone_twice() {
    assert_snapshot!(lines(&with(&[("groups", "groups = []\nusers = []")])), @r#"corp.toml:7:2: the scope is empty: nobody would be synced; groups = ["…"]: each is a sAMAccountName, DOMAIN\name, userPrincipalName, mail, DN or objectGUID"#);
    assert_snapshot!(lines(&with(&[("groups", r#"
groups = ["", " A", "CN=A, DC=x", "cn=a,dc=X", "\\x", "A\\\\B", "CN=a\\", { write = true }, 7, "alice"]
users = ["alice", "@x", "ALICE", "{6B29FC40-CA47-1067-B31D-00DD010662DA}", "6b29fc40-ca47-1067-b31d-00dd010662da"]
nested-groups = "deep"
user-filter = "(&(a=\u0062)(c=d)"
primary-group = "yes""#)])), @r#"
    corp.toml:9:11: expected the name of a group, found an empty string
    corp.toml:9:15: the name of a group has blanks around it, or a line break in it
    corp.toml:9:35: the group "cn=a,dc=X" is named twice
    corp.toml:9:48: "\x" is no name of a group: DOMAIN\name is expected, one backslash between the two; a sAMAccountName, DOMAIN\name, userPrincipalName, mail, DN or objectGUID
    corp.toml:9:55: "A\\B" is no name of a group: DOMAIN\name is expected, one backslash between the two; a sAMAccountName, DOMAIN\name, userPrincipalName, mail, DN or objectGUID
    corp.toml:9:65: "CN=a\" is no name of a group: a DN it is not: a component has no `=`, or an escape is cut off; a sAMAccountName, DOMAIN\name, userPrincipalName, mail, DN or objectGUID
    corp.toml:9:75: `group` is missing from `scope.groups`; the group's name
    corp.toml:9:93: expected the name of a group, found an integer
    corp.toml:10:19: "@x" is no name of a user: name@domain is expected; a sAMAccountName, DOMAIN\name, userPrincipalName, mail, DN or objectGUID
    corp.toml:10:25: the user "ALICE" is named twice
    corp.toml:10:76: the user "6b29fc40-ca47-1067-b31d-00dd010662da" is named twice
    corp.toml:11:17: `nested-groups` cannot be "deep"; expected "flatten" or "direct"
    corp.toml:12:16: `user-filter` is no LDAP filter (RFC 4515): never closed; such as "(&(department=IT)(!(sAMAccountName=svc-*)))"
    corp.toml:13:17: expected true or false, found a string
    "#);
}

#[test]
fn targets_and_numbers_out_of_bounds() {
    assert_snapshot!(lines(&(GOOD.to_owned() + r#"
identity-store-id = "ssoins-1234567890abcdef"
region = "Europe"
endpoint-url = "127.0.0.1:4566"
adopt = "Approve"
protect = ["A", "a", ""]
max-apply = "1h60"
store = "x"
[guard]
max-deletes = -1
max-disables = 99999999999
max-removals = 1.5
max-percent = 0
[state]
keep-history = "5m"
[log]
format = "jsonl"
"#)), @r#"
    corp.toml:12:21: "ssoins-1234567890abcdef" is no identity store id; `d-` and ten hex digits, as IAM Identity Center's settings page shows it (not the instance ARN)
    corp.toml:13:10: "Europe" is no region of AWS; such as "eu-west-1"
    corp.toml:14:17: `endpoint-url` is no url of a server: not of the form scheme://host; such as "http://127.0.0.1:4566"
    corp.toml:15:9: `adopt` cannot be "Approve"; did you mean "approve"?
    corp.toml:16:17: "a" is named twice
    corp.toml:16:22: expected the name of a user or group, found an empty string
    corp.toml:17:16: `max-apply` is no span of time: "1h60": the unit is missing: w, d, h, m or s; such as "30s", "1h30m" or "28d"
    corp.toml:18:1: `store` cannot be used here: it is for kind = "sandbox"
    corp.toml:20:15: `max-deletes` must be from 0 to 1000000000
    corp.toml:21:16: `max-disables` must be from 0 to 1000000000
    corp.toml:22:16: expected a whole number, found a float
    corp.toml:23:15: `max-percent` must be from 1 to 100
    corp.toml:25:16: `keep-history` must be from 1d to 3650d
    corp.toml:27:10: `format` cannot be "jsonl"; did you mean "json"?
    "#);
    let fast = GOOD.to_owned() + "endpoint-url = \"http://127.0.0.1:4566\"\nrequests-per-second = 5000\n";
    assert!(parse(&fast).is_ok());
    let aws = fast.replace("http://127.0.0.1:4566", "https://identitystore-fips.us-east-1.amazonaws.com");
    assert_snapshot!(lines(&aws), @r#"corp.toml:12:23: `requests-per-second` must be from 1 to 20; AWS allows 20 a second for all callers of the account together; more only to a stand-in, by `endpoint-url`"#);
    assert_snapshot!(lines(&with(&[("kind = \"identity", "kind = \"sandbox\"\nregion = \"eu-west-1\"")])), @r#"
    corp.toml:9:2: `store` is missing from [target]; the file that the sandbox keeps its users and groups in
    corp.toml:11:1: `region` cannot be used here: kind = "sandbox" runs inside idcsync, and asks no endpoint
    "#);
}

#[test]
fn state_urls() {
    let state = |lines: &str| GOOD.to_owned() + "[state]\n" + lines;
    for good in [
        "sqlite:state.db",
        "sqlite://a/state.db",
        "sqlite:///a/b.db",
        "postgres://u@h:5432/d?sslmode=require",
        "postgresql:///d?host=/run",
    ] {
        let config = parse(&state(&format!("url = \"{good}\""))).unwrap();
        assert_eq!(config.state.url, good);
    }
    let config = parse(&state("url = \"postgres://u@h/d\"\npassword-env = \"PG\"")).unwrap();
    assert_eq!(config.state.password, Some(SecretSource::Env("PG".to_owned())));
    for bad in [
        "sqlite:",
        "sqlite:///var/lib/",
        "sqlite::memory:",
        "sqlite:a?mode=ro",
        "mysql://h/d",
        "state.db",
        "postgres://h:x/d",
        "postgres:h/d",
        "sqlite:a%zz",
    ] {
        assert!(parse(&state(&format!("url = \"{bad}\""))).is_err(), "{bad}");
    }
    assert_snapshot!(lines(&state("url = \"postgres://u@h/d?sslmod=require\"")), @r#"corp.toml:12:8: `url` is no url of a state database: there is no parameter `sslmod`; known are application_name, dbname, host, options, port, sslcert, sslkey, sslmode, sslrootcert, user; such as sqlite:///var/lib/idcsync/state.db, sqlite:state.db (beside this file) or postgres://user@host/database"#);
    assert_snapshot!(lines(&state("url = \"postgres://u@h:port/d\"")), @r#"corp.toml:12:23: `url` is no url of a state database: no port number; such as sqlite:///var/lib/idcsync/state.db, sqlite:state.db (beside this file) or postgres://user@host/database"#);
    assert_snapshot!(lines(&state("password-file = \"x\"")), @r#"corp.toml:12:1: `password-file` cannot be used here: SQLite, the default, has no passwords"#);
}

#[test]
fn a_state_database_that_does_not_prove_who_it_is_is_a_warning() {
    let warnings = |url: &str| {
        let config = parse(&format!("{GOOD}[state]\nurl = \"{url}\"")).unwrap();
        config.warnings.list().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for quiet in ["postgres://u@db.example/d", "postgres://u@127.0.0.1/d?sslmode=disable", "sqlite:state.db"]
    {
        assert!(warnings(quiet).is_empty(), "{quiet}");
    }
    assert_snapshot!(format!("{:?}", warnings("postgres://u@db.example/d?sslmode=prefer&dbname=x")), @r#"["/etc/idcsync/corp.toml:12:34: warning: sslmode=prefer: the password and all names may go to the state database unencrypted; without sslmode the server's certificate is checked; sslrootcert=FILE names its CA"]"#);
    assert_snapshot!(format!("{:?}", warnings("postgres://u@db.example/d?sslmode=require")), @r#"["/etc/idcsync/corp.toml:12:34: warning: sslmode=require: whoever answers in the state database's place is not found out; without sslmode the server's certificate is checked; sslrootcert=FILE names its CA"]"#);
}

#[test]
fn the_life_of_an_identity() {
    let with_tables = |tables: &str| GOOD.to_owned() + tables;
    let config = parse(&with_tables(
        r#"
[lifecycle]
disable-after = "90d"
on-directory-delete = "disable"
delete-on-absence = "24h"
trust-change-log = true
on-directory-disable = "ignore"
disable-method = "report"
on-group-out-of-scope = "empty"
[schedule]
drift-check = "6h"
full-read-every = "2d"
follow = "3s"
"#,
    ))
    .unwrap();
    let days = |n: i64| jiff::SignedDuration::from_hours(24 * n);
    assert_eq!(
        config.policy.lifecycle,
        Lifecycle {
            disable_after: days(90),
            on_directory_delete: OnDelete::Disable,
            delete_after: days(7),
            delete_on_absence: Some(days(1)),
            trust_change_log: true,
            on_directory_disable: OnDisable::Ignore,
            disable_method: DisableMethod::Report,
            on_group_out_of_scope: OnGroupOut::Empty,
        }
    );
    assert_eq!(config.drift_check, Duration::from_secs(6 * 3600));
    assert_eq!(config.full_read_every, Some(Duration::from_secs(2 * 86_400)));
    assert_eq!(config.follow, Some(Duration::from_secs(3)));
    assert!(config.warnings.is_empty());

    let tables = "[lifecycle]\ndelete-after = \"0s\"\ndelete-on-absence = \"never\"\n";
    let config = parse(&with_tables(tables)).unwrap();
    assert_eq!(config.policy.lifecycle, Lifecycle { delete_after: days(0), ..Lifecycle::default() });

    assert_snapshot!(lines(&with_tables(r#"
[lifecycle]
disable-after = "59m"
on-directory-delete = "keep"
delete-after = "3651d"
delete-on-absence = "23h"
on-directory-disable = "Ignore"
disable-method = "revok"
on-group-out-of-scope = true
disable_after = "1d"
[schedule]
drift-check = "30m"
full-read-every = "8d"
follow = "0s"
"#)), @r#"
    corp.toml:13:17: `disable-after` must be from 1h to 3650d
    corp.toml:14:23: `on-directory-delete` cannot be "keep"; expected "delete" or "disable"
    corp.toml:15:16: `delete-after` must be from 0s to 3650d
    corp.toml:16:21: `delete-on-absence` must be from 1d to 3650d; "never", or a time such as "30d", 24 hours at least
    corp.toml:17:24: `on-directory-disable` cannot be "Ignore"; did you mean "ignore"?
    corp.toml:18:18: `disable-method` cannot be "revok"; did you mean "revoke"?
    corp.toml:19:25: expected "freeze" or "empty", found a boolean
    corp.toml:20:1: unknown key `disable_after` in [lifecycle]; did you mean `disable-after`?
    corp.toml:22:15: `drift-check` must be from 1h to 3650d
    corp.toml:23:19: `full-read-every` must be from 1h to 7d
    corp.toml:24:10: `follow` must be from 1s to 1h
    "#);
    assert_snapshot!(lines(&with_tables("[schedule]\nfollow = \"3s\"\n")), @r#"corp.toml:12:1: `follow` needs `full-read-every`: what follows changes reads changes only; full-read-every = "24h""#);
    assert_snapshot!(lines(&with_tables("[lifecycle]\ndelete-on-absence = \"soon\"\ndisable-after = 28\n")), @r#"
    corp.toml:12:22: `delete-on-absence` is no span of time: "soon": a number is expected here; "never", or a time such as "30d", 24 hours at least
    corp.toml:13:17: expected a span of time such as "30s", "50m" or "28d", found an integer
    "#);
    let unused = "[lifecycle]\non-directory-delete = \"disable\"\ndelete-after = \"1d\"\n";
    assert_snapshot!(format!("{:?}", parse(&with_tables(unused)).unwrap().warnings), @r#"["/etc/idcsync/corp.toml:13:1: warning: `delete-after` has no effect: with on-directory-delete = \"disable\" nobody is deleted"]"#);
}
