# The container image of idcsync: the program, what it is linked to, the CAs of the system, and nothing to log in to.
#
#     make image            (or: docker build -t idcsync .)
#
# The last stage starts from nothing. glibc stays, because names must be resolved as the rest of the company does it
# (nsswitch, resolv.conf with its search domains), which musl does differently; debian:bookworm-slim has it, too, but
# with 75 MB of shell, package manager and their vulnerabilities, none of which idcsync ever uses. What is copied out of
# Debian keeps its entry of the package database, so that a scanner of images knows which versions it looks at.

FROM rust:1.95-bookworm AS build
WORKDIR /build
ARG VERSION=0.1.0
# Without the sandbox, which is for rehearsals on a workstation, and without Kerberos, which needs the system's library.
# Both caches make a second build quick; the binary is copied, since the cache is not part of the stage.
# The secret "ca-bundle" is for networks that inspect TLS: the CAs that cargo is to trust instead of those of the stage.
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    --mount=type=secret,id=ca-bundle \
    if [ -s /run/secrets/ca-bundle ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca-bundle; fi \
    && cargo build --release --locked --no-default-features \
    && mkdir /image \
    && cp target/release/idcsync /image/

# The tree of the image. The C library and its loader are those that the program asks for, wherever this processor keeps
# them; without nsswitch.conf, glibc would ask DNS before /etc/hosts.
WORKDIR /image
RUN set -eu; \
    ldd idcsync >/tmp/linked; \
    grep -o '/[^ ]*' /tmp/linked >/tmp/libraries; \
    xargs --arg-file=/tmp/libraries cp --parents --dereference --target-directory=.; \
    cp --parents --dereference /etc/ssl/certs/ca-certificates.crt /etc/os-release .; \
    mkdir -p etc/idcsync licenses usr/share/doc var/lib/dpkg/status.d /volume/idcsync; \
    for package in libc6 libgcc-s1 ca-certificates; do \
        dpkg-query --status "$package" >"var/lib/dpkg/status.d/$package"; \
        cp --parents --recursive --dereference "/usr/share/doc/$package/copyright" .; \
    done; \
    cp /build/LICENSE-APACHE /build/LICENSE-MIT licenses/; \
    echo 'hosts: files dns' >etc/nsswitch.conf; \
    echo 'idcsync:x:65532:65532:idcsync:/var/lib/idcsync:/nonexistent' >etc/passwd; \
    echo 'idcsync:x:65532:' >etc/group; \
    chmod -R u=rwX,go=rX .; \
    test "$(chroot . /idcsync --version)" = "idcsync $VERSION"

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="idcsync" \
      org.opencontainers.image.description="Keeps AWS IAM Identity Center in step with Active Directory and other LDAP directories" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /image/ /
# The only place that is written to, and only with the state in SQLite; the rest may be mounted read-only. Its parent is
# what is copied: not every builder gives a directory that it copies, or finds there, to somebody else.
COPY --from=build --chown=65532:65532 /volume/ /var/lib/
VOLUME ["/var/lib/idcsync"]
WORKDIR /var/lib/idcsync
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
# SQLite looks for a place for large sorts, and there is no /tmp.
ENV IDCSYNC_CONFIG=/etc/idcsync/idcsync.toml \
    SQLITE_TMPDIR=/var/lib/idcsync
EXPOSE 8080
STOPSIGNAL SIGTERM
# Kubernetes has its own probes and ignores this one.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["/idcsync", "health"]
ENTRYPOINT ["/idcsync"]
CMD ["run"]
