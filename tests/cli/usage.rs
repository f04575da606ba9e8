//! Mistakes in arguments and config files.

use super::support::export::{Export, people};
use super::support::idcsync::{Idcsync, Sandbox};
use super::{offline, offline_config, online_config};

fn small() -> Export {
    Export::of(3).group("Team", people(0..3))
}

#[test]
fn a_config_that_is_not_there_is_named() {
    let idcsync = Idcsync::new("");
    for arguments in [["sync", "--config", "nowhere.toml"], ["check", "--config", "nowhere.toml"]] {
        let run = idcsync.run(&arguments[..]);
        run.exits(2).complains("error: ").complains("nowhere.toml").complains("No such file");
    }
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let config = offline_config(&["Team"])
        .replace("base-dn", "base-dm")
        .replace("kind = \"sandbox\"", "kind = \"sandbx\"")
        .replace("requests-per-second = 100000", "requests-per-second = \"fast\"")
        + "keep-history = \"soon\"\n";
    let idcsync = Idcsync::new(&config);
    let run = idcsync
        .run(&["sync"])
        .exits(2)
        .complains("unknown key `base-dm` in [directory]")
        .complains("did you mean `base-dn`?")
        .complains("[idcsync.toml:5:1]")
        .complains("did you mean \"sandbox\"?")
        .complains("expected a whole number, found a string")
        .complains("`keep-history`")
        .complains("has 4 errors")
        .complains("────")
        .never_says("\u{1b}[");
    assert_eq!(run.stdout, "");
    let run = idcsync.run_json(&["sync"]).exits(2).complains("idcsync.toml:5:1: unknown key `base-dm`");
    assert_eq!((run.stdout.as_str(), run.stderr.lines().count()), ("", 4));
    // Nothing was made on the way.
    assert_eq!(idcsync.files().len(), 1);
    idcsync.run(&["sync", "--color", "always"]).exits(2).complains("\u{1b}[");
}

#[test]
fn the_manual_is_that_of_the_commands() {
    let idcsync = Idcsync::new("");
    let page = idcsync.run(&["man"]).exits(0);
    page.says(".TH idcsync 1").says("idcsync\\-sync(1)").says("Exit codes");
    idcsync.run(&["man", "sync"]).exits(0).says(".TH idcsync-sync 1").says("\\-\\-dry\\-run");
    idcsync.run(&["man", "sink"]).exits(2).complains("there is no command sink");
    idcsync.run(&["man", "--out", "pages"]).exits(0).complains("The pages are in pages.");
    let pages = std::fs::read_dir(idcsync.path("pages")).unwrap().count();
    let commands = idcsync.run(&["--help"]).exits(0);
    let commands = commands.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    assert!(pages >= commands.count(), "{pages}");
    let completions = idcsync.run(&["completions", "bash"]).exits(0);
    completions.says("idcsync__subcmd__history");
}

#[test]
fn what_is_not_toml_is_shown() {
    Idcsync::new("profile = \"p\n")
        .run(&["sync"])
        .exits(2)
        .complains("not valid TOML")
        .complains("[idcsync.toml:1:");
    Idcsync::new("").run(&["sync"]).exits(2).complains("[directory]").complains("[target]");
}

#[test]
fn a_secret_that_cannot_be_read_is_named_and_never_shown() {
    let config = |bind: &str| {
        let sandbox =
            "[target]\nkind = \"sandbox\"\nstore = \"store.json\"\n[state]\nurl = \"sqlite:state.db\"\n";
        format!(
            "profile = \"p\"\n[directory]\nkind = \"ldap\"\nurls = [\"ldaps://127.0.0.1:1\"]\nbase-dn = \"dc=ex\"\n\
             bind = {{ dn = \"cn=me,dc=ex\", {bind} }}\n[scope]\ngroups = [\"Team\"]\n{sandbox}"
        )
    };
    let idcsync = Idcsync::new(&config("password-file = \"nowhere\""));
    idcsync.run(&["sync"]).exits(2).complains("nowhere").complains("No such file");
    idcsync.configure(&config("password-env = \"NO_SUCH_VARIABLE\""));
    idcsync.run(&["sync"]).exits(2).complains("NO_SUCH_VARIABLE");
    idcsync.configure(&config("password = \"hunter2\""));
    idcsync.run(&["sync"]).exits(2).complains("password-file");
}

