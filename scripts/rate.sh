#!/bin/bash
# How much of the allowed rate an apply uses, over HTTP against the sandbox: 20 requests a second, 50 to 200 ms for each
# answer, as AWS has it. Then the same while others take half of it for a while. Prints requests, seconds, the share of
# the rate that was used, and throttles. Measures, so nothing here is asserted.
#
#     scripts/rate.sh [PEOPLE]      (500 unless said otherwise: 1001 requests, 50 s; then about 70 s)
#
# IDCSYNC names the program to run; a debug build of this tree unless said otherwise.
set -euo pipefail

people=${1:-500}
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
. scripts/bed.sh
program=${IDCSYNC:-$root/target/debug/idcsync}
[ -n "${IDCSYNC:-}" ] || cargo build --locked --quiet

/usr/bin/python3 - "$people" >"$home/directory.ldif" <<'PY'
import base64, hashlib, sys

def entry(dn, lines, name):
    guid = base64.b64encode(hashlib.sha256(name.encode()).digest()[:16]).decode()
    rid = hashlib.sha256(name.encode()).digest()[:4] if name else b""
    sid = bytes([1, 4 + bool(rid), 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, *range(1, 13)]) + rid
    print(f"dn: {dn}", *lines, f"objectGUID:: {guid}", f"objectSid:: {base64.b64encode(sid).decode()}", "", sep="\n")

base = "DC=ex,DC=test"
entry(base, ["objectClass: domainDNS"], "")
names = [f"p{n:05}" for n in range(int(sys.argv[1]))]
for name in names:
    entry(f"CN={name},{base}", [
        "objectClass: top", "objectClass: person", "objectClass: user", f"sAMAccountName: {name}", "givenName: Given",
        "sn: Family", f"displayName: Person {name}", f"userPrincipalName: {name}@ex.test", f"mail: {name}@ex.test",
        "userAccountControl: 512", "primaryGroupID: 513", "whenCreated: 20200101080000.0Z"], name)
entry(f"CN=Team,{base}", [
    "objectClass: top", "objectClass: group", "sAMAccountName: Team", "groupType: -2147483640",
    *(f"member: CN={name},{base}" for name in names)], "Team")
print("# idcsync: end")
PY

export AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_EC2_METADATA_DISABLED=true

# measure WHAT FROM UNTIL [OPTION OF THE SANDBOX...]: the seconds of the sandbox between which others are there
measure() {
	local what=$1 from=$2 until=$3 sandbox begun
	shift 3
	rm -f "$home"/state.db* "$home/requests.jsonl" "$home/sandbox.log"
	begun=$(date +%s.%N)
	"$program" sandbox --listen 127.0.0.1:0 --requests-per-second 20 --latency-ms 50 --jitter-ms 150 \
		--request-log "$home/requests.jsonl" "$@" >"$home/sandbox.log" 2>&1 &
	sandbox=$!
	pids+=("$sandbox")
	await grep -q listening "$home/sandbox.log"
	cat >"$home/idcsync.toml" <<-CONF
		profile = "rate"
		[directory]
		kind = "ldif"
		file = "directory.ldif"
		base-dn = "DC=ex,DC=test"
		[scope]
		groups = ["Team"]
		[target]
		kind = "identity-store"
		identity-store-id = "d-1234567890"
		region = "eu-west-1"
		endpoint-url = "$(sed -n 's/^sandbox listening on //p' "$home/sandbox.log")"
		requests-per-second = 20
		[state]
		url = "sqlite:state.db"
	CONF
	"$program" --config "$home/idcsync.toml" sync -q >"$home/out" 2>"$home/err" || { cat "$home/err" >&2; exit 1; }
	kill "$sandbox"
	/usr/bin/python3 - "$home/requests.jsonl" "$what" "$begun" "$from" "$until" <<'PY'
import datetime, json, sys

path, what, begun, since, until = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])
# The latency is in the answer, the time of the line is when the request came.
lines = [json.loads(line) for line in open(path)]
at = [datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp() - begun for line in lines]
taken = [(t, line["outcome"] != "ThrottlingException") for t, line in zip(at, lines)]

def row(what, start, end):
    inside = [ok for t, ok in taken if start <= t < end]
    end = min(end, at[-1])
    seconds = end - max(start, at[0])
    passed = sum(inside)
    print(f"| {what:33} | {passed:8} | {seconds:7.1f} | {passed / seconds:8.2f} | {passed / seconds / 20:7.1%} | {len(inside) - passed:9} |")

row(what, 0, float("inf"))
if until:
    row("  before others come", 0, since)
    row("  beside others", since, until)
    row("  after they have gone", until + 10, float("inf"))
PY
}

echo "| 20 a second allowed, 50 to 200 ms | requests | seconds | a second |    used | throttles |"
echo "| --------------------------------- | -------: | ------: | -------: | ------: | --------: |"
measure "alone" 0 0
measure "others take 10 of 20 for 30 s" 15 45 --others 10@15+30
