#!/usr/bin/env python3
"""Holds what is in deploy/ to what it must be; run by tests/deploy.rs, or by hand from target/rig/venv:

    scripts/check-deploy.py kubernetes    render every kustomization; schemas and our own rules
    scripts/check-deploy.py rules         alerts: promtool, their tests, their runbooks, PrometheusRule
    scripts/check-deploy.py systemd       units: systemd-analyze
    scripts/check-deploy.py write         make PrometheusRule of the rules

--deploy DIR looks at a copy of deploy/. Prints every problem; the exit code is 1 if there is one.
"""
import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

# It reads its schemas anew for each manifest.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

ROOT = Path(__file__).resolve().parent.parent
# The oldest Kubernetes that the manifests are meant for, and the newest whose schemas there are.
VERSIONS = ("1.31", "1.37")
# What each kustomization is; every one that is applied by itself is here.
VARIANTS = {
    "deployment": {"kind": "Deployment", "state": "sqlite"},
    "standby": {"kind": "Deployment", "state": "postgres"},
    "cronjob": {"kind": "CronJob", "state": "sqlite"},
    "cronjob-postgres": {"kind": "CronJob", "state": "postgres"},
    "example": {"kind": "Deployment", "state": "sqlite"},
}
# Built only as a part of others.
PARTS = {"base", "service", "job"}
SECRETS = "/run/secrets/idcsync"
SEVERITIES = {"critical", "warning", "info"}


class Problems:
    def __init__(self):
        self.list = []

    def add(self, where, what):
        self.list.append(f"{where}: {what}")

    def unless(self, good, where, what):
        if not good:
            self.add(where, what)


def tool(name, *places):
    """A program of the machine, else one that scripts/install.sh brought."""
    for place in places:
        if (ROOT / place).exists():
            return str(ROOT / place)
    found = shutil.which(name)
    if not found:
        sys.exit(f"{name} is missing: make setup")
    return found


def kustomize(directory):
    kubectl = tool("kubectl", "target/rig/venv/bin/kubectl")
    # It asks no cluster, and must not find a config of the machine's.
    environment = {**os.environ, "KUBECONFIG": "/dev/null"}
    run = subprocess.run([kubectl, "kustomize", str(directory)], capture_output=True, text=True, env=environment)
    if run.returncode != 0:
        raise ValueError("kustomize: " + run.stderr.strip())
    # It says so of what is deprecated.
    if run.stderr.strip():
        raise ValueError("kustomize warns: " + run.stderr.strip())
    return list(yaml.safe_load_all(run.stdout))


# --- Kubernetes -------------------------------------------------------------------------------------------------------

# The operator's kinds are no part of Kubernetes: what we use of them, and nothing else.
METADATA = {
    "type": "object",
    "required": ["name", "namespace"],
    "properties": {k: {} for k in ("name", "namespace", "labels", "annotations")},
    "additionalProperties": False,
}
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w))+$"}


def closed(required, **properties):
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def custom(kind, spec):
    return closed(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": "monitoring.coreos.com/v1"}, kind={"const": kind}, metadata=METADATA, spec=spec,
    )


ENDPOINT = closed(
    ["port", "path"], port={"type": "string"}, path={"type": "string"}, interval=DURATION, scrapeTimeout=DURATION,
)
TEXT = {"type": "string", "minLength": 1}
RULE = {
    "oneOf": [
        closed(["record", "expr"], record=TEXT, expr=TEXT, labels=STRINGS),
        closed(["alert", "expr", "labels", "annotations"],
               alert=TEXT, expr=TEXT, labels=STRINGS, annotations=STRINGS, **{"for": DURATION}),
    ]
}
GROUP = closed(["name", "rules"], name=TEXT, interval=DURATION, rules={"type": "array", "items": RULE, "minItems": 1})
CUSTOM = {
    "ServiceMonitor": custom("ServiceMonitor", closed(
        ["selector", "endpoints"], selector=closed(["matchLabels"], matchLabels=STRINGS),
        endpoints={"type": "array", "items": ENDPOINT, "minItems": 1})),
    "PrometheusRule": custom("PrometheusRule", closed(["groups"], groups={"type": "array", "items": GROUP})),
}


