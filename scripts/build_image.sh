#!/bin/sh
# Builds the container image $1 (cenet-serve) of this checkout. VARIANT, if set, goes to the Dockerfile.
# The build uses this machine's network, so that it reaches what the machine reaches.
set -eu
cd "$(dirname "$0")/.."
image=${1:-cenet-serve}

# What the Dockerfile builds on: every `FROM name:tag`, which leaves out its own stages.
bases() {
    sed -n 's/^FROM \([^ $]*:[^ $]*\)\( .*\)\{0,1\}$/\1/p' Dockerfile | sort -u
}

for base in $(bases); do
    docker image inspect "$base" >/dev/null 2>&1 || docker pull --quiet "$base" || {
        echo "The image $base isn't here and can't be fetched. Where no container registry is reached," \
            "scripts/base_images.sh makes it of Debian's packages (as root, with debootstrap)." >&2
        exit 1
    }
done

revision=$(git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || echo unknown)
docker build --network host --build-arg REVISION="$revision" ${VARIANT:+--build-arg VARIANT="$VARIANT"} --tag "$image" .
docker image inspect --format '{{index .RepoTags 0}} {{.Size}} bytes' "$image"
