//! What is in `deploy/` is held to the program: manifests, alerts, units, policies, configs, and the commands of the manual.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is test code, where a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use idcsync::config::Config;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All files below a directory whose names end so.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_str().unwrap().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// `scripts/check-deploy.py` with these arguments: whether it was content, and what it said.
fn check(arguments: &[&str]) -> (bool, String) {
    let python = root().join("target/rig/venv/bin/python");
    assert!(python.exists(), "{} is missing: make setup", python.display());
    let output =
        Command::new(python).arg(root().join("scripts/check-deploy.py")).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn manifests_are_as_kubernetes_and_we_want_them() {
    assert_eq!(check(&["kubernetes"]), (true, String::new()));
}

#[test]
fn alerts_fire_when_they_should_and_have_a_runbook() {
    assert_eq!(check(&["rules"]), (true, String::new()));
}

#[test]
fn units_are_known_to_systemd_and_hardened() {
    assert_eq!(check(&["systemd"]), (true, String::new()));
}

/// One thing made wrong in a copy of `deploy/`, and what has to be said of it.
struct Mistake {
    what: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    said: &'static str,
}

const fn manifest(file: &'static str, from: &'static str, to: &'static str, said: &'static str) -> Mistake {
    Mistake { what: "kubernetes", file, from, to, said }
}

const SERVICE: &str = "kubernetes/service/deployment.yaml";
const JOB: &str = "kubernetes/job/cronjob.yaml";

const MISTAKES: &[Mistake] = &[
    manifest(SERVICE, "readinessProbe:", "readynessProbe:", "'readynessProbe' was unexpected"),
    manifest(SERVICE, "containerPort: 8080", "containerPort: \"8080\"", "'8080' is not of type 'integer'"),
    manifest(SERVICE, "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot is not true"),
    manifest(SERVICE, "drop: [\"ALL\"]", "drop: [\"NET_RAW\"]", "not all capabilities are dropped"),
    manifest(SERVICE, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "can be written"),
    manifest(SERVICE, "image: idcsync:0.1.0", "image: idcsync:latest", "has no tag that stays"),
    manifest(SERVICE, "path: /readyz", "path: /ready", "readinessProbe does not ask /readyz"),
    manifest(SERVICE, "containerPort: 8080", "containerPort: 9090", "the config listens on 8080"),
    manifest(SERVICE, "path: http\n", "path: token\n", "/run/secrets/idcsync/http, which is not mounted"),
    manifest(
        SERVICE,
        "terminationGracePeriodSeconds: 60",
        "terminationGracePeriodSeconds: 30",
        "[service] grace",
    ),
    manifest(
        SERVICE,
        "automountServiceAccountToken: false",
        "automountServiceAccountToken: true",
        "token is mounted",
    ),
    manifest(
        "kubernetes/base/idcsync.toml",
        "/idcsync/ldap\"",
        "/idcsync/bind\"",
        "the config does not name it",
    ),
    manifest("kubernetes/base/networkpolicy.yaml", "port: 636", "port: 389", "egress to [53, 80, 389, 443]"),
    manifest(
        "kubernetes/base/namespace.yaml",
        "enforce: restricted",
        "enforce: baseline",
        "does not enforce",
    ),
    manifest("kubernetes/deployment/kustomization.yaml", "Recreate", "RollingUpdate", "is not Recreate"),
    manifest("kubernetes/standby/deployment.yaml", "replicas: 2", "replicas: 1", "not two replicas"),
    manifest("kubernetes/standby/kustomization.yaml", "patches:", "patchs:", "unknown field"),
    manifest(JOB, "concurrencyPolicy: Forbid", "concurrencyPolicy: Allow", "two jobs at once"),
    manifest(JOB, "backoffLimit: 0", "backoffLimit: 3", "tried again"),
    manifest(JOB, "activeDeadlineSeconds: 4500", "activeDeadlineSeconds: 3000", "beside max-apply"),
    manifest(
        "kubernetes/components/monitoring/servicemonitor.yaml",
        "interval:",
        "intervall:",
        "'intervall' was unexpected",
    ),
    Mistake {
        what: "rules",
        file: "prometheus/idcsync.rules.yml",
        from: "> 24 * 3600",
        to: ">= 24 * 3600",
        said: "1d10m",
    },
    Mistake {
        what: "rules",
        file: "prometheus/idcsync-cronjob.rules.yml",
        from: "docs/operations.md#idcsyncjobabsent",
        to: "docs/operations.md#absent",
        said: "the runbook is not docs/operations.md#idcsyncjobabsent",
    },
    Mistake {
        what: "rules",
        file: "kubernetes/components/monitoring/prometheusrule.yaml",
        from: "severity: info",
        to: "severity: warning",
        said: "is not what idcsync.rules.yml makes",
    },
    Mistake {
        what: "systemd",
        file: "systemd/idcsync.service",
        from: "ProtectHome=yes",
        to: "ProtectHouse=yes",
        said: "Unknown key",
    },
    Mistake {
        what: "systemd",
        file: "systemd/idcsync.service",
        from: "User=idcsync\n",
        to: "User=root\n",
        said: "is exposed",
    },
];

/// Else a check that is content says nothing.
#[test]
fn mistakes_are_found() {
    for Mistake { what, file, from, to, said } in MISTAKES {
        let copy = tempfile::tempdir().unwrap();
        let deploy = copy.path().join("deploy");
        let status = Command::new("cp").arg("-a").arg(root().join("deploy")).arg(&deploy).status().unwrap();
        assert!(status.success());
        let path = deploy.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from:?} any more");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let mut arguments = vec![*what, "--deploy", deploy.to_str().unwrap()];
        if *what == "kubernetes" {
            // One that it shows in is enough.
            let of = [("/standby/", "standby"), ("/job/", "cronjob"), ("/components/", "example")];
            let of = of.iter().find(|(part, _)| file.contains(part)).map_or("deployment", |(_, name)| *name);
            arguments.extend(["--only", of]);
        }
        let (content, output) = check(&arguments);
        assert!(!content && output.contains(said), "{file}: {to:?} is not found: {output}");
    }
}

