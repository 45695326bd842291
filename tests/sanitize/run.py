"""Runs the tests in Rust, C and Python under AddressSanitizer and ThreadSanitizer.

    python3 tests/sanitize/run.py [--sanitizer address|thread] [--part rust|c|python] [--only NAME]
    python3 tests/sanitize/run.py --short

The engine is instrumented in each of them. First a defect of each kind has to be reported, as the
part would meet it. Reports of whatever process go to `target/sanitize/<sanitizer>/<part>`; one is a
failure. Figures are printed, and written to `target/sanitize.json`. The short form has the tests of
the C ABI in Rust alone, which take the engine through raw pointers; where the tools are missing it
says so and runs nothing.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
TRIPLE = f"{platform.machine()}-unknown-linux-gnu"
TOOLCHAIN = os.environ.get("SANITIZE_TOOLCHAIN", "nightly")
# What is not about memory (the header's text, exported symbols, an installation) stays out.
C_ABI_TESTS = ["-p", "cairnlog-ffi", "--lib"]
RUST_TESTS = [
    ["-p", "cairnlog", "--lib", "--tests"],
    C_ABI_TESTS,
    ["-p", "cairnlog-cli", "--bins", "--tests"],
]
REPORT = re.compile(r"(?m)^(?:==\d+==ERROR: |WARNING: )(?:\w+Sanitizer): .*$")
DEFECTS = {"address": 1, "thread": 2}
# Seen where it happens, and not only where the runtime takes a call of the defective program's.
FIRST_FRAME = r"[\s\S]*?of size 8 at .*\n +#0 .*/defect\.(?:rs|c):"
EXPECTED = {
    "address": re.compile("AddressSanitizer: heap-use-after-free" + FIRST_FRAME),
    "thread": re.compile("ThreadSanitizer: data race" + FIRST_FRAME),
}

MISSING = """The sanitizers need a nightly compiler with its sources, and clang of the same LLVM
({0}) with its runtimes and llvm-symbolizer:
rustup toolchain install nightly --profile minimal --component rust-src
apt install clang-{0} llvm-{0}"""


@dataclasses.dataclass
class Tools:
    """What is built with."""

    sanitizer: str
    clang: str
    compiler: str

    @property
    def directory(self):
        """Where everything of this sanitizer goes."""
        return TARGET / "sanitize" / self.sanitizer

    @property
    def flags(self):
        """The compiler's flags. One runtime, clang's, serves Rust and C."""
        flags = [f"-Zsanitizer={self.sanitizer}", "-Zexternal-clangrt", f"-Clinker={self.clang}"]
        flags += [f"-Clink-arg=-fsanitize={self.sanitizer}"]
        return flags + ["--cfg", f"cairnlog_{self.sanitizer}_sanitizer"]

    @property
    def runtime(self):
        """The runtime that is loaded before a program that was not linked with it."""
        names = {"address": "asan", "thread": "tsan"}
        name = f"libclang_rt.{names[self.sanitizer]}-{platform.machine()}.so"
        return output_of([self.clang, f"-print-file-name={name}"])

    @property
    def symbolizer(self):
        """What has names for addresses: suppressions need them."""
        return output_of([self.clang, "-print-prog-name=llvm-symbolizer"])

    def cargo(self, command, *arguments):
        """A command of cargo's for the instrumented target. The standard library has atomics and
        locks that ThreadSanitizer has to see, so it is compiled as well."""
        line = ["cargo", f"+{TOOLCHAIN}", command, "--locked", "--target", TRIPLE]
        return line + ["-Zbuild-std"] * (self.sanitizer == "thread") + list(arguments)

    def environment(self, reports, **more):
        """The environment to build and to run in, with reports in files that begin with a path."""
        options = {
            "log_path": reports,
            "log_exe_name": 1,
            "exitcode": 66,
            "detect_leaks": 1,
            # The engine has a handler of its own.
            "handle_sigbus": 0,
            "external_symbolizer_path": self.symbolizer,
        }
        thread = {"suppressions": HERE / "thread.supp", "history_size": 4, "die_after_fork": 0}
        return {
            **os.environ,
            "CARGO_TARGET_DIR": str(self.directory),
            "RUSTFLAGS": " ".join(self.flags),
            "ASAN_OPTIONS": joined(options),
            "TSAN_OPTIONS": joined(options | {"detect_leaks": 0} | thread),
            # Their number finds faults of the format, not of memory.
            "CAIRNLOG_POWERCUT_STATES": "4000",
            **more,
        }


def joined(options):
    """Options as a sanitizer's runtime takes them."""
    return ":".join(f"{name}={value}" for name, value in options.items())


