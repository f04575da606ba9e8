#!/bin/bash
# Builds the container image and uses it: against slapd, found by DNS and trusted through the CAs of the image, and a
# sandbox outside. Nothing may be written outside the volume, and nothing may be done as root.
#
#     scripts/test-image.sh [PEOPLE [GROUPS]]      (as root)
#
# The numbers are of the company that the service's memory is measured with: 20000 and 2000 unless said otherwise.
#
# IMAGE names an image of buildah's that is there already, which is then not built. Where the base image cannot be had
# from a registry: scripts/base-image.sh first. Installs buildah and dnsmasq-base where they are missing, besides what
# `make setup` does.
set -euo pipefail
cd "$(dirname "$0")/.."

people=${1:-20000}
groups=${2:-2000}
passed=0

fail() {
	echo "FAILED: $*" >&2
	echo "$passed passed, 1 failed"
	exit 1
}
pass() {
	echo "ok: $*"
	passed=$((passed + 1))
}
# holds WHAT COMMAND...
holds() {
	local what=$1
	shift
	"$@" || fail "$what"
	pass "$what"
}

[ "$(id -u)" -eq 0 ] || fail "mounting an image needs root"
missing=()
command -v buildah >/dev/null || missing+=(buildah)
command -v dnsmasq >/dev/null || missing+=(dnsmasq-base)
if [ "${#missing[@]}" -gt 0 ]; then
	echo "installing ${missing[*]}"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
image=${IMAGE:-}
if [ -z "$image" ]; then
	CONTAINER_TOOL=buildah scripts/image.sh
	image=localhost/idcsync:$version
fi
cargo build --locked --quiet

. scripts/bed.sh
resolver=127.0.53.$((RANDOM % 250 + 2))
container=$(buildah from --pull-never --dns "$resolver" "$image")
# Or buildah has a volume of its own, which now and then hides the one that is mounted.
buildah config --volume /var/lib/idcsync- "$container"
root=$(buildah mount "$container")
clean_all() {
	buildah rm "$container" >/dev/null
	clean
}
trap clean_all EXIT

# --- What the image says of itself.

buildah inspect --type image "$image" >"$home/image.json"
/usr/bin/python3 - "$home/image.json" "$version" >"$home/environment" <<-'PYTHON' || fail "the image's own description"
	import json, sys
	image = json.load(open(sys.argv[1]))["Docker"]["config"]
	labels = image["Labels"]
	assert image["User"] == "65532:65532", image["User"]
	assert image["Entrypoint"] == ["/idcsync"], image["Entrypoint"]
	assert image["Cmd"] == ["run"], image["Cmd"]
	assert image["StopSignal"] == "SIGTERM", image["StopSignal"]
	assert image["Healthcheck"]["Test"] == ["CMD", "/idcsync", "health"], image["Healthcheck"]
	assert list(image["Volumes"]) == ["/var/lib/idcsync"], image["Volumes"]
	assert labels["org.opencontainers.image.version"] == sys.argv[2], labels
	print("\n".join(image["Env"]))
PYTHON
pass "user, entry point, health check, volume and labels are those promised"
mapfile -t environment <"$home/environment"

# What is in it, without the place that buildah keeps for mounts of its own.
tree() {
	(cd "$root" && find . -xdev -path ./run -prune -o -printf "$1\n" | LC_ALL=C sort)
}
tree '%y %m %U:%G %p' >"$home/tree"
holds "no shell and no interpreter" test -z "$(find "$root" -type f -regextype posix-extended \
	-regex '.*/(sh|bash|dash|busybox|perl|python[0-9.]*)' -print)"
holds "nothing is setuid or setgid" test -z "$(find "$root" -perm /6000 -print)"
holds "nothing but the volume belongs to its user or may be written by it" test "$(find "$root" -xdev \
	\( -user 65532 -o -group 65532 -o -perm /0022 \) -not -type l -printf '%P ')" = "var/lib/idcsync "

# --- The servers: names by DNS alone, and a certificate of an authority that only the mounted CAs know.

name=dc1.corp.example.com
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout "$home/ca.key" \
	-out "$home/ca.pem" -subj "/CN=authority of test-image" -addext keyUsage=critical,keyCertSign 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$home/key.pem" -out "$home/server.csr" \
	-subj "/CN=$name" 2>/dev/null
printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\n' "$name" >"$home/extensions"
openssl x509 -req -in "$home/server.csr" -days 30 -extfile "$home/extensions" -out "$home/cert.pem" \
	-CA "$home/ca.pem" -CAkey "$home/ca.key" -set_serial 1 2>/dev/null
dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --user=root --no-hosts --no-resolv --bind-interfaces \
	--listen-address="$resolver" --host-record="$name,127.0.0.1" >"$home/dns.log" 2>&1 &
pids+=($!)
tls=$(free_port)
start_slapd "ldap://127.0.0.1:$(free_port) ldaps://127.0.0.1:$tls" 500 50 \
	"TLSCertificateFile $home/cert.pem" "TLSCertificateKeyFile $home/key.pem"
start_sandbox target/debug/idcsync

mkdir "$home/config" "$home/state"
chmod 711 "$home"
printf secret >"$home/config/password"
chmod 400 "$home/config/password"
ldap=ldaps://$name:$tls
write_config "$home/config/idcsync.toml" password sqlite:///var/lib/idcsync/state.db
chown -R 65532:65532 "$home/config" "$home/state"
printf 'nameserver %s\n' "$resolver" >"$home/resolv.conf"
cat /etc/ssl/certs/ca-certificates.crt "$home/ca.pem" >"$home/bundle.pem"

# --- In the container of buildah, as root file system writable: what is written anyway is seen afterwards.

credentials=(AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_EC2_METADATA_DISABLED=true)
trust=(--volume "$home/bundle.pem:/etc/ssl/certs/ca-certificates.crt:ro")
contained() {
	buildah run --isolation chroot --user 65532:65532 "${credentials[@]/#/--env=}" "${trust[@]}" \
		--volume "$home/config:/etc/idcsync:ro" --volume "$home/state:/var/lib/idcsync" \
		"$container" -- /idcsync "$@" >"$home/out" 2>"$home/err"
}
# The program's own words, where it did not do what it should.
said() {
	tail -n 20 "$home/out" "$home/err" >&2
	false
}
says() {
	local words=$1
	shift
	if ! { "$@" && grep -q "$words" "$home/out"; }; then said; fi
}
refuses() {
	local words=$1
	shift
	if "$@" || ! grep -qi "$words" "$home/out" "$home/err"; then said; fi
}

holds "the program starts, and is of this version" says "^idcsync $version\$" contained --version
tree '%y %m %U:%G %s %T@ %p %l' >"$home/before"
holds "the sandbox is left out" refuses "unrecognized subcommand" contained sandbox --help
trusted=("${trust[@]}")
trust=()
holds "a certificate that the image's CAs do not know is refused" refuses certificate contained sync --dry-run
trust=("${trusted[@]}")
holds "a dry run plans" says '^Plan ' contained sync --dry-run
holds "a dry run writes nothing" test -z "$(ls -A "$home/state")"
holds "a sync is applied" says '^Applied: .* done\.$' contained sync
holds "the next finds nothing to do" says '^Nothing to do' contained sync
holds "the state is in the volume, of user 65532" test "$(stat -c %u:%g "$home/state/state.db")" = 65532:65532
tree '%y %m %U:%G %s %T@ %p %l' >"$home/after"
holds "nothing is written outside the volume" diff "$home/before" "$home/after"

# --- The same on a root file system that is mounted read-only, without privileges to gain, as Kubernetes would run it.

mkdir -p "$root/proc" "$root/dev"
touch "$root/etc/resolv.conf"
# shellcheck disable=SC2016
locked_in='
	set -e
	root=$1 home=$2
	shift 2
	mount --bind "$root" "$root"
	mount --bind "$home/state" "$root/var/lib/idcsync"
	mount --bind "$home/config" "$root/etc/idcsync"
	mount --bind "$home/resolv.conf" "$root/etc/resolv.conf"
	mount --bind "$home/bundle.pem" "$root/etc/ssl/certs/ca-certificates.crt"
	mount -t proc proc "$root/proc"
	for place in / /etc/idcsync /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
		mount -o remount,bind,ro "$root$place"
	done
	if touch "$root/written" 2>/dev/null; then
		echo "the root file system can be written" >&2
		exit 1
	fi
	exec env -i "$@"'
