#!/bin/sh
# Compiles and runs the C tests and examples: as C11 and C17 with every warning an error, against
# the shared and the static library, as C++17, and once more under the address and undefined
# behaviour sanitizers. Where they do not run, nothing may be left but memory: no thread, no
# descriptor and no mapping. Output goes to target/c alone; a second run starts afresh.
#
#     BUILD_DIR=target/release tests/c/run.sh
#
# BUILD_DIR holds libcairnlog.so and libcairnlog.a; by default target/release, else target/debug.
#
# SANITIZER=address or thread says that those are instrumented. Then everything is compiled with
# that sanitizer, by CC, which has the runtime they were built for, and once with each library.
# ONLY=... leaves those whose name has that in it.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
build=${BUILD_DIR:-}
if [ -z "$build" ]; then
    build=target/debug
    if [ -f target/release/libcairnlog.so ]; then
        build=target/release
    fi
fi
for library in libcairnlog.so libcairnlog.a; do
    if [ ! -f "$build/$library" ]; then
        echo "$0: $build/$library is missing: cargo build --release -p cairnlog-ffi" >&2
        exit 1
    fi
done
build=$(cd "$build" && pwd)
sanitizer=${SANITIZER:-}
work=$root/target/c${sanitizer:+-$sanitizer}
limit_seconds=120
rm -rf "$work"
mkdir -p "$work/lib" "$work/logs" "$work/stores"
# The name that programs look for is the soname.
ln -s "$build/libcairnlog.so" "$work/lib/libcairnlog.so"
ln -s "$build/libcairnlog.so" "$work/lib/libcairnlog.so.0"

warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"
include="-I$root/include -I$root/tests/c"
shared="-L$work/lib -lcairnlog -Wl,-rpath,$work/lib -pthread"
static="$build/libcairnlog.a -lgcc_s -lpthread -lm -ldl"
sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
passed=0
failed=0

# Runs a step with its output kept in a file, and counts how it ended.
step() {
    step=$1
    shift
    if timeout "$limit_seconds" "$@" >"$work/logs/$step.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok      $step"
    else
        failed=$((failed + 1))
        echo "FAILED  $step: $*"
        sed 's/^/        /' "$work/logs/$step.log"
    fi
}

# Whether the hook looked at a program, once, and found nothing.
cat >"$work/nothing_left" <<'END'
#!/bin/sh
cat "$1"
[ "$(wc -l <"$1")" = 1 ] && grep -q '^looked ' "$1"
END
chmod +x "$work/nothing_left"

# Compiles a source file in one way and runs it in an empty directory of its own.
compile_and_run() {
    source=$1
    way=$2
    shift 2
    name=$(basename "${source%.*}")
    program=$name-$way
    store=$work/stores/$program
    case $name in
    # Reads what the quick start, which comes before it, has stored.
    read_all) store=$work/stores/quickstart-$way ;;
    esac
    mkdir -p "$store"
    step "compile-$program" "$@" -o "$work/$program"
    if [ -x "$work/$program" ]; then
        case $way in
        # The sanitizer is its own judge of memory, and wants to be loaded first.
        sanitized | address* | thread*) step "run-$program" "$work/$program" "$store" ;;
        *)
            step "run-$program" env LD_PRELOAD="$hook" LEAKS_REPORT="$work/logs/left-$program" \
                "$work/$program" "$store"
            step "nothing-left-$program" "$work/nothing_left" "$work/logs/left-$program"
            ;;
        esac
    fi
    case $name in
    quickstart) ;;
    read_all)
        step "output-$program" grep -c '^20 pears$' "$work/logs/run-$program.log"
        rm -rf "$store"
        ;;
    consume_group)
        # Ten orders; the fourth failed once and came again.
        log=$work/logs/run-$program.log
        step "output-$program" sh -c "[ \$(grep -c '^order ' '$log') = 10 ] &&
            tail -1 '$log' | grep '^order 3, tried before: 1\$'"
        rm -rf "$store"
        ;;
    consume)
        # Six of ten orders are paid; the last line is what a key found.
        log=$work/logs/run-$program.log
        step "output-$program" sh -c "[ \$(grep -c ' paid order ' '$log') = 6 ] &&
            tail -1 '$log' | grep '^3 cancelled order 3\$'"
        rm -rf "$store"
        ;;
    *) rm -rf "$store" ;;
    esac
}

# Runs the tests with instrumented libraries.
instrumented() {
    options="-std=c17 -D_POSIX_C_SOURCE=200809L -g -fsanitize=$sanitizer -fno-omit-frame-pointer"
    for source in tests/c/test_*.c ffi/examples/*.c; do
        case $source in
        *"${ONLY:-}"*) ;;
        *) continue ;;
        esac
        # Words of the options are to be split.
        # shellcheck disable=SC2086
        compile_and_run "$source" "$sanitizer" \
            "${CC:-clang}" $options $warnings $include "$source" $shared
        # shellcheck disable=SC2086
        compile_and_run "$source" "$sanitizer-static" \
            "${CC:-clang}" $options $warnings $include "$source" $static
    done
    echo "c: $passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}

if [ -n "$sanitizer" ]; then
    instrumented
    exit
fi

# Threads, descriptors and mappings that a program leaves are found.
hook=$work/hook.so
step compile-hook cc -std=gnu11 -O1 -shared -fPIC -pthread -o "$hook" tests/leaks/hook.c
step compile-leaker cc -std=gnu11 -pthread -o "$work/leaker" tests/leaks/leaker.c
for left in nothing thread descriptor mapping; do
    report=$work/logs/left-leaker-$left
    step "leave-$left" env TMPDIR="$work" LD_PRELOAD="$hook" LEAKS_WAIT_MS=100 \
        LEAKS_REPORT="$report" "$work/leaker" "$left"
    case $left in
    nothing) step "nothing-left-leaker" "$work/nothing_left" "$report" ;;
    *) step "found-$left" grep -q "^$left " "$report" ;;
    esac
done

for source in tests/c/test_*.c ffi/examples/*.c; do
    # Words of the options are to be split.
    # shellcheck disable=SC2086
    for standard in c11 c17; do
        compile_and_run "$source" "$standard" \
            cc -std=$standard -D_POSIX_C_SOURCE=200809L -g $warnings $include "$source" $shared
    done
    # shellcheck disable=SC2086
    compile_and_run "$source" static \
        cc -std=c11 -D_POSIX_C_SOURCE=200809L -g $warnings $include "$source" $static
    # shellcheck disable=SC2086
    compile_and_run "$source" sanitized \
        cc -std=c11 -D_POSIX_C_SOURCE=200809L -g $sanitize $warnings $include "$source" $shared
done
# shellcheck disable=SC2086
compile_and_run tests/c/header.cc cpp17 c++ -std=c++17 $warnings $include tests/c/header.cc $shared

# A status that nobody looks at is a compile error.
# shellcheck disable=SC2086
step status-must-be-checked sh -c "! cc -std=c11 $warnings $include -c tests/c/must_check.c \
    -o $work/must_check.o && grep -q unused-result '$work/logs/status-must-be-checked.log'"

# Every exported function is called with NULL.
missing() {
    while read -r symbol; do
        grep -q "\\b$symbol(" tests/c/test_null.c || echo "test_null.c does not call $symbol"
    done <ffi/abi/symbols.txt >"$work/missing"
    cat "$work/missing"
    [ ! -s "$work/missing" ]
}
if missing; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
fi

echo "c: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
