//! The SCIM endpoint, as a target and beside the API.

use insta::assert_snapshot;

use super::*;
use crate::model::UserAttribute;
use crate::target::ScimSettings;

const URL: &str = "https://scim.eu-west-1.amazonaws.com/x/scim/v2";

/// `GOOD` with kind "scim" and this table.
fn scim(table: &str) -> String {
    with(&[("kind = \"identity", &format!("kind = \"scim\"\nscim = {{ {table} }}"))])
}

fn settings(text: &str) -> ScimSettings {
    match parse(text).unwrap().target {
        TargetSettings::Scim(settings) => settings,
        TargetSettings::IdentityStore(settings) => settings.scim.unwrap(),
        TargetSettings::Sandbox(_) => panic!("no SCIM"),
    }
}

#[test]
fn scim_is_a_target_of_its_own() {
    let found = settings(&scim(&format!("url = \"{URL}\", token-file = \"secret/scim\"")));
    assert_eq!(found.url, URL);
    assert_eq!(found.token, SecretSource::File("/etc/idcsync/secret/scim".into()));
    assert_eq!((found.token_expires, found.rfc_remove, found.requests_per_second), (None, false, 18));
    assert_eq!(found.identity_store().as_str(), URL);
    let named =
        scim(&format!("url = \"{URL}\", token-env = \"T\"")) + "identity-store-id = \"d-1234567890\"\n";
    assert_eq!(settings(&named).identity_store().as_str(), "d-1234567890");
}

#[test]
fn scim_stands_beside_the_api_and_shares_its_rate() {
    let text = GOOD.to_owned()
        + &format!(
            "requests-per-second = 7\nscim = {{ url = \"{URL}/\", token-env = \"T\", remove-form = \"rfc\" }}\n"
        );
    let found = settings(&text);
    assert_eq!((found.requests_per_second, found.rfc_remove), (7, true));
    assert_eq!(found.token, SecretSource::Env("T".to_owned()));
}

