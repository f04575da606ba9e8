//! What the service is told: its schedule, its address, where metrics go.

use jiff::tz::TimeZone;

use super::*;
use crate::schedule::Schedule;

fn with_tables(tables: &str) -> String {
    GOOD.to_owned() + tables
}

fn warnings(tables: &str) -> String {
    format!("{:?}", parse(&with_tables(tables)).unwrap().warnings)
}

#[test]
fn a_schedule() {
    let config = parse(&with_tables(
        "[schedule]\ncron = \"30 2 * * mon-fri\"\ntimezone = \"Europe/Zurich\"\njitter = \"2m\"\ndrift-check = \"6h\"\n",
    ))
    .unwrap();
    let zone = TimeZone::get("Europe/Zurich").unwrap();
    let minutes = jiff::SignedDuration::from_mins;
    assert_eq!(config.schedule, Schedule::new("30 2 * * mon-fri", zone, minutes(2), "corp").unwrap());
    assert_eq!(config.drift_check, Duration::from_secs(6 * 3600));
    assert!(config.warnings.is_empty());
    // Names are what they are in the database, however they are written.
    let config =
        parse(&with_tables("[schedule]\ncron = \"@daily\"\ntimezone = \"america/new_york\"\n")).unwrap();
    assert_eq!(config.schedule.describe(), "@daily, America/New_York");
}

/// Another profile starts at other times.
#[test]
fn the_profile_sets_the_delay() {
    let slot: jiff::Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
    let start = |profile: &str| {
        let text = with_tables("[schedule]\njitter = \"59m\"\n").replace("profile = \"corp\"", profile);
        parse(&text).unwrap().schedule.start_of(slot)
    };
    assert_eq!(start("profile = \"corp\""), start("profile = \"corp\""));
    assert_ne!(start("profile = \"corp\""), start("profile = \"lab\""));
}