# Becomes the program, so that what runs it in the background knows its process.
locked() {
	exec unshare --mount bash -c "$locked_in" - "$root" "$home" "${environment[@]}" "${credentials[@]}" \
		setpriv --no-new-privs chroot --userspec=65532:65532 --groups= "$root" /idcsync "$@"
}
not() { ! "$@"; }
in_subshell() { ("$@") >"$home/out" 2>"$home/err"; }
# Everything from the beginning.
start_anew() {
	kill "$sandbox"
	wait "$sandbox" || true
	rm -f "$home/store.json" "$home"/state/*
	start_sandbox "$1"
	write_config "$home/config/idcsync.toml" password sqlite:///var/lib/idcsync/state.db
}
holds "read-only: nothing to do" says '^Nothing to do' in_subshell locked sync
start_anew target/debug/idcsync
holds "read-only: a first sync is applied" says '^Applied: .* done\.$' in_subshell locked sync

# --- The service, in an image that has it.

kilobytes() {
	awk -v key="$1:" '$1 == key { printf "%.1f MB", $2 / 1024 }' "/proc/$2/status"
}
cycles() {
	curl -s "$service/metrics" | awk '/^idcsync_cycles_total/ { n += $NF } END { exit !(n >= '"$1"') }'
}
serve() {
	kill "$slapd"
	wait "$slapd" || true
	start_slapd "ldap://127.0.0.1:$(free_port)" "$people" "$groups"
	# Hundreds of thousands of requests are too many for a debug build.
	cargo build --locked --quiet --release
	start_anew target/release/idcsync
	local port begun pid
	port=$(free_port)
	service=http://127.0.0.1:$port
	printf 'token' >"$home/config/token"
	printf '[service]\nlisten = "127.0.0.1:%s"\ntoken-file = "token"\n' "$port" >>"$home/config/idcsync.toml"
	chown -R 65532:65532 "$home/config"
	chmod 400 "$home/config/token"
	begun=$(date +%s%N)
	locked run >"$home/service.log" 2>&1 &
	pid=$!
	pids+=("$pid")
	until curl -sf "$service/readyz" >/dev/null; do
		if ! kill -0 "$pid" 2>/dev/null; then
			tail -n 20 "$home/service.log" >&2
			fail "the service ended"
		fi
		sleep 0.01
	done
	measured+=("from start to ready: $((($(date +%s%N) - begun) / 1000000)) ms")
	measured+=("resident memory when ready: $(kilobytes VmRSS "$pid")")
	holds "the health check of the image succeeds" contained health
	curl -s -X POST -H 'Authorization: Bearer token' "$service/api/sync" >/dev/null
	minutes=20 await cycles 1
	measured+=("peak in a first cycle of $people people and $groups groups: $(kilobytes VmHWM "$pid")")
	# If it had begun a cycle by itself, the one just asked for comes now, with nothing to do.
	sleep 20
	measured+=("resident memory, idle after it: $(kilobytes VmRSS "$pid")")
	kill "$pid"
	holds "the service ends well when told to" wait "$pid"
	holds "the health check fails without it" not contained health
}
measured=()
if contained help && grep -qE '^  run ' "$home/out"; then
	serve
else
	echo "skipped: the service, which this image does not have"
fi

# --- How large it is.

buildah push --quiet "$image" "oci:$home/pushed" >/dev/null
megabytes() { awk "BEGIN { printf \"%.1f MB\", $1 / 1000000 }"; }
echo
cat "$home/tree"
echo
echo "binary: $(megabytes "$(stat -c %s "$root/idcsync")")"
echo "image, unpacked: $(megabytes "$(find "$root" -xdev -type f -printf '%s\n' | awk '{ n += $1 } END { print n }')")"
echo "image, as pulled: $(megabytes "$(du -sb "$home/pushed/blobs" | cut -f 1)")"
[ "${#measured[@]}" -eq 0 ] || printf '%s\n' "${measured[@]}"
echo "$passed passed, 0 failed"