def output_of(command):
    """What a command prints, or None if it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def find_tools(sanitizer):
    """The tools; or None and what is missing."""
    version = output_of(["rustc", f"+{TOOLCHAIN}", "-vV"]) or ""
    found = re.search(r"(?m)^LLVM version: (\d+)", version)
    llvm = found[1] if found else "?"
    for clang in (os.environ.get("CLANG"), f"clang-{llvm}", "clang"):
        major = output_of([clang, "-dumpversion"]) if clang else None
        if major and major.split(".")[0] == llvm:
            tools = Tools(sanitizer, clang, version.splitlines()[0])
            if pathlib.Path(tools.runtime).is_file() and pathlib.Path(tools.symbolizer).is_file():
                return tools, None
    return None, MISSING.format(llvm)


def run(command, log, environment, directory=ROOT):
    """Runs a command with its output in a file as well; its status and output."""
    print("+ " + " ".join(map(str, command)), flush=True)
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            command, cwd=directory, env=environment, stdout=out, stderr=out, check=False
        )
    return done.returncode, log.read_text(encoding="utf-8", errors="replace")


def build(command, log, environment):
    """Runs a command that has to work."""
    status, text = run(command, log, environment)
    if status != 0:
        print("\n".join(text.splitlines()[-60:]))
        sys.exit(f"{command[0]} failed: all of it is in {log}")


def check_that_defects_are_reported(tools, part, python=None):
    """A run that reports nothing tells something only if it would report."""
    work = tools.directory / "defects" / part
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    environment = tools.environment(work / "unused")
    rustc = ["rustc", f"+{TOOLCHAIN}", "--edition=2024", "-g", "--target", TRIPLE]
    # That standard library which comes with the compiler is good enough for these.
    rustc += [*tools.flags, "-Cunsafe-allow-abi-mismatch=sanitizer", HERE / "defect.rs"]
    kind = DEFECTS[tools.sanitizer]
    ways = []
    if part == "rust":
        build([*rustc, "-o", work / "defect"], work / "build.log", environment)
        ways = [[work / "defect"]]
    else:
        library = work / "libdefect.so"
        build([*rustc, "--crate-type=cdylib", "-o", library], work / "build.log", environment)
    if part == "c":
        program = [tools.clang, f"-fsanitize={tools.sanitizer}", "-g", "-pthread"]
        program += [HERE / "defect.c", library, f"-Wl,-rpath,{work}", "-o", work / "defect"]
        build(program, work / "build-c.log", environment)
        ways = [[work / "defect", "c"], [work / "defect", "rust"]]
    if part == "python":
        call = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).defect(int(sys.argv[2]))"
        ways = [[python, "-c", call, library]]
    for number, way in enumerate(ways):
        reports = work / f"report-{number}"
        environment = part_environment(tools, part, reports)
        sound, _ = run([*way, "0"], work / "sound.log", environment)
        if sound != 0 or list(work.glob(f"{reports.name}*")):
            sys.exit(f"{way[0]} without a defect ends with {sound}: see {work}")
        status, _ = run([*way, str(kind)], work / "defect.log", environment)
        texts = [path.read_text(errors="replace") for path in work.glob(f"{reports.name}*")]
        if status != 66 or not any(map(EXPECTED[tools.sanitizer].search, texts)):
            sys.exit(f"a defect goes unreported by {way[0]}, which ends with {status}: see {work}")


def part_environment(tools, part, reports):
    """The environment of a part's programs."""
    environment = tools.environment(reports)
    if part == "python":
        # The interpreter keeps what it made until it ends, and is not instrumented.
        environment["ASAN_OPTIONS"] += ":detect_leaks=0"
        environment["LD_PRELOAD"] = tools.runtime
        environment["PYTHONMALLOC"] = "malloc"
    return environment


def check_that_it_is_instrumented(tools, library):
    """The engine inside a library calls the sanitizer."""
    symbols = output_of(["nm", "-D", "--undefined-only", library]) or ""
    wanted = {"address": "__asan_report_load8", "thread": "__tsan_read8"}[tools.sanitizer]
    if wanted not in symbols:
        sys.exit(f"{library} is not instrumented")


def rust_part(tools, work, only, tests=RUST_TESTS):
    """The tests in Rust; how many passed and failed."""
    environment = part_environment(tools, "rust", work / "report")
    if tests is RUST_TESTS:
        # Tests run them. As tests of their own they have nothing to do.
        build(tools.cargo("build", "-p", "cairnlog", "--examples"), work / "build.log", environment)
    passed = failed = 0
    for number, packages in enumerate(tests):
        line = tools.cargo("test", "--no-fail-fast", *packages)
        line += ["--", only] if only else []
        status, text = run(line, work / f"tests-{number}.log", environment)
        results = re.findall(r"(?m)^test result: .*?(\d+) passed; (\d+) failed", text)
        passed += sum(int(result[0]) for result in results)
        failures = sum(int(result[1]) for result in results)
        # A program may end without a count.
        failed += failures or int(status != 0)
    return passed, failed


