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
cd "$root"
. scripts/bed.sh

cargo build --locked --release --quiet
program=$root/target/release/idcsync
start_slapd "ldap://127.0.0.1:$(free_port)" "$people" "$groups"
start_sandbox "$program"
export AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_EC2_METADATA_DISABLED=true
printf secret >"$home/password"
write_config "$home/idcsync.toml" password sqlite:state.db

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
