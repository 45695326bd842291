#!/bin/sh
# Installs the C library: header, shared and static library, pkg-config file, CMake package.
#
#     ffi/install.sh PREFIX BUILD_DIR
#
# BUILD_DIR holds libcairnlog.so and libcairnlog.a, usually target/release. DESTDIR, if set, is put
# before PREFIX. Installing again over an installation is fine.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 PREFIX BUILD_DIR" >&2
    exit 2
fi
source=$(cd "$(dirname "$0")/.." && pwd)
build=$2
for library in libcairnlog.so libcairnlog.a; do
    if [ ! -f "$build/$library" ]; then
        echo "$0: $build/$library is missing: cargo build --release -p cairnlog-ffi" >&2
        exit 1
    fi
done

version=$(sed -n 's/^#define CAIRN_VERSION_STRING "\(.*\)"$/\1/p' "$source/include/cairnlog.h")
major=${version%%.*}
rest=${version#*.}
minor=${rest%%.*}
soname_major=0
prefix=${DESTDIR:-}$1

# Writes a template with its placeholders filled.
fill() {
    sed -e "s/@VERSION@/$version/g" -e "s/@MAJOR@/$major/g" -e "s/@MINOR@/$minor/g" \
        -e "s/@SONAME_MAJOR@/$soname_major/g" "$1" >"$2"
    chmod 644 "$2"
}

mkdir -p "$prefix/include" "$prefix/lib/pkgconfig" "$prefix/lib/cmake/cairnlog" \
    "$prefix/share/doc/cairnlog"
install -m 644 "$source/include/cairnlog.h" "$prefix/include/cairnlog.h"
install -m 755 "$build/libcairnlog.so" "$prefix/lib/libcairnlog.so.$version"
ln -sf "libcairnlog.so.$version" "$prefix/lib/libcairnlog.so.$soname_major"
ln -sf "libcairnlog.so.$soname_major" "$prefix/lib/libcairnlog.so"
install -m 644 "$build/libcairnlog.a" "$prefix/lib/libcairnlog.a"
install -m 644 "$source/LICENSE" "$prefix/share/doc/cairnlog/LICENSE"
fill "$source/ffi/cairnlog.pc.in" "$prefix/lib/pkgconfig/cairnlog.pc"
for file in cairnlogConfig.cmake cairnlogConfigVersion.cmake; do
    fill "$source/ffi/cmake/$file" "$prefix/lib/cmake/cairnlog/$file"
done