def c_part(tools, work, only):
    """The tests and examples in C; how many steps passed and failed."""
    environment = part_environment(tools, "c", work / "report")
    build(tools.cargo("build", "-p", "cairnlog-ffi"), work / "build.log", environment)
    libraries = tools.directory / TRIPLE / "debug"
    check_that_it_is_instrumented(tools, libraries / "libcairnlog.so")
    environment |= {
        "BUILD_DIR": str(libraries),
        "SANITIZER": tools.sanitizer,
        "CC": tools.clang,
        "ONLY": only or "",
    }
    status, text = run(["tests/c/run.sh"], work / "tests.log", environment)
    result = re.search(r"(?m)^c: (\d+) passed, (\d+) failed", text)
    passed, failed = (int(result[1]), int(result[2])) if result else (0, 1)
    return passed, failed or int(status != 0)


def python_part(tools, work, only):
    """The tests in Python; how many passed and failed."""
    environment = tools.environment(work / "report")
    build(tools.cargo("build", "-p", "cairnlog-python"), work / "build.log", environment)
    library = tools.directory / TRIPLE / "debug" / "lib_native.so"
    check_that_it_is_instrumented(tools, library)
    package = work / "package" / "cairnlog"
    shutil.rmtree(work / "package", ignore_errors=True)
    shutil.copytree(ROOT / "python/cairnlog", package, ignore=shutil.ignore_patterns("_native*.so"))
    shutil.copy(library, package / "_native.abi3.so")
    environment = part_environment(tools, "python", work / "report")
    environment["PYTHONPATH"] = str(package.parent)
    line = [venv_python(), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    line += ["-c", ROOT / "python/pyproject.toml", ROOT / "python/tests"]
    line += ["-k", only] if only else []
    status, text = run(line, work / "tests.log", environment, directory=work)
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|error)", text)}
    failed = counts.get("failed", 0) + counts.get("error", 0)
    return counts.get("passed", 0), failed or int(status != 0)


def venv_python():
    """The interpreter that the tests in Python have."""
    venv = pathlib.Path(os.environ.get("CAIRNLOG_VENV", ROOT / "target/venv"))
    return venv / "bin" / "python"


def short_part(tools, work, only):
    """The tests of the C ABI in Rust; how many passed and failed."""
    return rust_part(tools, work, only, [C_ABI_TESTS])


PARTS = {"rust": rust_part, "c": c_part, "python": python_part}
SHORT = {"rust": short_part}


def run_part(tools, part, tests, only):
    """Runs a part; its figures."""
    work = tools.directory / part
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    python = None
    if part == "python":
        build(["python/run-tests.sh", "environment"], work / "environment.log", os.environ)
        python = venv_python()
    check_that_defects_are_reported(tools, part, python)
    started = time.monotonic()
    passed, failed = tests(tools, work, only)
    texts = [path.read_text(errors="replace") for path in sorted(work.glob("report*"))]
    reports = [line for text in texts for line in REPORT.findall(text)]
    if failed or texts:
        print("\n".join(text[:6000] for text in texts[:5]))
        print(f"{tools.sanitizer}, {part}: output and reports are in {work}", flush=True)
    figures = {
        "passed": passed,
        "failed": failed,
        # A program that was killed while it wrote has no line that tells what it found.
        "reports": max(len(reports), len(texts)),
        "seconds": round(time.monotonic() - started),
    }
    print(f"{tools.sanitizer}, {part}: {json.dumps(figures)}", flush=True)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sanitizer", choices=DEFECTS, action="append")
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--only", help="tests whose name has this in it")
    parser.add_argument("--short", action="store_true", help="what is run with all other tests")
    arguments = parser.parse_args()
    parts = SHORT if arguments.short else PARTS
    report = {"machine": f"{platform.machine()}, {os.cpu_count()} processors", "runs": {}}
    for sanitizer in arguments.sanitizer or DEFECTS:
        tools, missing = find_tools(sanitizer)
        if missing and arguments.short:
            print(f"*** LEFT OUT: {sanitizer}: {missing} ***", file=sys.stderr)
            continue
        if missing:
            sys.exit(missing)
        report["compiler"] = tools.compiler
        for part in arguments.part or parts:
            figures = run_part(tools, part, parts[part], arguments.only)
            report["runs"][f"{sanitizer} {part}"] = figures
            text = json.dumps(report, indent=2) + "\n"
            (TARGET / "sanitize.json").write_text(text, encoding="utf-8")
    runs = report["runs"].values()
    sound = all(run["passed"] and not run["failed"] and not run["reports"] for run in runs)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
