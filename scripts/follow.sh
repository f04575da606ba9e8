#!/bin/bash
# How long it takes from a change in the directory until it is in the target, where the service follows changes: people
# are put into a group and taken out of it in slapd, one at a time, at any moment between two looks, and the sandbox's
# request log says when it was told. Prints median and longest of both. Measures, so nothing here is asserted.
#
#     scripts/follow.sh [PEOPLE [GROUPS [CHANGES]]]      (2000, 200 and 20 unless said otherwise)
#
# IDCSYNC names the program to run; a release build of this tree unless said otherwise. FOLLOW is the pause between two
# looks (3s).
set -euo pipefail

people=${1:-2000}
groups=${2:-200}
changes=${3:-20}
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. scripts/bed.sh
program=${IDCSYNC:-$root/target/release/idcsync}
[ -n "${IDCSYNC:-}" ] || cargo build --locked --release --quiet

overlay=$'overlay syncprov\nsyncprov-sessionlog 10000' \
	start_slapd "ldap://127.0.0.1:$(free_port)" "$people" "$groups" "moduleload syncprov"
export AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_EC2_METADATA_DISABLED=true
"$program" sandbox --listen 127.0.0.1:0 --request-log "$home/requests.jsonl" >"$home/sandbox.log" 2>&1 &
pids+=($!)
await grep -q listening "$home/sandbox.log"
endpoint=$(sed -n 's/^sandbox listening on //p' "$home/sandbox.log")
printf secret >"$home/password"
printf sandbox-token >"$home/token"
token_file=token write_config "$home/idcsync.toml" password sqlite:state.db
cat >>"$home/idcsync.toml" <<-CONF
	[schedule]
	cron = "0 0 29 2 *"
	full-read-every = "24h"
	follow = "${FOLLOW:-3s}"
	[service]
	listen = "127.0.0.1:$(free_port)"
CONF
"$program" run --config "$home/idcsync.toml" >"$home/service.log" 2>&1 &
pids+=($!)
minutes=20 await grep -q '"cycle finished"' "$home/service.log"

/usr/bin/python3 - "$ldap" "$base" "$home/requests.jsonl" "$changes" <<'PY'
import random, statistics, subprocess, sys, time

ldap, base, log, changes = *sys.argv[1:4], int(sys.argv[4])
tool = ["-x", "-H", ldap, "-D", f"cn=admin,{base}", "-w", "secret"]
search = subprocess.run(
    ["ldapsearch", *tool, "-LLL", "-o", "ldif-wrap=no", "-b", base, "(cn=AWS-Contractors)", "member"],
    check=True, capture_output=True, text=True).stdout
group = next(line[4:] for line in search.splitlines() if line.startswith("dn: "))
members = [line[8:] for line in search.splitlines() if line.startswith("member: ")]

requests = open(log, encoding="utf-8")

def told():
    """Whether members of a group have been written since it was asked last."""
    return any("PatchGroup" in line for line in requests.readlines())

taken = {"Delete": [], "Create": []}
for number in range(changes):
    member = members[number // 2 % len(members)]
    what, operation = [("Delete", "delete"), ("Create", "add")][number % 2]
    time.sleep(random.uniform(0, 3))
    told()
    begun = time.monotonic()
    subprocess.run(["ldapmodify", *tool], check=True, capture_output=True, text=True,
                   input=f"dn: {group}\nchangetype: modify\n{operation}: member\nmember: {member}\n")
    while not told():
        if time.monotonic() - begun > 300:
            sys.exit("not within five minutes")
        time.sleep(0.02)
    taken[what].append(time.monotonic() - begun)
for what, words in [("Delete", "removals"), ("Create", "additions")]:
    times = taken[what]
    print(f"{words}: {len(times)}, median {statistics.median(times):.1f} s, longest {max(times):.1f} s")
PY
grep -o '"changed":[0-9]*,"target"\|"read_seconds":[0-9.]*,"plan_seconds":[0-9.]*,"apply_seconds":[0-9.]*' "$home/service.log" | tail -2