#[test]
fn a_token_ends_on_a_day() {
    let expires = |day: &str| {
        let text = scim(&format!("url = \"{URL}\", token-env = \"T\", token-expires = {day}"));
        settings(&text).token_expires.unwrap().to_string()
    };
    assert_eq!(expires("\"2027-10-01\""), "2027-10-01T00:00:00Z");
    assert_eq!(expires("2027-10-01"), "2027-10-01T00:00:00Z");
    let bad = ["\"soon\"", "\"2027-02-29\"", "2027-10-01T12:00:00Z", "20271001", "\"\""];
    let bad: String = bad
        .iter()
        .map(|day| lines(&scim(&format!("url = \"{URL}\", token-env = \"T\", token-expires = {day}"))))
        .collect();
    assert_snapshot!(bad, @r#"
    corp.toml:11:99: `token-expires` is no date: "soon"; such as "2027-10-01"
    corp.toml:11:99: `token-expires` is no date: "2027-02-29"; such as "2027-10-01"
    corp.toml:11:99: `token-expires` is no date: "2027-10-01T12:00:00Z"; such as "2027-10-01"
    corp.toml:11:99: expected a date, found an integer
    corp.toml:11:99: `token-expires` is no date: ""; such as "2027-10-01"
    "#);
}

#[test]
fn stand_ins_are_on_this_machine() {
    for url in ["http://127.0.0.1:4566/tenant/scim/v2", "http://[::1]:80/v2/", "http://localhost", URL] {
        assert_eq!(settings(&scim(&format!("url = \"{url}\", token-env = \"T\""))).url, url);
    }
    let fast =
        |url: &str| scim(&format!("url = \"{url}\", token-env = \"T\"")) + "requests-per-second = 500\n";
    assert_eq!(settings(&fast("http://127.0.0.1:1/v2")).requests_per_second, 500);
    assert_snapshot!(lines(&fast(URL)), @r#"corp.toml:12:23: `requests-per-second` must be from 1 to 20; AWS allows 20 a second for all callers of the account together; more only to a stand-in, by `scim.url`"#);
    let beside = GOOD.to_owned()
        + &format!(
            "endpoint-url = \"http://127.0.0.1:1\"\nrequests-per-second = 500\nscim = {{ url = \"{URL}\", token-env = \"T\" }}\n"
        );
    assert_snapshot!(lines(&beside), @r#"corp.toml:12:23: `requests-per-second` must be from 1 to 20; AWS allows 20 a second for all callers of the account together; more only to a stand-in, by `endpoint-url`"#);
}

#[test]
fn endpoints_that_are_none_and_tokens_in_the_clear() {
    let bad: String = [
        "http://scim.example/v2",
        "scim.eu-west-1.amazonaws.com/x/scim/v2",
        "ldaps://h/scim/v2",
        "https://me:geheim@h/scim/v2",
        "https://h/scim/v2?x=1",
        "https://-/scim",
    ]
    .iter()
    .map(|url| lines(&scim(&format!("url = \"{url}\", token-env = \"T\""))))
    .collect();
    assert_snapshot!(bad, @r#"
    corp.toml:11:16: the token would travel over plain http://; write https://; http:// is for a stand-in on this machine
    corp.toml:11:17: `url` is no url of a SCIM endpoint: not of the form scheme://host; such as "https://scim.eu-west-1.amazonaws.com/TENANT/scim/v2", as IAM Identity Center shows it under Automatic provisioning
    corp.toml:11:17: `url` is no url of a SCIM endpoint: expected https:// or http://; such as "https://scim.eu-west-1.amazonaws.com/TENANT/scim/v2", as IAM Identity Center shows it under Automatic provisioning
    corp.toml:11:25: `url` is no url of a SCIM endpoint: user names and passwords do not belong in a url; such as "https://scim.eu-west-1.amazonaws.com/TENANT/scim/v2", as IAM Identity Center shows it under Automatic provisioning
    corp.toml:11:34: `url` is no url of a SCIM endpoint: nothing may follow the path; such as "https://scim.eu-west-1.amazonaws.com/TENANT/scim/v2", as IAM Identity Center shows it under Automatic provisioning
    corp.toml:11:25: `url` is no url of a SCIM endpoint: no host name or address; such as "https://scim.eu-west-1.amazonaws.com/TENANT/scim/v2", as IAM Identity Center shows it under Automatic provisioning
    "#);
    let secret = scim(&format!("url = \"{URL}\", token = \"geheim\""));
    assert_snapshot!(shown(&secret), @r#"
     × unknown key `token` in `target.scim`
       ╭─[/etc/idcsync/corp.toml:11:66]
    11 │ scim = { url = "https://scim.eu-west-1.amazonaws.com/x/scim/v2", token = "******" }
       ·                                                                  ──┬──
       ·                                                                    ╰── unknown
       ╰────
     help: secrets are never written in this file: use `token-file` or `token-env`
    "#);
    assert!(!format!("{}{:?}", lines(&secret), parse(&secret).unwrap_err()).contains("geheim"));
}

#[test]
fn what_does_not_fit_is_refused() {
    assert_snapshot!(lines(&scim("ulr = \"x\", token-file = \"a\", token-env = \"b\", remove-form = \"RFC\"")), @r#"
    corp.toml:11:10: unknown key `ulr` in `target.scim`; did you mean `url`?
    corp.toml:11:39: `token-file` and `token-env` exclude each other
    corp.toml:11:70: `remove-form` cannot be "RFC"; did you mean "rfc"?
    "#);
    assert_snapshot!(lines(&with(&[("kind = \"identity", "kind = \"scim\"\nregion = \"eu-west-1\"\nendpoint-url = \"http://127.0.0.1\"\nstore = \"s\"")])), @r#"
    corp.toml:9:2: `scim` is missing from [target]; scim = { url = "https://…/scim/v2", token-file = "…" }
    corp.toml:11:1: `region` cannot be used here: kind = "scim" asks the endpoint that `scim` names
    corp.toml:12:1: `endpoint-url` cannot be used here: kind = "scim" asks the endpoint that `scim` names
    corp.toml:13:1: `store` cannot be used here: it is for kind = "sandbox"
    "#);
    assert_snapshot!(lines(&with(&[("kind = \"identity", "kind = \"sandbox\"\nstore = \"s\"\nscim = { url = \"https://h\" }")])), @r#"
    corp.toml:12:1: the SCIM endpoint has no token; token-file = "…" or token-env = "…": IAM Identity Center shows it once, when it is generated
    corp.toml:12:1: `scim` cannot be used here: kind = "sandbox" runs inside idcsync, and asks no endpoint
    "#);
    assert_snapshot!(lines(&scim("")), @r#"
    corp.toml:11:1: `url` is missing from `target.scim`; such as "https://scim.eu-west-1.amazonaws.com/TENANT/scim/v2", as IAM Identity Center shows it under Automatic provisioning
    corp.toml:11:1: the SCIM endpoint has no token; token-file = "…" or token-env = "…": IAM Identity Center shows it once, when it is generated
    "#);
    assert_snapshot!(lines(&(GOOD.to_owned() + "scim = true\n")), @r#"corp.toml:11:8: expected a table, found a boolean"#);
}

#[test]
fn what_only_one_of_the_two_writes_is_mapped_for_that_one() {
    let mapping = "[mapping.user]\n\"externalId\" = \"${objectguid}-x\"\n\"website\" = \"x\"\n[mapping.group]\n\"externalId\" = \"y\"\n\"description\" = \"z\"\n";
    let over_scim = scim(&format!("url = \"{URL}\", token-env = \"T\"")) + mapping;
    assert_snapshot!(lines(&over_scim), @r#"
    corp.toml:14:1: `website` cannot be mapped for this target; SCIM has no such attribute: only kind = "identity-store" writes it
    corp.toml:17:1: `description` cannot be mapped for this target; SCIM has no such attribute: only kind = "identity-store" writes it
    "#);
    assert_snapshot!(lines(&(GOOD.to_owned() + mapping)), @r#"
    corp.toml:12:1: `externalId` cannot be mapped for this target; the Identity Store API has it in no input: only kind = "scim" writes it
    corp.toml:15:1: `externalId` cannot be mapped for this target; the Identity Store API has it in no input: only kind = "scim" writes it
    "#);
    let fitting = over_scim.replace("\"website\" = \"x\"\n", "").replace("\"description\" = \"z\"\n", "");
    let config = parse(&fitting).unwrap();
    let expression = config.mapping.user_expressions()[&UserAttribute::ExternalId].to_string();
    assert_eq!(expression, "${objectguid}-x");
    // With a kind that is none, nothing is said of attributes.
    let unknown = with(&[("kind = \"identity", "kind = \"scmi\"")]) + mapping;
    assert_snapshot!(lines(&unknown), @r#"corp.toml:10:8: `kind` cannot be "scmi"; did you mean "scim"?"#);
}

#[cfg(unix)]
#[test]
fn a_token_file_that_others_may_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (file, config) = (dir.path().join("token"), dir.path().join("corp.toml"));
    std::fs::write(&file, "geheim").unwrap();
    std::fs::write(&config, scim(&format!("url = \"{URL}\", token-file = \"token\""))).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let config = Config::load(&config).unwrap();
    let warnings: Vec<_> = config.warnings.list().iter().map(|w| w.message.as_str()).collect();
    assert_eq!(warnings, ["every user of this machine may read the token file"]);
    assert!(!format!("{config:?}").contains("geheim"));
}

#[test]
fn assignments_are_read_from_the_api_alone() {
    assert!(!parse(GOOD).unwrap().assignments);
    assert!(!parse(&(GOOD.to_owned() + "assignments = false\n")).unwrap().assignments);
    let beside = format!("assignments = true\nscim = {{ url = \"{URL}\", token-env = \"T\" }}\n");
    let config = parse(&(GOOD.to_owned() + &beside)).unwrap();
    assert!(config.assignments && config.warnings.is_empty());
    let config =
        parse(&(scim(&format!("url = \"{URL}\", token-env = \"T\"")) + "assignments = true\n")).unwrap();
    assert!(!config.assignments);
    let warnings: Vec<_> = config.warnings.list().iter().map(|w| w.message.as_str()).collect();
    assert_eq!(warnings, ["account assignments cannot be read over SCIM: plans do not show them"]);
}
