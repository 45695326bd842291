"""The README's snippets are parts of files that the tests run; its shell snippet is run here."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CAIRNLOG_TARGET", ROOT / "target" / "debug"))
SNIPPET = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


def flattened(text: str) -> list[str]:
    """The lines without their indentation: a snippet stands further left than its file has it."""
    return [line.strip() for line in textwrap.dedent(text).strip().splitlines()]


def test_every_snippet_is_part_of_its_file() -> None:
    snippets = SNIPPET.findall((ROOT / "README.md").read_text())
    assert {Path(name).suffix for name, _ in snippets} == {".rs", ".c", ".py", ".java", ".sh"}
    for name, snippet in snippets:
        lines, wanted = flattened((ROOT / name).read_text()), flattened(snippet)
        starts = range(len(lines) - len(wanted) + 1)
        found = any(lines[start : start + len(wanted)] == wanted for start in starts)
        assert found, f"README.md shows what {name} does not hold:\n{snippet}"


def test_the_shell_snippet_runs(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{TARGET}{os.pathsep}{os.environ['PATH']}"}
    script = ROOT / "tests" / "shell" / "quick_start.sh"
    done = subprocess.run(
        [script, tmp_path / "store"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "one\ntwo\nthree\n" in done.stdout
    assert done.stdout.count('"physical_offset"') == 3
    groups = ROOT / "tests" / "shell" / "groups.sh"
    done = subprocess.run(
        [groups, tmp_path / "store"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "one\ntwo\nthree\n" in done.stdout
    assert "billing lines 0 3 0 3 0" in done.stdout
