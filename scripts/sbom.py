#!/usr/bin/env python3
"""Writes target/sbom.cdx.json (CycloneDX 1.5): every crate that the program is built from, with its licence and checksum.

cargo-cyclonedx also lists what features that are off would bring; those, and the paths of this machine, are taken out.
Ends with an error where a crate of the build is missing, or one has another checksum than Cargo.lock says.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MADE = ROOT / "sbom.cdx.json"
KEPT = ROOT / "target" / "sbom.cdx.json"


def run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def built(edges: str) -> set[tuple[str, str]]:
    lines = run("cargo", "tree", "--locked", "-e", edges, "--prefix", "none", "-f", "{p}").splitlines()
    words = (line.split() for line in lines)
    return {(w[0], w[1].removeprefix("v")) for w in words if len(w) >= 2} - {project()}


def project() -> tuple[str, str]:
    package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
    return package["name"], package["version"]


def main() -> None:
    try:
        run("cargo", "cyclonedx", "--format", "json", "--spec-version", "1.5", "--override-filename", "sbom.cdx", "-q")
        bom = json.loads(MADE.read_text().replace(f"path+file://{ROOT}", "path+file:///idcsync"))
    finally:
        MADE.unlink(missing_ok=True)
    wanted = built("normal,build")
    key = lambda component: (component["name"], component["version"])
    bom["components"] = [c for c in bom["components"] if key(c) in wanted]
    kept = {c["bom-ref"] for c in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    bom["dependencies"] = [
        {**d, "dependsOn": [r for r in d.get("dependsOn", []) if r in kept]}
        for d in bom["dependencies"]
        if d["ref"] in kept
    ]

    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in locked}
    listed = {key(c): {h["alg"]: h["content"] for h in c.get("hashes", [])} for c in bom["components"]}
    wrong = [f"{n} {v} is missing" for n, v in sorted(wanted - listed.keys())]
    wrong += [
        f"{n} {v} has another checksum than Cargo.lock"
        for (n, v), hashes in sorted(listed.items())
        if hashes.get("SHA-256") != checksums.get((n, v))
    ]
    wrong += [f"{n} {v} has no licence" for n, v in sorted(key(c) for c in bom["components"] if not c.get("licenses"))]
    if wrong:
        sys.exit("\n".join(wrong))
    KEPT.write_text(json.dumps(bom, indent=1) + "\n")
    print(f"{KEPT.relative_to(ROOT)}: {len(listed)} crates, as Cargo.lock has them")


if __name__ == "__main__":
    main()