def check_schema(problems, where, manifest):
    kind = manifest.get("kind")
    where = f"{where}: {kind} {manifest.get('metadata', {}).get('name')}"
    if kind in CUSTOM:
        for error in jsonschema.Draft202012Validator(CUSTOM[kind]).iter_errors(manifest):
            problems.add(where, f"{error.json_path}: {error.message}")
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = ".".join(str(part) for part in error.path)
            problems.add(where, f"Kubernetes {version}: {path}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError as error:
            problems.add(where, error.message)


def pod_template(workload):
    spec = workload["spec"]
    return spec["jobTemplate"]["spec"]["template"] if workload["kind"] == "CronJob" else spec["template"]


def check_restricted(problems, where, pod):
    """What the profile "restricted" demands, and more: its own user, a read-only root, limits."""
    context = pod.get("securityContext", {})
    problems.unless(context.get("runAsNonRoot") is True, where, "runAsNonRoot is not true")
    problems.unless(context.get("runAsUser") == 65532, where, "runAsUser is not 65532")
    problems.unless(context.get("fsGroup") == 65532, where, "fsGroup is not 65532")
    problems.unless(context.get("seccompProfile") == {"type": "RuntimeDefault"}, where, "seccomp is not RuntimeDefault")
    problems.unless(pod.get("automountServiceAccountToken") is False, where, "the service account's token is mounted")
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        problems.unless(not pod.get(key), where, f"{key} is set")
    allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
    for volume in pod["volumes"]:
        problems.unless(set(volume) - {"name"} <= allowed, where, f"volume {volume['name']} is of a forbidden kind")
    for container in pod["containers"] + pod.get("initContainers", []):
        own, name = container.get("securityContext", {}), f"{where}: container {container['name']}"
        problems.unless(own.get("allowPrivilegeEscalation") is False, name, "privilege escalation is allowed")
        problems.unless(own.get("readOnlyRootFilesystem") is True, name, "the root filesystem can be written")
        problems.unless(own.get("privileged") is False, name, "privileged is not false")
        problems.unless(own.get("capabilities") == {"drop": ["ALL"]}, name, "not all capabilities are dropped")
        image = container["image"]
        tag = image.rpartition("/")[2].partition(":")[2]
        problems.unless(tag and tag != "latest", name, f"image {image} has no tag that stays")
        resources = container.get("resources", {})
        problems.unless("memory" in resources.get("limits", {}), name, "no memory limit")
        problems.unless({"cpu", "memory"} <= set(resources.get("requests", {})), name, "no requests")


def seconds(text):
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    return sum(int(n) * units[u] for n, u in re.findall(r"(\d+)([smhdw])", text))


def one(manifests, kind):
    return next((m for m in manifests if m["kind"] == kind), None)


def check_config(problems, where, manifests, pod):
    """The config, the files that it names, and the volumes that bring them."""
    volumes = {v["name"]: v for v in pod["volumes"]}
    name = volumes["config"]["configMap"]["name"]
    maps = {m["metadata"]["name"]: m for m in manifests if m["kind"] == "ConfigMap"}
    if name not in maps:
        problems.add(where, f"the ConfigMap {name} is not there")
        return None
    text = maps[name]["data"]["idcsync.toml"]
    config = tomllib.loads(text)

    mounts = {m["name"]: m["mountPath"] for c in pod["containers"] for m in c["volumeMounts"]}
    problems.unless(set(mounts) == set(volumes), where, "a volume is not mounted, or a mount has no volume")
    problems.unless(mounts.get("secrets") == SECRETS, where, f"the secrets are not at {SECRETS}")
    path = next(e["value"] for e in pod["containers"][0]["env"] if e["name"] == "IDCSYNC_CONFIG")
    problems.unless(path == mounts["config"] + "/idcsync.toml", where, f"IDCSYNC_CONFIG is {path}, not the mounted file")

    mounted = {}
    for source in volumes["secrets"]["projected"]["sources"]:
        of = source.get("secret") or source.get("configMap")
        for item in of["items"]:
            mounted[f"{SECRETS}/{item['path']}"] = of.get("optional", False)
    live = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for file, optional in mounted.items():
        # An optional one may be named by a line that is commented out.
        problems.unless(names(text if optional else live, file), where, f"{file} is mounted, and the config does not name it")
    for file in re.findall(re.escape(SECRETS) + r"/[\w.-]+", text):
        problems.unless(file in mounted, where, f"the config names {file}, which is not mounted")
    return config


def names(text, file):
    return re.search(re.escape(file) + r"(?![\w.-])", text) is not None


def check_variant(problems, name, manifests):
    about = VARIANTS[name]
    where = name
    workload = one(manifests, about["kind"])
    if workload is None:
        problems.add(where, f"has no {about['kind']}")
        return
    template = pod_template(workload)
    pod, labels = template["spec"], template["metadata"]["labels"]
    namespace = one(manifests, "Namespace")
    level = namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce")
    problems.unless(level == "restricted", where, "the namespace does not enforce \"restricted\"")
    for manifest in manifests:
        if manifest["kind"] != "Namespace":
            in_it = manifest["metadata"].get("namespace") == namespace["metadata"]["name"]
            problems.unless(in_it, where, f"{manifest['kind']} {manifest['metadata']['name']} is in another namespace")
    problems.unless(one(manifests, "Secret") is None, where, "a Secret is in the tree")
    account = one(manifests, "ServiceAccount")
    problems.unless(account["metadata"]["name"] == pod["serviceAccountName"], where, "the ServiceAccount is another")
    problems.unless(account.get("automountServiceAccountToken") is False, where, "the ServiceAccount mounts its token")
    check_restricted(problems, where, pod)
    config = check_config(problems, where, manifests, pod)
    if config is None:
        return

    claim = one(manifests, "PersistentVolumeClaim")
    claimed = [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v]
    sqlite = config["state"]["url"].startswith("sqlite:")
    problems.unless(sqlite == (about["state"] == "sqlite"), where, f"the state is in {config['state']['url']}")
    if sqlite:
        problems.unless(claim and claimed == [claim["metadata"]["name"]], where, "no volume for the state")
        mount = next((m["mountPath"] for m in pod["containers"][0]["volumeMounts"] if m["name"] == "state"), "none")
        inside = config["state"]["url"].removeprefix("sqlite://").startswith(mount + "/")
        problems.unless(inside, where, f"the state is not below its volume, {mount}")
    else:
        problems.unless(claim is None and not claimed, where, "a volume that nothing needs")

    policy = one(manifests, "NetworkPolicy")["spec"]
    problems.unless(set(policy["policyTypes"]) == {"Ingress", "Egress"}, where, "the NetworkPolicy leaves a direction open")
    selected = policy["podSelector"]["matchLabels"].items() <= labels.items()
    problems.unless(selected, where, "the NetworkPolicy selects other pods")
    problems.unless(all(rule.get("ports") for rule in policy["egress"]), where, "egress to every port")
    out = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    wanted = {53, 80, 443, 636} | (set() if sqlite else {5432})
    problems.unless(out == wanted, where, f"egress to {sorted(out)}, not {sorted(wanted)}")
    into = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    problems.unless(all(rule.get("from") for rule in policy["ingress"]), where, "ingress from everywhere")

    budget = one(manifests, "PodDisruptionBudget")
    if about["kind"] == "Deployment":
        check_service(problems, where, manifests, workload, config, into)
        replicas, strategy = workload["spec"]["replicas"], workload["spec"]["strategy"]["type"]
        if sqlite:
            problems.unless(replicas == 1, where, "more than one replica on one SQLite file")
            problems.unless(strategy == "Recreate", where, "the strategy is not Recreate")
            problems.unless(budget is None, where, "a PodDisruptionBudget of one replica blocks every drain")
        else:
            problems.unless(replicas == 2, where, "not two replicas")
            problems.unless(strategy == "RollingUpdate", where, "the strategy is not RollingUpdate")
            apart = pod.get("affinity", {}).get("podAntiAffinity", {})
            terms = apart.get("requiredDuringSchedulingIgnoredDuringExecution", [])
            good = bool(terms) and all(t["labelSelector"]["matchLabels"].items() <= labels.items() for t in terms)
            problems.unless(good, where, "the replicas may share a node")
            good = budget and budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
            problems.unless(good, where, "no PodDisruptionBudget of these pods")
    else:
        check_job(problems, where, workload, pod, config)


def check_service(problems, where, manifests, workload, config, into):
    template = pod_template(workload)
    pod, container = template["spec"], template["spec"]["containers"][0]
    problems.unless(container["args"] == ["run"], where, "does not start `idcsync run`")
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        got = container.get(probe, {}).get("httpGet", {})
        problems.unless(got == {"path": path, "port": "http"}, where, f"{probe} does not ask {path}")
    address, _, port = config["service"]["listen"].rpartition(":")
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    problems.unless(ports == {"http": int(port)}, where, f"the ports are {ports}, and the config listens on {port}")
    problems.unless(into == {int(port)}, where, f"the NetworkPolicy lets in {into}, and the config listens on {port}")
    problems.unless(address in ("0.0.0.0", "[::]"), where, f"nobody outside the pod reaches {address}")
    grace = seconds(config["service"]["grace"])
    given = pod["terminationGracePeriodSeconds"]
    problems.unless(given > grace, where, f"{given} s to end in, and [service] grace is {grace} s")
    service = one(manifests, "Service")["spec"]
    problems.unless(service["selector"].items() <= template["metadata"]["labels"].items(), where,
                    "the Service selects other pods")
    got = [(p["name"], p["port"], p["targetPort"]) for p in service["ports"]]
    problems.unless(got == [("http", int(port), "http")], where, f"the Service's ports are {got}")
    selector = workload["spec"]["selector"]["matchLabels"]
    problems.unless(selector.items() <= template["metadata"]["labels"].items(), where, "the Deployment selects other pods")
    monitor = one(manifests, "ServiceMonitor")
    if monitor:
        labels = one(manifests, "Service")["metadata"]["labels"]
        good = monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        problems.unless(good, where, "the ServiceMonitor selects another Service")
        problems.unless({e["port"] for e in monitor["spec"]["endpoints"]} == {"http"}, where,
                        "the ServiceMonitor's port is another")


def check_job(problems, where, workload, pod, config):
    spec = workload["spec"]
    job = spec["jobTemplate"]["spec"]
    problems.unless(pod["containers"][0]["args"] == ["sync"], where, "does not start `idcsync sync`")
    problems.unless(spec["concurrencyPolicy"] == "Forbid", where, "two jobs at once are allowed")
    problems.unless(job["backoffLimit"] == 0, where, "a failed job is tried again")
    problems.unless(pod["restartPolicy"] == "Never", where, "a failed pod is started again")
    problems.unless(spec.get("timeZone"), where, "no timeZone")
    problems.unless(spec.get("startingDeadlineSeconds", 0) > 100, where, "no startingDeadlineSeconds")
    problems.unless({"successfulJobsHistoryLimit", "failedJobsHistoryLimit"} <= set(spec), where, "no history limits")
    most = seconds(config["target"].get("max-apply", "50m"))
    problems.unless(job["activeDeadlineSeconds"] > most + 600, where,
                    f"activeDeadlineSeconds leaves less than ten minutes beside max-apply, {most} s")
    problems.unless("service" not in config and "cron" not in config.get("schedule", {}), where,
                    "the config of a job has keys of the service")


def kubernetes(deploy, only):
    problems = Problems()
    here = deploy / "kubernetes"
    found = {p.parent.name for p in here.glob("*/kustomization.yaml")}
    if found != set(VARIANTS) | PARTS:
        problems.add("kubernetes", f"kustomizations are {sorted(found)}: say in scripts/check-deploy.py what each is")
    for name in [only] if only else VARIANTS:
        try:
            manifests = kustomize(here / name)
            for manifest in manifests:
                check_schema(problems, name, manifest)
            check_variant(problems, name, manifests)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problems.add(name, f"{type(error).__name__}: {error}")
    if not only:
        # A component that no variant uses is rendered all the same.
        with tempfile.TemporaryDirectory(dir=deploy) as temporary:
            for component, base in (("monitoring", "standby"), ("monitoring-cronjob", "cronjob")):
                text = {"resources": [f"../kubernetes/{base}"], "components": [f"../kubernetes/components/{component}"],
                        "namespace": "idcsync"}
                Path(temporary, "kustomization.yaml").write_text(yaml.safe_dump(text))
                try:
                    manifests = kustomize(temporary)
                    problems.unless(one(manifests, "PrometheusRule"), component, "brings no PrometheusRule")
                    for manifest in manifests:
                        check_schema(problems, component, manifest)
                except ValueError as error:
                    problems.add(component, str(error))
    return problems


# --- Alerts -----------------------------------------------------------------------------------------------------------

MADE = "# Made by `scripts/check-deploy.py write` of deploy/prometheus/{}.\n"
OF = {"monitoring": "idcsync.rules.yml", "monitoring-cronjob": "idcsync-cronjob.rules.yml"}


def prometheus_rule(rules):
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": rules.name.removesuffix(".rules.yml"), "labels": {"app.kubernetes.io/name": "idcsync"}},
        "spec": yaml.safe_load(rules.read_text()),
    }


