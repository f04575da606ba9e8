//! Values of a directory in everything that is printed and written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::screen::{HOSTILE, Screened as _, assert_clean, assert_files_clean, records};
use super::support::idcsync::Idcsync;

const BASE: &str = "DC=ex,DC=test";

struct Entries(String);

impl Entries {
    fn new() -> Self {
        let mut all = Self(String::new());
        all.add(BASE, 0, &[("objectClass", b"domainDNS")]);
        all
    }

    fn add(&mut self, dn: &str, number: u8, attributes: &[(&str, &[u8])]) {
        let mut push = |name: &str, value: &[u8]| {
            self.0 += &format!("{name}:: {}\n", STANDARD.encode(value));
        };
        push("dn", dn.as_bytes());
        let mut sid = vec![1, if number == 0 { 4 } else { 5 }, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0];
        sid.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        if number > 0 {
            sid.extend([number, 0, 0, 0]);
        }
        push("objectSid", &sid);
        push("objectGUID", &[number; 16]);
        for (name, value) in attributes {
            push(name, value);
        }
        self.0.push('\n');
    }

    fn person(&mut self, number: u8, name: &str, values: &[(&str, &[u8])]) {
        let mut all: Vec<(&str, &[u8])> =
            vec![("objectClass", b"person"), ("objectClass", b"user"), ("userAccountControl", b"512")];
        all.push(("sAMAccountName", name.as_bytes()));
        for (attribute, value) in [("userPrincipalName", "@ex.test"), ("mail", "@mail.ex.test")]
            .map(|(a, end)| (a, format!("p{number}{end}")))
        {
            if !values.iter().any(|(name, _)| *name == attribute) {
                all.push((attribute, value.leak().as_bytes()));
            }
        }
        for (attribute, value) in [("givenName", "Given"), ("sn", "Family"), ("displayName", "Somebody")] {
            if !values.iter().any(|(name, _)| *name == attribute) {
                all.push((attribute, value.as_bytes()));
            }
        }
        all.extend(values);
        self.add(&format!("CN=p{number},{BASE}"), number, &all);
    }

    fn group(&mut self, number: u8, dn: &str, name: &[u8], members: &[String]) {
        let mut all: Vec<(&str, &[u8])> =
            vec![("objectClass", b"group"), ("groupType", b"-2147483640"), ("sAMAccountName", name)];
        all.extend(members.iter().map(|member| ("member", member.as_bytes())));
        self.add(dn, number, &all);
    }

    fn text(&self) -> String {
        self.0.clone() + "# idcsync: end\n"
    }
}

fn escaped_dn() -> String {
    let escaped: String = HOSTILE.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!("CN={escaped},{BASE}")
}

/// People and groups whose every attribute is hostile, in so many ways.
fn directory(more: bool) -> String {
    let mut all = Entries::new();
    let mut members: Vec<String> = (1..=9).map(|n| format!("CN=p{n},{BASE}")).collect();
    let h = HOSTILE.as_bytes();
    all.person(1, HOSTILE, &[("displayName", h), ("givenName", h), ("sn", h)]);
    all.person(2, "p2", &[("userPrincipalName", h), ("mail", h)]);
    all.person(3, "p3", &[("displayName", b"\xff\xfe\x80invalid\x1b[2J"), ("sn", b"\0\0")]);
    let long = "x\u{1b}".repeat(1 << 19);
    all.person(4, "p4", &[("displayName", long.as_bytes())]);
    all.person(5, "p5", &[("displayName", "name\u{9b}2J\u{202e}evil\u{1b}[8m".as_bytes())]);
    all.person(6, "p6", &[("mail", "a\u{1b}[2J@b\nINJECTED".as_bytes())]);
    all.person(7, "p7", &[("displayName", b"=cmd|'/c calc'!A1"), ("sn", "\u{e0041}\u{200b}".as_bytes())]);
    all.person(8, "p8", &[("displayName", "Plain Person".as_bytes())]);
    all.person(9, "p9", &[("userPrincipalName", "p8@EX.test".as_bytes()), ("displayName", h)]);
    // Whom the target takes, so that there is something to take away.
    for number in 20..32 {
        all.person(number, &format!("p{number}"), &[]);
        if more {
            members.push(format!("CN=p{number},{BASE}"));
        }
    }
    members.push(escaped_dn());
    if more {
        members.push(format!("CN=gone\u{1b}[2J\nINJECTED,{BASE}"));
        members.push("no DN at all \u{1b}[2J\nINJECTED".to_owned());
    }
    all.group(100, &format!("CN=Team,{BASE}"), b"Team", &members);
    all.group(101, &escaped_dn(), h, &[format!("CN=p8,{BASE}"), format!("CN=p1,{BASE}")]);
    all.group(
        102,
        &format!("CN=Other,{BASE}"),
        "Ot\u{1b}[2J\u{202e}her".as_bytes(),
        &[format!("CN=p5,{BASE}")],
    );
    all.text()
}

fn config(log: &str) -> String {
    format!(
        "profile = \"p\"\n[directory]\nkind = \"ldif\"\nfile = \"directory.ldif\"\nbase-dn = \"{BASE}\"\n\n[scope]\n\
         groups = [\"Team\", \"CN=Other,{BASE}\", \"Ot\\u001b[2J\\u202eher2\", \"{}\"]\n\
         users = [\"no\\u001b[2Jbody\", \"*)(x\"]\n\n\
         [target]\nkind = \"sandbox\"\nstore = \"store.json\"\nrequests-per-second = 100000\n\n\
         [state]\nurl = \"sqlite:state.db\"\n\n[log]\nformat = \"{log}\"\nerror-log = \"errors.jsonl\"\n",
        escaped_dn().replace('\\', "\\\\"),
    )
}

