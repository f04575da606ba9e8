//! The checks find what they are there to find.

use std::fs;
use std::process::Command;

use super::{check, root};

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
