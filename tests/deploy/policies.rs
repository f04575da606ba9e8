//! The policies in `deploy/iam` allow what the code asks for, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{read, sources, word};

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
        for (client, service) in [
            ("self.client.", "identitystore"),
            ("self.sso_admin.", "sso"),
            ("self.sts.", "sts"),
            ("self.organizations.", "organizations"),
        ] {
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
    let service_of: BTreeMap<&String, &str> =
        methods.iter().map(|(name, service)| (name, *service)).collect();
    assert_eq!(paced.len(), methods.len() + built, "{paced:?} {methods:?}");
    let service = |name: &String| service_of.get(name).copied().unwrap_or("identitystore");
    paced.iter().map(|name| format!("{}:{name}", service(name))).collect()
}

fn capital(part: &str) -> String {
    if part == "aws" {
        return "AWS".to_owned();
    }
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

    // A dry run sends nothing of what stands where the target is written to; `idcsync check` tries it on nobody, and is told
    // that the role may not.
    let reading = called(|path| !path.ends_with("identity_store/write.rs"));
    let read = strings("read.json", "Action");
    assert_eq!(read, only(&reading, "identitystore:"));
    let word = |action: &String| action["identitystore:".len()..].to_owned();
    for action in read.iter().map(word) {
        assert!(["List", "Describe", "Get"].iter().any(|verb| action.starts_with(verb)), "{action} writes");
    }

    let organizations: BTreeSet<String> = only(&everything, "organizations:");
    assert_eq!(strings("check.json", "Action"), organizations);
    // Everybody may ask who they are.
    assert_eq!(only(&everything, "sts:"), BTreeSet::from(["sts:GetCallerIdentity".to_owned()]));

    let mut sso = strings("discovery.json", "Action");
    assert_eq!(sso, BTreeSet::from(["sso:ListInstances".to_owned()]));
    sso.extend(strings("assignments.json", "Action"));
    assert_eq!(sso, only(&everything, "sso:"));

    // Nothing beside these services is asked (and of KMS AWS asks for itself).
    let manifest = read_dependencies();
    let clients: BTreeSet<&str> = manifest.iter().filter_map(|name| name.strip_prefix("aws-sdk-")).collect();
    assert_eq!(clients, BTreeSet::from(["identitystore", "organizations", "ssoadmin", "sts"]));
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
