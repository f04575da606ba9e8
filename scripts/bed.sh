# Sourced by scripts that need servers: a made-up company in slapd, and the sandbox. Both end with the script, and what
# they write is in the directory $home, which goes with them.
# shellcheck shell=bash

home=$(mktemp -d)
base=dc=corp,dc=example,dc=com
pids=()

clean() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf -- "$home"
}
trap clean EXIT

free_port() {
	/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Tries a command until it succeeds, for a minute, or as many as $minutes says.
await() {
	local tries
	for ((tries = 0; tries < 600 * ${minutes:-1}; tries++)); do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.1
	done
	echo "not in ${minutes:-1} min: $*" >&2
	return 1
}

# start_slapd URLS PEOPLE GROUPS [LINE...]: the urls are one word with spaces; the lines go into slapd.conf, and what
# $overlay holds to the end of it. The first
# url becomes $ldap, the process $slapd. Binds as cn=admin,$base with "secret".
start_slapd() {
	local urls=$1 people=$2 groups=$3
	shift 3
	ldap=${urls%% *}
	rm -rf "$home/db"
	mkdir "$home/db"
	cat >"$home/slapd.conf" <<-CONF
		include /etc/ldap/schema/core.schema
		include /etc/ldap/schema/cosine.schema
		include /etc/ldap/schema/inetorgperson.schema
		modulepath /usr/lib/ldap
		moduleload back_mdb
		pidfile $home/slapd.pid
		threads 4
		sizelimit unlimited
		$(printf '%s\n' "$@")
		database mdb
		suffix "$base"
		directory $home/db
		maxsize 8589934592
		dbnosync
		rootdn "cn=admin,$base"
		rootpw secret
		index objectClass,entryUUID,member eq
		index uid,cn,mail eq
		${overlay:-}
	CONF
	cargo build --locked --quiet --example company
	target/debug/examples/company --people "$people" --groups "$groups" --flavour openldap >"$home/company.ldif"
	/usr/sbin/slapadd -q -f "$home/slapd.conf" -l "$home/company.ldif"
	/usr/sbin/slapd -d 0 -h "$urls" -f "$home/slapd.conf" >"$home/slapd.log" 2>&1 &
	slapd=$!
	pids+=("$slapd")
	await ldapsearch -x -H "$ldap" -b "$base" -s base 1.1
}

# start_sandbox PROGRAM: sets $sandbox, its process, and $endpoint, its url.
start_sandbox() {
	AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none \
		"$1" sandbox --listen 127.0.0.1:0 --store "$home/store.json" >"$home/sandbox.log" 2>&1 &
	sandbox=$!
	pids+=("$sandbox")
	await grep -q listening "$home/sandbox.log"
	endpoint=$(sed -n 's/^sandbox listening on //p' "$home/sandbox.log")
}

# The config of a sync from the one to the other without a rate limit: write_config FILE PASSWORD-FILE STATE-URL. Over
# SCIM, a hundred members in a request, where $token_file names the file with the sandbox's token.
write_config() {
	local target
	target=$(
		if [ -n "${token_file:-}" ]; then
			cat <<-CONF
				kind = "scim"
				scim = { url = "$endpoint/tenant/scim/v2", token-file = "$token_file" }
			CONF
		else
			cat <<-CONF
				kind = "identity-store"
				identity-store-id = "d-1234567890"
				region = "eu-west-1"
				endpoint-url = "$endpoint"
			CONF
		fi
	)
	cat >"$1" <<-CONF
		profile = "measure"
		[directory]
		kind = "ldap"
		urls = ["$ldap"]
		base-dn = "$base"
		bind = { dn = "cn=admin,$base", password-file = "$2" }
		allow-plaintext = true
		[scope]
		groups = [{ group = "AWS-All", write = false }, "AWS-Admins", "AWS-Contractors"]
		[target]
		$target
		requests-per-second = 1000000
		max-apply = "1d"
		[state]
		url = "$3"
	CONF
}
