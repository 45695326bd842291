#!/usr/bin/env bash
# Builds what drives the other stores, those in Rust and those in Java, into a directory, by default
# target/peers of the checkout: release/peer-bench, java/classes and java/lib. RocksDB is compiled
# once, which takes ten minutes and more. What cannot be built is left out, and told.
#   build.sh [DIRECTORY]
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir -p "${1:-$root/target/peers}" || exit
output=$(cd "${1:-$root/target/peers}" && pwd)
pom=$root/bench/java-peers/pom.xml

# RocksDB's bindings are made by libclang. Where there is none, the one packed for Python serves; it
# lacks the compiler's own headers.
if [[ -z ${LIBCLANG_PATH:-} ]] && ! ldconfig -p | grep -E 'libclang(-[0-9.]+)?\.so' >/dev/null; then
  if [[ ! -d $output/libclang ]]; then
    "${PYTHON:-python3}" -m pip install --quiet --root-user-action=ignore --no-deps \
      --target "$output/libclang" --requirement "$root/bench/peers/requirements.txt"
  fi
  export LIBCLANG_PATH=$output/libclang/clang/native
  export BINDGEN_EXTRA_CLANG_ARGS="-isystem $(cc -print-file-name=include)"
fi

build_rust() {
  CARGO_TARGET_DIR=$output "${CARGO:-cargo}" build --release --locked \
    --manifest-path "$root/bench/peers/Cargo.toml" "$@"
}

if ! build_rust; then
  echo "build.sh: the stores in Rust could not all be built, trying without RocksDB" >&2
  build_rust --no-default-features || echo "build.sh: no store in Rust could be built" >&2
fi

# What the pom needs is there once one run has got through; after that Maven asks nobody.
fetched=$output/java/fetched-$(sha256sum "$pom" | cut -c1-16)
offline=()
[[ -e $fetched ]] && offline=(--offline)
if mvn --quiet --batch-mode "${offline[@]}" --file "$pom" "-Dpeers.output=$output/java" \
  "-Dmaven.repo.local=$output/m2" process-classes; then
  touch "$fetched"
else
  rm -rf "$output/java/classes"
  echo "build.sh: the stores in Java could not be built" >&2
fi
