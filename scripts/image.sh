#!/bin/bash
# Builds the container image as idcsync:VERSION, with docker, podman or buildah: whichever is there and works.
#
#     scripts/image.sh
#
# CONTAINER_TOOL names the tool. CA_BUNDLE names a file of CAs for cargo, where the network inspects TLS; without it, the
# one that this machine's programs are told of. The proxy settings of the environment reach the build, too.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
revision=$(git describe --always --abbrev=40 --exclude '*' --dirty 2>/dev/null || echo unknown)

# A docker client without an engine is of no use.
works() {
    case $1 in
        docker) docker info ;;
        podman) podman info ;;
        buildah) buildah info ;;
        *) false ;;
    esac >/dev/null 2>&1
}
tool=${CONTAINER_TOOL:-}
if [ -z "$tool" ]; then
    for candidate in docker podman buildah; do
        if works "$candidate"; then
            tool=$candidate
            break
        fi
    done
fi
if ! works "${tool:-none}"; then
    echo "image.sh: ${tool:-none of docker, podman and buildah} works here; name another with CONTAINER_TOOL" >&2
    exit 1
fi

# HEALTHCHECK is known to Docker's format of images, and not to OCI's.
case $tool in
    docker) build=(docker buildx build --load) ;;
    podman) build=(podman build --format docker --layers) ;;
    buildah) build=(buildah build --format docker --layers) ;;
esac
# Without a runtime for containers, what the builder runs is locked in with chroot, on the network of this machine.
if [ "$tool" != docker ] && ! command -v crun >/dev/null && ! command -v runc >/dev/null; then
    build+=(--isolation chroot)
fi
build+=(--tag "idcsync:$version" --build-arg "VERSION=$version" --build-arg "REVISION=$revision")
for variable in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    [ -z "${!variable:-}" ] || build+=(--build-arg "$variable")
done
bundle=${CA_BUNDLE:-${CARGO_HTTP_CAINFO:-${SSL_CERT_FILE:-}}}
if [ -n "$bundle" ]; then
    build+=(--secret "id=ca-bundle,src=$bundle")
fi

"${build[@]}" .
echo "built idcsync:$version with $tool"