def anchors(markdown):
    heads = re.findall(r"^#+ (.*)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


def rules(deploy):
    problems = Problems()
    promtool = tool("promtool", "target/rig/prometheus/promtool")
    files = sorted((deploy / "prometheus").glob("*.rules.yml"))
    tests = sorted((deploy / "prometheus").glob("*.rules.test.yml"))
    for what, names_of in (("check", files), ("test", tests)):
        run = subprocess.run([promtool, what, "rules", *map(str, names_of)], capture_output=True, text=True)
        problems.unless(run.returncode == 0, f"promtool {what} rules", (run.stdout + run.stderr).strip())
    sections = anchors((ROOT / "docs/operations.md").read_text())
    for file in files:
        of_it = [text for text in (t.read_text() for t in tests) if f"- {file.name}\n" in text]
        tested = "".join(of_it)
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                name = rule.get("alert")
                if not name:
                    continue
                where = f"{file.name}: {name}"
                problems.unless(rule["labels"].get("severity") in SEVERITIES, where, "no severity")
                for key in ("summary", "description", "runbook_url"):
                    problems.unless(rule["annotations"].get(key), where, f"no {key}")
                url = f"docs/operations.md#{name.lower()}"
                problems.unless(rule["annotations"].get("runbook_url") == url, where, f"the runbook is not {url}")
                problems.unless(name.lower() in sections, where, f"docs/operations.md has no section {name}")
                firing = f'ALERTS{{alertname="{name}", alertstate="firing"'
                problems.unless(firing in tested, where, "no test sees it fire")
    for component, source in OF.items():
        made = deploy / "kubernetes/components" / component / "prometheusrule.yaml"
        wanted = prometheus_rule(deploy / "prometheus" / source)
        problems.unless(yaml.safe_load(made.read_text()) == wanted, made.name,
                        f"is not what {source} makes: scripts/check-deploy.py write")
    return problems


def write(deploy):
    for component, source in OF.items():
        made = prometheus_rule(deploy / "prometheus" / source)
        text = yaml.safe_dump(made, sort_keys=False, width=118)
        (deploy / "kubernetes/components" / component / "prometheusrule.yaml").write_text(MADE.format(source) + text)
    return Problems()


# --- systemd ----------------------------------------------------------------------------------------------------------

# What `systemd-analyze security` may say at most, in tenths; of ten in the end.
EXPOSURE = 15


def systemd(deploy):
    problems = Problems()
    analyze = tool("systemd-analyze")
    units = sorted(p for p in (deploy / "systemd").iterdir() if p.suffix in (".service", ".timer"))
    with tempfile.TemporaryDirectory() as root:
        into = Path(root, "etc/systemd/system")
        into.mkdir(parents=True)
        # The program that the units start; nothing starts it here.
        program = Path(root, "usr/local/bin/idcsync")
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        for unit in units:
            shutil.copy(unit, into)
        for unit in units:
            command = [analyze, "verify", f"--root={root}", "--man=no", "--recursive-errors=no", unit.name]
            run = subprocess.run(command, capture_output=True, text=True)
            said = (run.stdout + run.stderr).strip()
            problems.unless(run.returncode == 0 and not said, unit.name, said or "is refused")
            if unit.suffix == ".service":
                command = [analyze, "security", "--offline=true", f"--root={root}", f"--threshold={EXPOSURE}", unit.name]
                run = subprocess.run(command, capture_output=True, text=True)
                last = (run.stdout + run.stderr).strip().splitlines()[-1:]
                problems.unless(run.returncode == 0, unit.name, f"is exposed: {' '.join(last)}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kubernetes", "rules", "systemd", "write"])
    parser.add_argument("--deploy", type=Path, default=ROOT / "deploy")
    parser.add_argument("--only", choices=sorted(VARIANTS), help="of kubernetes: one of the kustomizations")
    arguments = parser.parse_args()
    deploy = arguments.deploy.resolve()
    if arguments.what == "kubernetes":
        problems = kubernetes(deploy, arguments.only)
    else:
        problems = {"rules": rules, "systemd": systemd, "write": write}[arguments.what](deploy)
    for problem in problems.list:
        print(problem, file=sys.stderr)
    return 1 if problems.list else 0


if __name__ == "__main__":
    sys.exit(main())
