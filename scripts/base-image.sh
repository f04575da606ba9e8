#!/bin/bash
# Makes the image that the Dockerfile starts from on this machine, for one that reaches Debian's packages but no registry
# of images: a Debian out of debootstrap, with the Rust toolchain of this machine. It has the official image's name and
# is for trying things out; what is released is built from the official one.
#
#     scripts/base-image.sh [--force]      (as root; nothing to do where the image is there, unless forced)
#
# Installs buildah and debootstrap where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "base-image.sh: $*" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail "debootstrap needs root"
name=$(sed -n 's/^FROM \(rust:[^ ]*\) AS build$/\1/p' Dockerfile)
[ -n "$name" ] || fail "the Dockerfile starts from no image named rust:VERSION-SUITE"
version=${name#rust:}
suite=${version#*-}
version=${version%%-*}

missing=()
for package in buildah debootstrap; do
    command -v "$package" >/dev/null || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    echo "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if buildah inspect --type image "localhost/$name" >/dev/null 2>&1 && [ "${1:-}" != --force ]; then
    echo "$name is there"
    exit
fi

# Of several toolchains, the one that the image's name promises.
sysroot=
for candidate in "$version" stable; do
    sysroot=$(rustc "+$candidate" --print sysroot 2>/dev/null || true)
    [ -z "$sysroot" ] || break
done
sysroot=${sysroot:-$(rustc --print sysroot)}
found=$("$sysroot/bin/rustc" --version | cut -d ' ' -f 2)
case $found in
    "$version" | "$version".*) ;;
    *) fail "$name needs Rust $version, and this machine has $found" ;;
esac

# Where this machine's own apt finds this suite.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $suite" 'Component: main' |
    grep -m1 '^https\?://' || true)

container=$(buildah from scratch)
trap 'buildah rm "$container" >/dev/null' EXIT
root=$(buildah mount "$container")
echo "making $name: Debian $suite and Rust $found"
log=$(mktemp)
# What the official image has, as far as the build needs it.
if ! debootstrap --variant=minbase --include=ca-certificates,gcc,g++,libc6-dev,make,pkg-config \
    "$suite" "$root" ${mirror:+"$mirror"} >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "debootstrap failed"
fi
rm -f "$log"
# A mirror of this machine's network is no part of it.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/etc/apt/sources.list
mkdir -p "$root/usr/local/rustup/toolchains" "$root/usr/local/cargo/bin"
toolchain=/usr/local/rustup/toolchains/$found
mkdir -p "$root$toolchain/bin"
cp -a "$sysroot/lib" "$root$toolchain/"
for program in cargo rustc; do
    cp -a "$sysroot/bin/$program" "$root$toolchain/bin/"
    ln -s "$toolchain/bin/$program" "$root/usr/local/cargo/bin/$program"
done
buildah umount "$container" >/dev/null
buildah config \
    --env CARGO_HOME=/usr/local/cargo --env RUSTUP_HOME=/usr/local/rustup \
    --env PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    --cmd bash "$container"
buildah commit --quiet --format docker "$container" "localhost/$name" >/dev/null
echo "made $name"