#[test]
fn the_configs_are_accepted_without_a_warning() {
    let configs = files(&root().join("deploy"), ".toml");
    assert_eq!(configs.len(), 7, "{configs:?}");
    for path in configs {
        match Config::load(&path) {
            Ok(config) => assert!(config.warnings.is_empty(), "{}: {:?}", path.display(), config.warnings),
            Err(error) => panic!("{}: {:#?}", path.display(), error.diagnostics()),
        }
    }
}

/// The source without what is only for tests.
fn sources() -> BTreeMap<PathBuf, String> {
    files(&root().join("src"), ".rs")
        .into_iter()
        .filter(|path| !path.to_str().unwrap().contains("tests"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

/// The word at the start of `text`.
fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap()
}

#[test]
fn alerts_rest_on_metrics_that_there_are() {
    let sources: String = sources().into_values().collect();
    for name in ["prometheus/idcsync.rules.yml", "prometheus/idcsync.rules.test.yml"] {
        let rules = read(&format!("deploy/{name}"));
        let used: BTreeSet<&str> =
            rules.match_indices("idcsync_").map(|(at, _)| word(&rules[at..])).collect();
        assert!(used.len() > 8, "{used:?}");
        for metric in used {
            assert!(sources.contains(&format!("\"{metric}\"")), "{name}: no metric {metric}");
        }
    }
}

/// `identitystore:ListUsers` and so on: what passes the pacer, as every request does. `from`: of which files.
fn called(from: impl Fn(&Path) -> bool) -> BTreeSet<String> {
    let (mut paced, mut methods, mut built) = (BTreeSet::new(), BTreeSet::new(), 0);
    let here = |path: &Path| path.to_str().unwrap().contains("/target/identity_store/");
    for (path, text) in sources().into_iter().filter(|(path, _)| here(path) && from(path)) {
        // A call may go on in the next line.
        let text: String = text.split_whitespace().collect();
        paced.extend(
            text.match_indices(".call(\"").map(|(at, start)| word(&text[at + start.len()..]).to_owned()),
        );
        for (client, service) in [("self.client.", "identitystore"), ("self.sso_admin.", "sso")] {
            for (at, _) in text.match_indices(client) {
                let name: String = word(&text[at + client.len()..]).split('_').map(capital).collect();
                assert!(
                    paced.contains(&name),
                    "{}: {name} does not pass the pacer by its name",
                    path.display()
                );
                methods.insert((name, service));
            }
        }
        built += text.matches(".send_with(&self.client)").count();
    }
    let of_sso: BTreeSet<&String> =
        methods.iter().filter(|(_, s)| *s == "sso").map(|(name, _)| name).collect();
    assert_eq!(paced.len(), methods.len() + built, "{paced:?} {methods:?}");
    let service = |name: &String| if of_sso.contains(name) { "sso" } else { "identitystore" };
    paced.iter().map(|name| format!("{}:{name}", service(name))).collect()
}

fn capital(part: &str) -> String {
    let (first, rest) = part.split_at(1);
    first.to_uppercase() + rest
}

fn policy(name: &str) -> Vec<Value> {
    let policy: Value = serde_json::from_str(&read(&format!("deploy/iam/{name}"))).expect(name);
    assert_eq!(policy["Version"], "2012-10-17", "{name}");
    policy["Statement"].as_array().expect(name).clone()
}

/// Of a policy's statements together.
fn strings(name: &str, key: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for statement in policy(name) {
        assert_eq!(statement["Effect"], "Allow", "{name}");
        match &statement[key] {
            Value::String(one) => found.extend([one.clone()]),
            Value::Array(all) => found.extend(all.iter().map(|v| v.as_str().expect(name).to_owned())),
            other => panic!("{name}: {key} is {other}"),
        }
    }
    found
}

fn only(actions: &BTreeSet<String>, service: &str) -> BTreeSet<String> {
    actions.iter().filter(|action| action.starts_with(service)).cloned().collect()
}

#[test]
fn policies_allow_what_is_called_and_nothing_else() {
    let everything = called(|_| true);
    assert!(everything.len() > 15, "{everything:?}");
    assert_eq!(strings("sync.json", "Action"), only(&everything, "identitystore:"));

    // A dry run and `idcsync check` send nothing of what stands where the target is written to.
    let reading = called(|path| !path.ends_with("identity_store/write.rs"));
    let read = strings("read.json", "Action");
    assert_eq!(read, only(&reading, "identitystore:"));
    let word = |action: &String| action["identitystore:".len()..].to_owned();
    for action in read.iter().map(word) {
        assert!(["List", "Describe", "Get"].iter().any(|verb| action.starts_with(verb)), "{action} writes");
    }

    let mut sso = strings("discovery.json", "Action");
    assert_eq!(sso, BTreeSet::from(["sso:ListInstances".to_owned()]));
    sso.extend(strings("assignments.json", "Action"));
    assert_eq!(sso, only(&everything, "sso:"));

    // Nothing beside these two services is asked (and of KMS AWS asks for itself).
    let manifest = read_dependencies();
    let clients: BTreeSet<&str> = manifest.iter().filter_map(|name| name.strip_prefix("aws-sdk-")).collect();
    assert_eq!(clients, BTreeSet::from(["identitystore", "ssoadmin"]));
}

fn read_dependencies() -> Vec<String> {
    let text = read("Cargo.toml");
    text.lines().filter_map(|line| line.split_once(" = ").map(|(name, _)| name.to_owned())).collect()
}

#[test]
fn policies_name_what_they_are_for() {
    for name in ["sync.json", "read.json"] {
        let kinds =
            [":::user/*", ":::group/*", ":::membership/*", "::111122223333:identitystore/d-1234567890"];
        let wanted: BTreeSet<String> = kinds.iter().map(|k| format!("arn:aws:identitystore{k}")).collect();
        for statement in policy(name) {
            let resources = statement["Resource"].as_array().expect(name);
            let resources: BTreeSet<String> =
                resources.iter().map(|r| r.as_str().unwrap().to_owned()).collect();
            assert_eq!(resources, wanted, "{name}");
        }
    }
    for statement in policy("kms.json") {
        assert_eq!(statement["Action"], serde_json::json!(["kms:Decrypt"]));
        assert!(
            statement["Resource"].as_str().unwrap().starts_with("arn:aws:kms:"),
            "one key, not all of them"
        );
        assert!(statement["Condition"]["StringEquals"]["kms:ViaService"].is_string());
    }
    // Who may take the role: the service account of the manifests.
    let account = "system:serviceaccount:idcsync:idcsync";
    let irsa = policy("trust-irsa.json")[0]["Condition"]["StringEquals"].clone();
    let conditions = irsa.as_object().unwrap();
    assert!(
        conditions.iter().any(|(key, value)| key.ends_with(":sub") && value == account),
        "{conditions:?}"
    );
    assert!(conditions.iter().any(|(key, value)| key.ends_with(":aud") && value == "sts.amazonaws.com"));
    let pod = policy("trust-pod-identity.json")[0]["Condition"]["StringEquals"].clone();
    assert_eq!(pod["aws:RequestTag/kubernetes-namespace"], "idcsync");
    assert_eq!(pod["aws:RequestTag/kubernetes-service-account"], "idcsync");
}

/// Each command line in the code blocks and between backticks: its subcommand, and the options it is given.
fn commands(text: &str) -> BTreeSet<(String, BTreeSet<String>)> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        for (at, name) in line.match_indices("idcsync ") {
            let before = line[..at].chars().next_back();
            // `/idcsync sync` in a container, `idcsync sync` on a machine; not a namespace, a user or an object of that name.
            let of_another = ["deploy/", "-n ", "-u ", "-o ", "-g ", "--name "];
            if !matches!(before, None | Some(' ' | '/')) || of_another.iter().any(|w| line[..at].ends_with(w))
            {
                continue;
            }
            let rest = line[at + name.len()..].split(['`', '|', '#', ';', '>']).next().unwrap();
            let mut words = rest.split_whitespace();
            let Some(command) = words.next().filter(|w| w.chars().all(|c| c.is_ascii_lowercase())) else {
                continue;
            };
            let options =
                words.map(|w| w.split('=').next().unwrap().to_owned()).filter(|w| w.starts_with("--"));
            found.insert((command.to_owned(), options.collect()));
        }
    }
    found
}

