#!/bin/sh
# Writes the software bill of materials of the product:
#
#   supply/sbom.sh [FILE]                by default target/sbom/cairnlog.cdx.json
#
# Nothing is installed outside the checkout: the CycloneDX library is in target/sbom-venv.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
venv=$root/target/sbom-venv
requirements=$root/supply/requirements.txt

# The environment is complete when it holds a copy of the requirements it was made from.
if ! cmp -s "$requirements" "$venv/cairnlog-requirements.txt"; then
    [ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$venv/cairnlog-requirements.txt"
fi

exec "$venv/bin/python" "$root/supply/sbom.py" "${1:-$root/target/sbom/cairnlog.cdx.json}"
