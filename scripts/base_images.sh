#!/bin/sh
# Makes the images that the Dockerfile builds on, under their names, on a machine that reaches no container registry:
# Debian's from its packages (as root, by debootstrap), Rust's from that and this machine's toolchain.
# How this machine reaches packages (sources, certificates, settings of pip and cargo) goes into the local images too.
set -eu

DEBIAN=debian:bookworm-slim
RUST=rust:1.95-slim-bookworm

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root

have() {
    docker image inspect "$1" >/dev/null 2>&1
}

# Copies a file or folder of this machine, if it is there, to the same place below $2, or to $3 below it.
copy_if_there() {
    [ -e "$1" ] || return 0
    mkdir -p "$(dirname "$2${3:-$1}")"
    cp -rL "$1" "$2${3:-$1}"
}

make_debian() {
    debootstrap --variant=minbase bookworm "$root" >"$scratch/log" || { tail "$scratch/log" >&2; exit 1; }
    if [ -e /etc/apt/sources.list.d/debian.sources ]; then
        rm "$root/etc/apt/sources.list"
        copy_if_there /etc/apt/sources.list.d/debian.sources "$root"
    else
        copy_if_there /etc/apt/sources.list "$root"
    fi
    # what Debian's slim image leaves out, here and in packages to come
    cat >"$root/etc/dpkg/dpkg.cfg.d/slim" <<'SLIM'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
SLIM
    echo 'APT::Install-Recommends "false";' >"$root/etc/apt/apt.conf.d/slim"
    find "$root/usr/share/doc" ! -type d ! -name copyright -delete
    find "$root/usr/share/doc" -type d -empty -delete
    rm -rf "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/usr/share/man/* \
        "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old "$root"/var/log/*
    tar -C "$root" -c . | docker import --change 'CMD ["bash"]' - "$DEBIAN" >/dev/null
}

make_rust() {
    context=$scratch/context
    sysroot=$(rustc --print sysroot)
    mkdir -p "$context/toolchain/lib" "$context/host"
    cp -a "$sysroot/bin" "$context/toolchain/"
    tar -C "$sysroot/lib" --exclude=rustlib/src -c . | tar -C "$context/toolchain/lib" -x
    copy_if_there /etc/ssl/certs/ca-certificates.crt "$context/host"
    copy_if_there /usr/local/share/ca-certificates "$context/host"
    copy_if_there /etc/pip.conf "$context/host"
    copy_if_there "$HOME/.config/pip/pip.conf" "$context/host" /root/.config/pip/pip.conf
    copy_if_there "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$context/host" /usr/local/cargo/config.toml
    cat >"$context/Dockerfile" <<BUILD
FROM $DEBIAN
RUN apt-get update && apt-get install --yes ca-certificates gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY toolchain /usr/local
COPY host /
ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
BUILD
    docker build --quiet --network host --tag "$RUST" "$context" >/dev/null
}

have "$DEBIAN" || make_debian
have "$RUST" || make_rust
docker image inspect --format '{{index .RepoTags 0}} {{.Size}} bytes' "$DEBIAN" "$RUST"