#[test]
fn what_is_wrong_with_a_schedule() {
    assert_snapshot!(shown(&with_tables(
        "[schedule]\ncron = \"0 24 * * *\"\ntimezone = \"Europe/Zürich\"\njitter = \"2d\"\n"
    )), @r#"
     × `cron` cannot be "0 24 * * *": the hour is wrong: value must be in range 0..=23; found 24
       ╭─[/etc/idcsync/corp.toml:12:11]
    12 │ cron = "0 24 * * *"
       ·           ─┬
       ·            ╰── the hour is wrong: value must be in range 0..=23; found 24
       ╰────
     help: five fields as in crontab(5), such as "0 * * * *" (hourly) or "30 2 * * mon-fri"; or
           "@hourly"

     × there is no time zone "Europe/Zürich"
       ╭─[/etc/idcsync/corp.toml:13:12]
    13 │ timezone = "Europe/Zürich"
       ·            ───────┬───────
       ·                   ╰── no time zone
       ╰────
     help: did you mean "Europe/Zurich"?

     × `jitter` must be from 0s to 1d
       ╭─[/etc/idcsync/corp.toml:14:10]
    14 │ jitter = "2d"
       ·          ──┬─
       ·            ╰── from 0s to 1d
       ╰────
    "#);
    for (tables, said) in [
        ("cron = \"0 0 30 2 *\"", "12:8: `cron` cannot be \"0 0 30 2 *\": no such day ever comes"),
        (
            "cron = \"*/5 * * * *\"\njitter = \"5m\"",
            "13:10: the jitter must be shorter than the time between two runs, which is 5m",
        ),
        ("jitter = \"1h\"", "12:10: the jitter must be shorter than the time between two runs, which is 1h"),
    ] {
        let said_of = lines(&with_tables(&format!("[schedule]\n{tables}\n")));
        assert!(said_of.trim_end().ends_with(said), "{said_of}");
    }
    assert_snapshot!(lines(&with_tables("[schedule]\ncron = \"hourly\"\ntimezone = \"Zurich\"\n")), @r#"
    corp.toml:12:9: `cron` cannot be "hourly": five fields are expected, minute, hour, day of the month, month, day of the week; here are 1; five fields as in crontab(5), such as "0 * * * *" (hourly) or "30 2 * * mon-fri"; or "@hourly"
    corp.toml:13:12: there is no time zone "Zurich"; did you mean "Europe/Zurich"?
    "#);
    assert_snapshot!(lines(&with_tables("[schedule]\ncron = 5\ntimezone = \"Etc/Unknown\"\ntime-zone = \"UTC\"\n")), @r#"
    corp.toml:12:8: expected a cron line, found an integer
    corp.toml:13:12: there is no time zone "Etc/Unknown"; a name of the IANA database, such as "Europe/Zurich" or "UTC"
    corp.toml:14:1: unknown key `time-zone` in [schedule]; did you mean `timezone`?
    "#);
    assert_snapshot!(lines(&with_tables("[schedule]\ncron = \"0 0 * * \\u0039\"\ntimezone = \"/etc/localtime\"\n")), @r#"
    corp.toml:12:17: `cron` cannot be "0 0 * * 9": the day of the week is wrong: value must be in range 0..=7; found 9; five fields as in crontab(5), such as "0 * * * *" (hourly) or "30 2 * * mon-fri"; or "@hourly"
    corp.toml:13:12: there is no time zone "/etc/localtime"; a name of the IANA database, such as "Europe/Zurich" or "UTC"
    "#);
    assert_snapshot!(lines(&with_tables("[schedule]\ntimezone = \"../../etc/passwd\"\njitter = \"-1m\"\n")), @r#"
    corp.toml:12:12: there is no time zone "../../etc/passwd"; a name of the IANA database, such as "Europe/Zurich" or "UTC"
    corp.toml:13:11: `jitter` is no span of time: "-1m": a number is expected here; such as "30s", "1h30m" or "28d"
    "#);
}

#[test]
fn a_service() {
    let service = |tables: &str| parse(&with_tables(&format!("[service]\n{tables}"))).unwrap().service;
    let all = service("listen = \"0.0.0.0:9090\"\ntoken-env = \"HTTP_TOKEN\"\ngrace = \"10m\"\n");
    assert_eq!(
        all,
        ServiceSettings {
            listen: "0.0.0.0:9090".parse().unwrap(),
            token: Some(SecretSource::Env("HTTP_TOKEN".to_owned())),
            grace: Duration::from_secs(600),
        }
    );
    assert_eq!(service("listen = \"[::1]:8080\"\n").listen, "[::1]:8080".parse().unwrap());
    // Open to others and without a token: then nothing can be changed through it.
    let open = parse(&with_tables("[service]\nlisten = \"0.0.0.0:8080\"\n")).unwrap();
    assert!(open.warnings.is_empty() && open.service.token.is_none());
}

#[test]
fn what_is_wrong_with_a_service() {
    assert_snapshot!(lines(&with_tables(r#"
[service]
listen = "localhost:8080"
token = "geheim"
grace = "11m"
[metrics]
text-file = "idcsync.prom"
"#)), @r#"
    corp.toml:13:10: `listen` is no address with a port: "localhost:8080"; such as "127.0.0.1:8080" or "[::1]:8080"; "0.0.0.0:8080" for all; no host names
    corp.toml:14:1: unknown key `token` in [service]; secrets are never written in this file: use `token-file` or `token-env`
    corp.toml:15:9: `grace` must be from 1s to 10m
    corp.toml:17:1: unknown key `text-file` in [metrics]; did you mean `textfile`?
    "#);
    assert_snapshot!(lines(&with_tables("[service]\nlisten = 8080\ntoken-file = \"a\"\ntoken-env = \"B\"\ngrace = \"0s\"\n[metrics]\ntextfile = true\n")), @r#"
    corp.toml:12:10: expected an address and a port, found an integer
    corp.toml:14:1: `token-file` and `token-env` exclude each other
    corp.toml:15:9: `grace` must be from 1s to 10m
    corp.toml:17:12: expected a path, found a boolean
    "#);
    assert_snapshot!(warnings("[service]\nlisten = \"127.0.0.1:0\"\n[metrics]\ntextfile = \"metrics.txt\"\n"), @r#"["/etc/idcsync/corp.toml:12:10: warning: with port 0 the system chooses one, which `idcsync health` cannot know", "/etc/idcsync/corp.toml:14:12: warning: a node exporter reads only files whose names end in .prom"]"#);
    // What is not a port, or not an address.
    for bad in ["127.0.0.1", ":8080", "127.0.0.1:65536", "::1:8080x", "http://127.0.0.1:8080", "*:8080"] {
        assert!(parse(&with_tables(&format!("[service]\nlisten = \"{bad}\"\n"))).is_err(), "{bad}");
    }
}
