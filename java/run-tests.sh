#!/usr/bin/env bash
# Builds and tests the native library and the Java package, the latter under -Xcheck:jni.
# Everything made lies in target/ of the checkout; a second run fetches nothing. Arguments go to
# Maven, as in: java/run-tests.sh -Dtest=RoundTripTest
# With CAIRNLOG_BUILT the native library was built, and its own tests are run elsewhere.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cargo_target=${CARGO_TARGET_DIR:-$root/target}
output=$root/target/java
repository=$root/target/m2
log=$output/verify.log
mkdir -p "$output" "$repository"
# What an earlier run left would be read as this one's complaints.
rm -rf "$output/surefire-reports"

if [[ -z ${CAIRNLOG_BUILT:-} ]]; then
  cargo test --manifest-path "$root/Cargo.toml" --locked -p cairnlog-jni
  cargo build --manifest-path "$root/Cargo.toml" --release --locked -p cairnlog-jni
fi

# What the pom needs is there once one run has got through; after that Maven asks nobody.
fetched=$repository/.cairnlog-java-$(sha256sum "$root/java/pom.xml" | cut -c1-16)
offline=()
[[ -e $fetched ]] && offline=(--offline)

status=0
mvn --batch-mode --no-transfer-progress "${offline[@]}" --file "$root/java/pom.xml" \
  "-Dmaven.repo.local=$repository" "-Dcairnlog.native.dir=$cargo_target/release" \
  verify "$@" 2>&1 | tee "$log" || status=$?
((status == 0)) || exit "$status"
touch "$fetched"

# The JVM reports a misuse of JNI as text, on a stream that Surefire takes for damage.
complaints='(WARNING|FATAL ERROR) in native method|JNI call made|WARNING: JNI'
if grep -rEn "$complaints" "$log" "$output/surefire-reports" --include='*.log' \
  --include='*.txt' --include='*.dumpstream'; then
  echo "java/run-tests.sh: -Xcheck:jni complains, see above" >&2
  exit 1
fi
