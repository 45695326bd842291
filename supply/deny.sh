#!/bin/sh
# Holds the crates of the product to deny.toml: licences, known vulnerabilities, sources; those of
# what is measured beside it to the same licences and sources. cargo-deny is built into target/tools
# when it is not there, which takes some minutes. Git fetches the database of vulnerabilities.
set -eu

version=0.20.2
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/target/tools
deny=$tools/bin/cargo-deny
cargo=${CARGO:-cargo}

if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
    # Without what would change the linker or the target directory of the project.
    (cd "$root" && env -u CARGO_TARGET_DIR \
        "$cargo" install --quiet --debug --locked --root "$tools" \
        --version "=$version" cargo-deny)
fi

config=$root/deny.toml
checks=all
cd "$root"
if ! "$deny" --config "$config" fetch db 2>"$tools/fetch.log"; then
    checks='licenses bans sources'
    cat "$tools/fetch.log" >&2
    echo '*******************************************************************************' >&2
    echo 'supply/deny.sh: THE DATABASE OF KNOWN VULNERABILITIES CANNOT BE REACHED FROM HERE.' >&2
    echo 'Licences, bans and sources are checked; KNOWN VULNERABILITIES ARE NOT.' >&2
    echo '*******************************************************************************' >&2
fi

echo "the product: $checks"
# shellcheck disable=SC2086 # one word for each check
"$deny" --config "$config" --locked check $checks
# Other people's stores, as they are released: given to nobody, so what is known of them is theirs.
echo 'what is measured beside it: licenses bans sources'
"$deny" --manifest-path bench/peers/Cargo.toml --config "$config" --locked check \
    licenses bans sources
