//! Config files that are large, deep, cut or no text: a clear error or it works.

use std::fmt::Write as _;

use super::screen::{HOSTILE, Screened as _};
use super::support::export::{Export, people};
use super::support::idcsync::Idcsync;

fn good() -> String {
    format!(
        "profile = \"p\"\n{}\n[target]\nkind = \"sandbox\"\nstore = \"store.json\"\nrequests-per-second = 100000\n\n\
         [state]\nurl = \"sqlite:state.db\"\n",
        Export::config(&["Team"])
    )
}

fn bench() -> Idcsync {
    let idcsync = Idcsync::new(&good());
    idcsync.write("directory.ldif", &Export::of(3).group("Team", people(0..3)).text());
    idcsync
}

/// It is refused in few words.
#[track_caller]
fn refused(what: &str, bytes: &[u8]) {
    let idcsync = bench();
    std::fs::write(idcsync.path("idcsync.toml"), bytes).unwrap();
    for arguments in [&["sync", "--dry-run"][..], &["status", "--output", "json"]] {
        let run = idcsync.run(arguments).shows_clean();
        assert_eq!(run.code, 2, "{what}: {:.2000}", run.report());
        assert!(run.stderr.contains("idcsync.toml"), "{what}: {:.2000}", run.report());
        assert!(!run.stderr.contains("panicked"), "{what}: {:.2000}", run.report());
        assert!(
            run.stderr.len() < 60_000,
            "{what}: {} bytes of errors\n{:.3000}",
            run.stderr.len(),
            run.report()
        );
    }
}

#[test]
fn depth_is_refused() {
    let deep = 10_000;
    let tables = format!("a = {}1{}\n", "{ a = ".repeat(deep), " }".repeat(deep));
    let arrays = format!("a = {}{}\n", "[".repeat(deep), "]".repeat(deep));
    for (what, text) in [("inline tables", tables), ("arrays", arrays)] {
        refused(what, format!("{text}{}", good()).as_bytes());
    }
    refused("a header", format!("{}[{}]\n", good(), vec!["a"; deep].join(".")).as_bytes());
    refused("a key", format!("{} = 1\n{}", vec!["a"; deep].join("."), good()).as_bytes());
    refused("a cut array", "a = [".repeat(deep).as_bytes());
    let mapping =
        |expression: &str| format!("{}[mapping.user]\n\"title\" = {{ jmespath = '{expression}' }}\n", good());
    refused("a path in parentheses", mapping(&format!("{}a{}", "(".repeat(400), ")".repeat(400))).as_bytes());
    refused("a literal", mapping(&format!("`{}{}`", "[".repeat(400), "]".repeat(400))).as_bytes());
    refused("nots", mapping(&"!".repeat(900)).as_bytes());
    refused("an expression of a megabyte", mapping(&"a.".repeat(1 << 19)).as_bytes());
    let filter = format!("{}(a=b){}", "(!".repeat(10_000), ")".repeat(10_000));
    refused(
        "a filter",
        good().replace("groups =", &format!("user-filter = \"{filter}\"\ngroups =")).as_bytes(),
    );
}

#[test]
fn what_is_no_text_is_refused() {
    let at_its_end = |bytes: &[u8]| [good().as_bytes(), bytes].concat();
    refused("not UTF-8", &at_its_end(b"x = \"\xff\xfe\"\n"));
    refused("a NUL", &at_its_end(b"x = \"\0\"\n"));
    refused("an escape", &at_its_end(b"x = \"\x1b[2J\"\n"));
    refused("an escape in a key", &at_its_end(b"\"\x1b]0;t\x07\" = 1\n"));
    refused("C1", &at_its_end("x\u{9b}2J = 1\n".as_bytes()));
    refused("UTF-16", &good().encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    refused(
        "noise",
        &(0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>(),
    );
    refused("nothing", b"");
    refused("a carriage return", &at_its_end(b"x = 1\r y = 2\r"));
}

#[test]
fn values_that_are_written_with_escapes_are_not_shown_raw() {
    let text: String = HOSTILE.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
    for key in ["profile", "kind", "groups", "url", "store", "file", "base-dn"] {
        let config: String = good()
            .lines()
            .map(|line| match line.split_once(" = ") {
                Some((name, _)) if name == key && key == "groups" => {
                    format!("groups = [\"{text}\", \"Team\"]\n")
                }
                Some((name, _)) if name == key => format!("{name} = \"{text}\"\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let idcsync = bench();
        idcsync.configure(&config);
        for arguments in [&["sync", "--dry-run"][..], &["check"], &["check", "--output", "json"], &["status"]]
        {
            let run = idcsync.run(arguments).shows_clean().never_says("panicked");
            assert!(run.code != 1 && run.code < 9, "{key}: {}", run.report());
        }
        idcsync.run(&["sync", "--dry-run", "--color", "always"]).shows_clean_in_colour();
    }
}

#[test]
fn what_is_merely_large_is_read() {
    let bom = format!("\u{feff}{}", good().replace('\n', "\r\n"));
    let idcsync = bench();
    idcsync.configure(&bom);
    idcsync.run(&["sync", "--dry-run"]).exits(0).says("3 users");

    // Ten thousand entries, of which one is there; the others are findings, and there is no flood of words.
    let mut names = "\"Team\"".to_owned();
    (0..10_000).for_each(|n| write!(names, ", \"G{n}\"").unwrap());
    idcsync.configure(&good().replace("[\"Team\"]", &format!("[{names}]")));
    let run = idcsync.run(&["sync", "--dry-run"]).shows_clean();
    assert_eq!(run.code, 0, "{:.2000}", run.report());
    assert!(run.stdout.len() < 100_000, "{} bytes", run.stdout.len());
}

#[test]
fn a_megabyte_of_unknown_keys_is_refused_in_bounds() {
    let mut text = good();
    (0..20_000).for_each(|n| writeln!(text, "key-{n} = {n}").unwrap());
    let idcsync = bench();
    idcsync.configure(&text);
    let run = idcsync.run(&["sync", "--dry-run"]).shows_clean();
    assert_eq!(run.code, 2, "{:.2000}", run.report());
    assert!(run.stderr.len() < 200_000, "{} bytes of errors", run.stderr.len());
}
