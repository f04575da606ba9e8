#!/usr/bin/env python3
"""Plants bugs on purpose, one at a time, in a copy of the source, and counts the histories until the simulation finds
each. Fails where a bug cannot be planted any more (its place has changed), or is not found.

    scripts/planted.py [NAME ...]
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "planted"
# As many as `make test` plays.
MOST = 2000

# Name, what is wrong, and the changes: file, text (there exactly once), text in its place.
BUGS = [
    (
        "empty-page",
        "a page without entries is taken for the last one",
        [(
            "src/directory/ldap/search.rs",
            "let next = answer.cookie.filter(|next| !next.is_empty());",
            "let next = answer.cookie.filter(|next| !next.is_empty() && seen.on_page > 0);",
        )],
    ),
    (
        "range-forgotten",
        "of an attribute that comes in parts, only the first is read",
        [(
            "src/directory/walk/admit.rs",
            "                self.ranged.push(Ranged { owner, attribute: Arc::from(base), progress });\n",
            "                let _ = (owner, base);\n",
        )],
    ),
    (
        "limit-ignored",
        "sizeLimitExceeded and its like count as success",
        [("src/directory/ldap/session.rs", "            0 => return None,", "            0 | 3 | 4 | 11 => return None,")],
    ),
    (
        "cut-is-the-end",
        "a connection that is cut counts as the end of what was asked",
        [(
            "src/directory/ldap/search.rs",
            """                Err(fault) => {
                    ending.fault = Some(fault);
                    return ending;
                }
            };
            let referrals""",
            """                Err(_) => return ending,
            };
            let referrals""",
        )],
    ),
    (
        "delete-on-absence",
        "who is not found once counts as deleted",
        [(
            "src/directory/fates.rs",
            "            None => Fate::Absent,",
            "            None => Fate::Deleted(DeletionProof::Tombstone),",
        )],
    ),
    (
        "empty-is-empty",
        "a group that suddenly reads as empty is believed",
        [(
            "src/scope/graph.rs",
            "let doubted = if sound { doubted(link, &now, &primary) } else { RoaringBitmap::new() };",
            "let doubted = if sound && false { doubted(link, &now, &primary) } else { RoaringBitmap::new() };",
        )],
    ),
    (
        "no-second-look",
        "absences are not looked at again",
        [("src/cycle/prepare.rs", "    if !concerned.is_empty() {", "    if !concerned.is_empty() && false {")],
    ),
    (
        "unknown-is-disabled",
        "an account that cannot be judged counts as disabled",
        [(
            "src/directory/entry.rs",
            'let Some(control) = entry.number("useraccountcontrol") else { return AccountState::Unknown };',
            'let Some(control) = entry.number("useraccountcontrol") else { return AccountState::Disabled };',
        )],
    ),
    (
        "journal-skipped",
        "intents are not written down",
        [
            ("src/state/journal.rs", "        tx.run_rows(INTEND, 9, values).await?;\n", "        drop(values);\n"),
            ("src/state/journal.rs", "if written != by_seq.len() as u64 {", "if written > by_seq.len() as u64 {"),
        ],
    ),
    (
        "crash-forgotten",
        "what a crash left open is not looked up",
        [("src/cycle/prepare.rs", "    let pending = state.unfinished().await?;\n", "    let _ = state;\n    let pending = Vec::new();\n")],
    ),
    (
        "clock-trusted",
        "this machine's clock is always believed",
        [("src/plan/clock.rs", "    (ahead.abs() > OFF).then_some(", "    (ahead.abs() > OFF && false).then_some(")],
    ),
    (
        "too-early",
        "who is out of scope is disabled in half the time",
        [(
            "src/plan/lifecycle.rs",
            "self.now.duration_since(first) > self.disable_after)",
            "self.now.duration_since(first) > self.disable_after / 2)",
        )],
    ),
    (
        "never-disabled",
        "who is out of scope is never found to be so for long enough",
        [(
            "src/plan/lifecycle.rs",
            "self.now.duration_since(first) > self.disable_after)",
            "self.now.duration_since(first) > self.disable_after * 1000)",
        )],
    ),
    (
        "emptied-freely",
        "a group may lose all its members without an approval",
        [("src/plan/guard.rs", "if of < EMPTYING_FROM ||", "if of < EMPTYING_FROM * 1000 ||")],
    ),
    (
        "adopted-freely",
        "whoever has the same name is taken over without an approval",
        [("src/plan/guard.rs", "if self.policy.adopt != Adopt::Auto {", "if self.policy.adopt == Adopt::Auto {")],
    ),
    (
        "deletions-unheard",
        "what the log of changes says was deleted is passed over",
        [(
            "src/directory/ldap/increment.rs",
            "                feed.deleted.insert(anchor);\n",
            "                let _ = anchor;\n",
        )],
    ),
    (
        "changes-forgotten",
        "entries that have changed are not kept for the next read by changes",
        [(
            "src/directory/mirror/held.rs",
            "        MirrorChange::Part { mark, put, gone: self.gone, answers }",
            "        MirrorChange::Part { mark, put: { drop::<Entries>(put); Entries::new() }, gone: self.gone, answers }",
        )],
    ),
]


# Behind which something else stands, so that nothing is lost and nothing is found.
BACKED = {"limit-ignored", "cut-is-the-end", "no-second-look"}


def run(*command, **kwargs):
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False, **kwargs)


def copy():
    """The tree as it is, without what is built."""
    files = run("git", "ls-files", "--cached", "--others", "--exclude-standard").stdout.splitlines()
    for name in files:
        source, target = ROOT / name, COPY / name
        if not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        content = source.read_bytes()
        if name in ("Cargo.toml", "Cargo.lock"):
            # Another version: Cargo would take what it has built of the one for the other.
            own = b'name = "idcsync"\nversion = "'
            content = content.replace(own + b"0.1.0", own + b"0.1.1", 1)
        if not target.exists() or target.read_bytes() != content:
            target.write_bytes(content)


def build():
    """The simulation of the copy; dependencies are shared with the tree itself."""
    manifest = str(COPY / "Cargo.toml")
    env = {**os.environ, "RUSTFLAGS": os.environ.get("RUSTFLAGS", "")}
    built = run(
        "cargo", "test", "--locked", "--no-run", "--test", "simulation", "--manifest-path", manifest,
        "--target-dir", str(ROOT / "target"), env=env,
    )
    found = re.search(r"Executable .*\((.*simulation-[0-9a-f]+)\)", built.stderr)
    if built.returncode != 0 or not found:
        sys.exit(built.stderr)
    path = pathlib.Path(found.group(1))
    return path if path.is_absolute() else ROOT / path


def main():
    wanted = set(sys.argv[1:])
    unknown = wanted - {name for name, _, _ in BUGS}
    if unknown:
        sys.exit(f"no such bug: {', '.join(sorted(unknown))}")
    missed = []
    for name, what, changes in BUGS:
        if wanted and name not in wanted:
            continue
        copy()
        for file, old, new in changes:
            path = COPY / file
            text = path.read_text()
            if text.count(old) != 1:
                sys.exit(f"{name}: {file} does not have its place once any more: {old!r}")
            path.write_text(text.replace(old, new))
        # As fast as the clock of the file system ticks: Cargo goes by times.
        time.sleep(1)
        program = build()
        env = {**os.environ, "IDCSYNC_UNTIL_FAILURE": str(MOST), "RUST_BACKTRACE": "0"}
        played = run(str(program), "until_failure", "--nocapture", env=env)
        found = re.search(r"^found after (\d+) histories: (.*)$", played.stdout, re.M)
        if found:
            print(f"{name}: {what}: found after {found.group(1)} histories: {found.group(2)[:120]}", flush=True)
        else:
            if name not in BACKED:
                missed.append(name)
            known = ", as expected" if name in BACKED else ""
            print(f"{name}: {what}: NOT found in {MOST} histories{known}", flush=True)
    shutil.rmtree(COPY, ignore_errors=True)
    if missed:
        sys.exit(f"not found: {', '.join(missed)}")


main()