/// What stands in blocks and between backticks: prose says "idcsync does" without meaning a command.
fn code(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split("```").enumerate() {
        if at % 2 == 1 {
            out.push_str(part);
            continue;
        }
        // A span may go on in the next line.
        for span in part.split('`').skip(1).step_by(2) {
            out.push_str(&span.replace('\n', " "));
            out.push('\n');
        }
    }
    out
}

#[test]
fn the_manual_s_commands_and_options_are_real() {
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for document in ["docs/operations.md", "deploy/README.md"] {
        for (command, options) in commands(&code(&read(document))) {
            let program = env!("CARGO_BIN_EXE_idcsync");
            let help = Command::new(program).args([&command, "--help"]).output().unwrap();
            if !help.status.success() {
                wrong.push(format!("{document}: there is no `idcsync {command}`"));
            }
            let help = String::from_utf8(help.stdout).unwrap();
            for option in options {
                if !help.split_whitespace().any(|w| w.trim_end_matches([',', '.']) == option) {
                    wrong.push(format!("{document}: `idcsync {command}` has no {option}"));
                }
            }
            seen.insert(command);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for command in ["approve", "check", "pause", "resume", "run", "status", "sync"] {
        assert!(seen.contains(command), "the manual never says {command}: {seen:?}");
    }
}
