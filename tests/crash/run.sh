#!/usr/bin/env bash
# Builds the writers in C and Java, and what makes writers slow, and runs the test of crashes.
#
#   KILLS=200 [SEED=n] [STORE=n] tests/crash/run.sh
#
# CAIRNLOG_TARGET holds the libraries (default target/release). The Python package must be in
# target/venv (python/run-tests.sh build); CAIRNLOG_VENV names another environment. Stores are made
# below target/crash and, where there is one, in memory below /dev/shm.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/tests/crash
built=$(cd "${CAIRNLOG_TARGET:-$root/target/release}" && pwd)
cargo_target=${CARGO_TARGET_DIR:-$root/target}
venv=${CAIRNLOG_VENV:-$root/target/venv}
work=$root/target/crash
hosts=$work/hosts
rm -rf "$work"
mkdir -p "$hosts/lib" "$work/classes"

# The engine's own assertions are on in the writer in Rust, and in what looks at the stores.
read -ra packages <<<"${CAIRNLOG_PACKAGES:--p cairnlog-crash -p cairnlog-cli}"
"${CARGO:-cargo}" build --quiet --manifest-path "$root/Cargo.toml" --locked "${packages[@]}" \
  --bins --tests

# The name that programs look for is the soname.
ln -s "$built/libcairnlog.so" "$hosts/lib/libcairnlog.so"
ln -s "$built/libcairnlog.so" "$hosts/lib/libcairnlog.so.0"
"${CC:-cc}" -std=c11 -O1 -g -Wall -Wextra -Wpedantic -Werror "-I$root/include" -pthread \
  -o "$hosts/c" "$here/hosts/host.c" "-L$hosts/lib" -lcairnlog "-Wl,-rpath,$hosts/lib"

"${CC:-cc}" -shared -fPIC -O1 -Wall -Wextra -Werror -o "$hosts/slow.so" "$here/hosts/slow.c" -ldl

# Each starts as the process that is killed.
launcher() {
  printf '#!/bin/sh\nexec %s "$@"\n' "$2" >"$hosts/$1"
  chmod +x "$hosts/$1"
}

find "$root/java/src/main/java" -name '*.java' -print0 |
  xargs -0 javac --release 11 -encoding UTF-8 -d "$work/classes" "$here/hosts/Host.java"
launcher java "java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto \
  '-Dio.cairnlog.library.path=$built/libcairnlog_jni.so' -cp '$work/classes' Host"
launcher python "'$venv/bin/python' '$here/hosts/host.py'"

directories=(--directory "$work/stores")
memory=
if [[ -d /dev/shm && -w /dev/shm ]]; then
  memory=$(mktemp -d /dev/shm/cairnlog-crash-XXXXXX)
  directories+=(--directory "$memory")
fi

status=0
"$cargo_target/debug/cairnlog-crash" run --kills "${KILLS:-200}" \
  ${SEED:+--seed "$SEED"} ${STORE:+--store "$STORE"} --tool "$cargo_target/debug/cairnlog" \
  --hosts "$hosts" "${directories[@]}" --report "$root/target/crash.json" || status=$?
# A store that failed stays there to be looked at.
if [[ -n $memory ]] && ! compgen -G "$memory/store-*" >/dev/null; then
  rm -rf "$memory"
fi
exit "$status"