#[test]
fn arguments_that_are_wrong_are_said_with_help() {
    let idcsync = offline(&small(), &["Team"]);
    idcsync.run(&["snyc"]).exits(2).complains("sync");
    idcsync.run(&["sync", "--detailed-exitcode"]).exits(2).complains("--dry-run");
    idcsync.run(&["approve"]).exits(2).complains("PLAN_ID");
    idcsync.run(&["sync", "--output", "yaml"]).exits(2).complains("text, json");
    idcsync.run(&["sync", "-q", "-v"]).exits(2);
    idcsync.run(&["sync", "--help"]).exits(0).says("--dry-run");
    idcsync.run(&["--help"]).exits(0).says("Exit codes:");
    idcsync.run(&["--version"]).exits(0).says("idcsync 0.");
    assert_eq!(idcsync.files().len(), 2);
}

#[test]
fn completions_are_there_for_every_shell() {
    let idcsync = Idcsync::new("");
    for (shell, text) in
        [("bash", "complete -F"), ("zsh", "#compdef idcsync"), ("fish", "complete -c idcsync")]
    {
        idcsync.run(&["completions", shell]).exits(0).says(text).says("dry-run");
    }
    idcsync.run(&["completions", "tcsh"]).exits(2);
}

#[test]
fn a_profile_stays_with_its_identity_store_and_its_directory() {
    let (first, second) = (Sandbox::start(), Sandbox::start_with(&["--identity-store-id", "d-9999999999"]));
    let idcsync = super::online(&small(), &["Team"], &first);
    idcsync.run(&["sync"]).exits(0);
    let other = second.target().replace("d-1234567890", "d-9999999999");
    idcsync.configure(&online_config(&["Team"], &other));
    for arguments in [&["sync"][..], &["sync", "--dry-run"]] {
        idcsync
            .run(arguments)
            .exits(2)
            .complains("bound to identity store d-1234567890")
            .complains("points to d-9999999999");
    }
    assert!(second.requests().is_empty(), "{:?}", second.requests());

    // The directory's domain has another SID.
    idcsync.configure(&online_config(&["Team"], &first.target()));
    let text = small().text().replace("AQQAAAAAAAUVAAAAAQIDBAUGBwgJCgsM", "AQQAAAAAAAUVAAAAAQIDBAUGBwgJCgsN");
    assert_ne!(text, small().text());
    idcsync.write("directory.ldif", &text);
    let before = first.requests().len();
    idcsync.run(&["sync"]).exits(2).complains("bound to directory");
    assert_eq!(first.requests().len(), before);

    // An empty answer is no other directory: it could not be read.
    idcsync.write("directory.ldif", "");
    idcsync.run(&["sync"]).exits(6).complains("shows no domain SID").complains("Nothing was concluded");
    assert_eq!(first.requests().len(), before);
    idcsync.write("directory.ldif", &small().text());
    idcsync.run(&["sync"]).exits(0).says("Nothing to do");
}

#[test]
fn the_clock_is_shifted_for_rehearsals_alone_and_never_silently() {
    let idcsync = offline(&small(), &["Team"]);
    let said = "warning: IDCSYNC_CLOCK_SHIFT: this run takes the time to be 28d 1h from now";
    idcsync.run_at("28d 1h", &["-q", "sync", "--dry-run"]).exits(0).complains(said);
    idcsync.run_at("soon", &["sync"]).exits(2).complains("IDCSYNC_CLOCK_SHIFT=soon: expected days, hours");
    let real = offline_config(&["Team"]).replace("kind = \"sandbox\"", "kind = \"identity-store\"");
    let real: String =
        real.lines().filter(|line| !line.starts_with("store = ")).map(|l| l.to_owned() + "\n").collect();
    let real = real.replace("requests-per-second = 100000", "region = \"eu-west-1\"");
    idcsync.configure(&real);
    idcsync.run_at("28d 1h", &["sync"]).exits(2).complains("a shifted clock is for rehearsals");
}
