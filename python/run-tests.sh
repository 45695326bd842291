#!/bin/sh
# Builds the Python package into the checkout's own virtual environment and runs all its tests:
# pytest (with the examples and the docstrings), mypy --strict and stubtest.
#
#   python/run-tests.sh [debug|release] [arguments for pytest]
#   python/run-tests.sh build [debug]    only builds and installs the package, in release
#   python/run-tests.sh environment      only makes the virtual environment
#
# Nothing is installed outside the checkout. CARGO_TARGET_DIR is respected; the environment is
# target/venv unless CAIRNLOG_VENV names another.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
venv=${CAIRNLOG_VENV:-$root/target/venv}
requirements=$root/python/requirements-dev.txt

profile=debug
only_build=
only_environment=
case "${1:-}" in
    debug | release) profile=$1; shift ;;
    build) profile=${2:-release}; only_build=yes; shift $# ;;
    environment) only_environment=yes ;;
esac
develop_arguments=
[ "$profile" = release ] && develop_arguments=--release

# The environment is complete when it holds a copy of the requirements it was made from.
if ! cmp -s "$requirements" "$venv/cairnlog-requirements.txt"; then
    python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "cairnlog needs Python 3.11 or later; PYTHON=... names one" >&2
        exit 1
    }
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$venv/cairnlog-requirements.txt"
fi
[ -z "$only_environment" ] || exit 0

cd "$root/python"
VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH
export VIRTUAL_ENV PATH
unset PYTHONHOME CONDA_PREFIX

maturin develop --quiet --locked $develop_arguments
[ -z "$only_build" ] || exit 0
python -m pytest "$@"
python -m mypy
python -m mypy.stubtest --mypy-config-file pyproject.toml cairnlog
