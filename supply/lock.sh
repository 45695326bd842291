#!/bin/sh
# Pins what pip installs: for each requirements*.in, which names what is wanted, the file beside it
# gets that and all it needs, with the hash of every archive, for every Python from 3.11 on. Pip
# then takes nothing else.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
venv=$root/target/lock-venv

[ -x "$venv/bin/uv" ] || {
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9
}

cd "$root"
for wanted in $(git ls-files '*requirements*.in'); do
    "$venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate "$wanted" -o "${wanted%.in}.txt"
done
