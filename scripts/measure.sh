#!/bin/bash
# Measures a release build: a company in slapd, pushed into the sandbox over HTTP without a rate limit. Prints wall time
# and peak memory of each run, and the time as a multiple of what ldapsearch takes to read the same entries.
#
#     scripts/measure.sh [PEOPLE [GROUPS]]      (20000 and 2000 unless said otherwise)
#
# Needs slapd and ldap-utils (make setup).
set -euo pipefail

people=${1:-20000}
groups=${2:-2000}
root=$(cd "$(dirname "$0")/.." && pwd)
home=$(mktemp -d)
pids=()
clean() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf -- "$home"
}
trap clean EXIT

cd "$root"
cargo build --locked --release --quiet
cargo build --locked --quiet --example company
program=$root/target/release/idcsync
ldap=ldap://127.0.0.1:13890
base=dc=corp,dc=example,dc=com

# A server with this company.
mkdir "$home/db"
cat >"$home/slapd.conf" <<CONF
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile $home/slapd.pid
threads 4
sizelimit unlimited
database mdb
suffix "$base"
directory $home/db
maxsize 8589934592
dbnosync
rootdn "cn=admin,$base"
rootpw secret
index objectClass,entryUUID,member eq
index uid,cn,mail eq
CONF
"$root/target/debug/examples/company" --people "$people" --groups "$groups" --flavour openldap >"$home/company.ldif"
/usr/sbin/slapadd -q -f "$home/slapd.conf" -l "$home/company.ldif"
/usr/sbin/slapd -d 0 -h "$ldap" -f "$home/slapd.conf" >"$home/slapd.log" 2>&1 &
pids+=($!)

export AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_EC2_METADATA_DISABLED=true
"$program" sandbox --listen 127.0.0.1:0 --store "$home/store.json" >"$home/sandbox.log" 2>&1 &
sandbox=$!
pids+=("$sandbox")
until grep -q listening "$home/sandbox.log" && ldapsearch -x -H "$ldap" -b "$base" -s base 1.1 >/dev/null 2>&1; do
	sleep 0.1
done
endpoint=$(sed -n 's/^sandbox listening on //p' "$home/sandbox.log")

printf secret >"$home/password"
cat >"$home/idcsync.toml" <<CONF
profile = "measure"
[directory]
kind = "ldap"
urls = ["$ldap"]
base-dn = "$base"
bind = { dn = "cn=admin,$base", password-file = "password" }
allow-plaintext = true
[scope]
groups = [{ group = "AWS-All", write = false }, "AWS-Admins", "AWS-Contractors"]
[target]
kind = "identity-store"
identity-store-id = "d-1234567890"
region = "eu-west-1"
endpoint-url = "$endpoint"
requests-per-second = 1000000
max-apply = "1d"
[state]
url = "sqlite:state.db"
CONF

# What a run's process took: the kernel keeps the peak of resident memory until the process is gone.
first=
measure() {
	local what=$1 begun ended peak=0 now
	shift
	begun=$(date +%s%N)
	"$@" >"$home/out" 2>"$home/err" &
	local pid=$!
	while now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
		peak=$now
		sleep 0.005
	done
	local code=0
	wait "$pid" || code=$?
	ended=$(date +%s%N)
	if [ "$code" != 0 ]; then
		echo "$what ended with $code" >&2
		tail -5 "$home/err" >&2
		exit 1
	fi
	local ms=$(((ended - begun) / 1000000))
	first=${first:-$ms}
	printf '| %-30s | %8s s | %9s MB | %8s × |\n' "$what" \
		"$(awk "BEGIN { printf \"%.2f\", $ms / 1000 }")" \
		"$(awk "BEGIN { printf \"%.1f\", $peak / 1024 }")" \
		"$(awk "BEGIN { printf \"%.1f\", $ms / $first }")"
}

attributes=(objectClass entryUUID uid cn mail givenName sn displayName initials description member createTimestamp)
echo "$people people, $groups groups, $(nproc) processors"
echo "| run                            |       time | peak memory | ldapsearch |"
echo "| ------------------------------ | ---------: | ----------: | ---------: |"
measure "ldapsearch, the same entries" ldapsearch -x -D "cn=admin,$base" -w secret -H "$ldap" -LLL -o ldif-wrap=no \
	-E pr=1000/noprompt -b "$base" "(|(objectClass=inetOrgPerson)(objectClass=groupOfNames))" "${attributes[@]}"
cd "$home"
measure "sync --dry-run, the first" "$program" sync --dry-run
grep -m1 '^Plan ' "$home/out" >"$home/plan"
measure "sync, the first" "$program" sync
grep '^Applied' "$home/out" >>"$home/plan"
measure "sync, nothing to do" "$program" sync
grep -q '^Nothing to do' "$home/out"
measure "sync --dry-run, nothing to do" "$program" sync --dry-run
printf '\n'
cat "$home/plan"
printf 'Peak memory of the sandbox: %s MB; state database: %s\n' \
	"$(awk '/^VmHWM/ { printf "%.0f", $2 / 1024 }' "/proc/$sandbox/status")" "$(du -h "$home/state.db" | cut -f1)"
