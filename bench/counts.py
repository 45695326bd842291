"""Counts the instructions of an append, and of what else is done for each message.

    python3 bench/counts.py [--bless] [--binary FILE]

Instructions are counted by callgrind, so that a machine that is busy or of another kind changes
nothing. Counted are those of the program itself; those of the C library, which chooses other ones
for other processors, and of the kernel are not. They are compared with `bench/counts.json`, which
also says by what part they may grow; `--bless` writes it anew.
"""

import argparse
import collections
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

BENCH = pathlib.Path(__file__).resolve().parent
KEPT = BENCH / "counts.json"
BINARY = BENCH.parent / "target" / "release" / "cairnlog-counts"

MISSING = """valgrind is missing, and without it nobody sees when an append takes more instructions.
Install it: apt-get install valgrind, dnf install valgrind, or pacman -S valgrind."""
# The function in which instructions are counted, and the one behind it.
MEASURED = "cairnlog_counts::measured*"
REPORT = "cairnlog_counts::report*"


def own_instructions(profile, binary):
    """What the program itself executed, of a file that callgrind wrote."""
    names, own, inclusive, total = {}, False, False, 0
    for line in profile.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("ob="):
            number, _, name = line[3:].partition(" ")
            name = names.setdefault(number, name)
            own = pathlib.Path(name) == binary
        elif line.startswith("cob="):
            number, _, name = line[4:].partition(" ")
            names.setdefault(number, name)
        elif line.startswith("calls="):
            inclusive = True
        elif re.match(r"[+*-]?\d*\s+\d+$", line):
            # Behind a call stands what was executed in there, which is listed there, too.
            total += int(line.split()[1]) if own and not inclusive else 0
            inclusive = False
    return total


def count(binary):
    """The least instructions of each act, in one of the rounds."""
    with tempfile.TemporaryDirectory(dir=binary.parent) as directory:
        directory = pathlib.Path(directory)
        (directory / "stores").mkdir()
        command = ["valgrind", "--tool=callgrind", f"--toggle-collect={MEASURED}"]
        command += [f"--dump-before={REPORT}", f"--callgrind-out-file={directory}/profile"]
        command += ["--quiet", str(binary), str(directory / "stores")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        counts = collections.defaultdict(list)
        for number, line in enumerate(done.stdout.splitlines(), start=1):
            name, repetitions = line.split("\t")
            own = own_instructions(directory / f"profile.{number}", binary)
            if own == 0:
                what = f"callgrind counted nothing for {name!r}"
                sys.exit(f"{what}: did {MEASURED} get another name?")
            counts[name].append(own // int(repetitions))
    return {name: min(rounds) for name, rounds in counts.items()}


def differences(kept, counted):
    """A line for each act that is new, gone, or takes more than it may."""
    growth = kept["allowed_growth"]
    for name, now in counted.items():
        before = kept["instructions"].get(name)
        if before is None:
            yield f"{name}: not counted before, {now} now"
        elif now > before * (1 + growth):
            percent = 100 * (now / before - 1) if before else 100
            yield f"{name}: grew from {before} to {now} instructions, by {percent:.1f} %"
    for name in kept["instructions"].keys() - counted.keys():
        yield f"{name}: is counted no more"


def main():
    """Counts, and compares or keeps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bless", action="store_true", help=f"write {KEPT.name} anew")
    parser.add_argument("--binary", type=pathlib.Path, default=BINARY)
    arguments = parser.parse_args()
    if shutil.which("valgrind") is None:
        sys.exit(MISSING)
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    if kept["processor"] != platform.machine() and not arguments.bless:
        sys.exit(f"{KEPT} has the counts of {kept['processor']}, this is {platform.machine()}")
    counted = count(arguments.binary.resolve())
    if arguments.bless:
        kept |= {"processor": platform.machine(), "instructions": counted}
        KEPT.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        return
    different = list(differences(kept, counted))
    if different:
        lines = "\n  ".join(different)
        sys.exit(
            f"instructions for each message, of which {100 * kept['allowed_growth']:g} % more are"
            f" allowed:\n  {lines}\n`make counts-bless` keeps the new ones, if they are meant."
        )
    print(f"{len(counted)} counts of instructions are as they were, or less")


if __name__ == "__main__":
    main()
