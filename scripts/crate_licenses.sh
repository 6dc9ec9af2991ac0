#!/bin/sh
# Prints the crates of others that are linked into cenet-serve, and the one whose files are (Swagger UI), with their licences and notices.
set -eu

sources="${CARGO_HOME:-$HOME/.cargo}/registry/src"

{
    cargo tree --locked --edges normal --prefix none --format '{p} {l}'
    cargo tree --locked --edges build --depth 1 --prefix none --format '{p} {l}' | grep '^utoipa-swagger-ui-vendored '
} | sed -e '/ (\//d' -e 's/ (\*)$//' | sort -u |
while read -r name version license; do
    printf '\n==== %s %s: %s\n' "$name" "$version" "$license"
    find "$sources"/*/"$name-${version#v}" -maxdepth 2 -type f \
        \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' \) -exec cat {} + 2>/dev/null || true
done
