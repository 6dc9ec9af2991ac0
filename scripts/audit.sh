#!/usr/bin/env bash
# Holds what others wrote and we build on against our rules (deny.toml) and against what is known to be dangerous.
# Licences, bans and sources are always checked. Advisories come from elsewhere: where a source can't be reached, that is said,
# and with AUDIT_STRICT=1 it is a failure.
set -euo pipefail
cd "$(dirname "$0")/.."
deny=$1 pip_audit=$2
unreached=0

not_checked() {
    printf '\nNOT CHECKED: %s\n' "$1"
    unreached=1
}

"$deny" --locked check --hide-inclusion-graph --allow duplicate bans licenses sources
"$deny" --locked --manifest-path fuzz/Cargo.toml --config deny.toml check --hide-inclusion-graph --allow duplicate bans licenses sources

if "$deny" --locked fetch db > /dev/null 2>&1; then
    "$deny" --locked check advisories
    "$deny" --locked --manifest-path fuzz/Cargo.toml --config deny.toml check advisories
else
    not_checked "Rust's advisories, because their database (RustSec) can't be reached"
fi

for lock in $(git ls-files '*requirements*.lock'); do
    told=$("$pip_audit" --disable-pip --require-hashes --vulnerability-service pypi --requirement "$lock" 2>&1) || {
        printf '%s\n%s\n' "$lock" "$told"
        exit 1
    }
    if grep -q 'could not be audited' <<< "$told"; then
        not_checked "Python's advisories for $lock, because the package index doesn't tell them"
    fi
done

[ "$unreached" = 0 ] || [ -z "${AUDIT_STRICT:-}" ]