fn bench(log: &str) -> Idcsync {
    let idcsync = Idcsync::new(&config(log));
    idcsync.write("directory.ldif", &directory(true));
    idcsync
}

#[test]
fn no_value_of_a_directory_is_markup_in_a_page() {
    let idcsync = bench("text");
    idcsync.run(&["sync", "--dry-run", "--out", "plan.html", "--out", "plan.json"]).shows_clean();
    let page = std::fs::read_to_string(idcsync.path("plan.html")).unwrap();
    assert_clean("plan.html", &page);
    assert!(page.contains("&lt;script&gt;") && page.contains("\\u{1b}[2J"), "hostile values are shown");
    // Each tag is one of ours.
    let ours = "a b body caption code del details dl dt dd footer h1 h2 h3 head header html ins li main meta nav p pre \
                section span style summary table tbody td th thead title tr ul !doctype";
    for piece in page.split('<').skip(1) {
        let name: String =
            piece.trim_start_matches('/').chars().take_while(|c| !" >\n".contains(*c)).collect();
        assert!(ours.split_whitespace().any(|tag| tag == name), "<{name}");
    }
    idcsync
        .run(&["apply", "plan.html"])
        .exits(2)
        .complains("plan.html is a page for people to read, and cannot be applied: make a plan file with");
    assert!(!idcsync.path("store.json").exists());
}

#[test]
fn no_value_of_a_directory_is_printed_raw() {
    let idcsync = bench("text");
    for arguments in [
        &["sync", "--dry-run"][..],
        &["sync", "--dry-run", "--output", "json"],
        &["sync", "--dry-run", "--out", "plan.json", "-vv"],
        &["check"],
        &["check", "--output", "json"],
        &["sync"],
        &["status"],
        &["status", "--output", "json"],
        &["sync", "--full", "-v"],
    ] {
        let run = idcsync.run(arguments).shows_clean();
        assert!(matches!(run.code, 0 | 3 | 4 | 6), "{}", run.report());
        assert!(
            run.stdout.len() < 200_000,
            "a value of a megabyte is not repeated: {} bytes",
            run.stdout.len()
        );
    }
    let run = idcsync.run(&["sync", "--dry-run", "--color", "always", "-vv"]).shows_clean_in_colour();
    assert!(
        run.stdout.contains("no\\u{1b}[2Jbody") || run.stderr.contains("no\\u{1b}[2Jbody"),
        "{}",
        run.report()
    );
    assert_files_clean(&idcsync, &["idcsync.toml", "directory.ldif"]);
    assert!(!records(&idcsync.path("errors.jsonl")).is_empty());

    // What is held, shown and approved; what a plan file names and is planned no longer.
    idcsync.write("directory.ldif", &directory(false));
    idcsync.run(&["sync", "--dry-run", "--out", "plan.json"]).shows_clean();
    let held = idcsync.run_json(&["sync"]).shows_clean().exits(4).json();
    let id = held["plan"]["id"].as_str().or_else(|| held["plan"]["plan"].as_str()).unwrap().to_owned();
    idcsync.run(&["approve", &id, "--show"]).shows_clean().exits(0);
    idcsync.run(&["approve", &id, "--show", "--output", "json"]).shows_clean().exits(0);
    idcsync.run(&["approve", &id]).shows_clean().exits(0);
    idcsync.run(&["sync"]).shows_clean();
    let file = std::fs::read_to_string(idcsync.path("plan.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&file).unwrap();
    idcsync.run(&["apply", "plan.json"]).shows_clean();
    for arguments in [
        &["link", "user", HOSTILE, "no\u{1b}[2Jid"][..],
        &["unlink", "user", HOSTILE],
        &["release", "group", HOSTILE],
        &["approve", "no\u{1b}[2Jplan"],
        &["apply", "no\u{1b}[2Jfile\nINJECTED"],
        &["pause", "--reason", HOSTILE],
        &["status"],
        &["sync"],
        &["resume"],
    ] {
        let arguments: Vec<String> = arguments.iter().map(|a| a.replace('\0', "")).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let run = idcsync.run(&arguments).shows_clean();
        assert!(run.code <= 7 && run.code != 1, "{}", run.report());
    }
    assert_files_clean(&idcsync, &["idcsync.toml", "directory.ldif"]);
}

#[test]
fn a_log_in_json_has_one_record_on_each_line() {
    let idcsync = bench("json");
    for arguments in [&["sync", "-vv"][..], &["sync", "--dry-run", "-v"], &["status"]] {
        let run = idcsync.run(arguments).shows_clean();
        for line in run.stderr.lines().filter(|line| line.starts_with('{')) {
            serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        }
    }
    // The value itself is there, for whoever reads the record.
    let records = records(&idcsync.path("errors.jsonl"));
    let said: Vec<&str> = records.iter().filter_map(|r| r["error"]["error_message"].as_str()).collect();
    assert!(said.iter().any(|text| text.contains('\u{1b}') || text.contains("\\u{1b}")), "{said:?}");
}
