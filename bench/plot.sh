#!/bin/sh
# Draws the plots of a run of bench/run.py, or of tests/soak/run.py:
#
#   bench/plot.sh target/bench.json docs/plots
#
# Nothing is installed outside the checkout: what draws is in target/plot-venv, or where
# CAIRNLOG_PLOT_VENV says.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
venv=${CAIRNLOG_PLOT_VENV:-$root/target/plot-venv}
requirements=$root/bench/requirements.txt

# The environment is complete when it holds a copy of the requirements it was made from.
if ! cmp -s "$requirements" "$venv/cairnlog-requirements.txt"; then
    [ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$venv/cairnlog-requirements.txt"
fi

PYTHONPATH=$root/bench exec "$venv/bin/python" -m suite.plots "$@"
