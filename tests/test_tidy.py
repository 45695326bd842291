"""Style that a machine can hold: file lengths, line lengths, ASCII, no leftovers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = {".rs", ".py", ".pyi", ".java", ".c", ".h", ".sh"}
MAX_LINES = 800
MAX_COLUMNS = 100
LEFTOVER = re.compile(r"\b(TODO|FIXME|todo!|unimplemented!)|#\[ignore|@Disabled|mark\.skip")


def code_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if Path(name).suffix in CODE]
    return [path for path in files if path.is_file() and path != Path(__file__).resolve()]


@pytest.mark.parametrize("path", code_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_tidy(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    generated = path == ROOT / "include" / "cairnlog.h"
    assert generated or len(lines) <= MAX_LINES, f"{len(lines)} lines"
    for number, line in enumerate(lines, start=1):
        assert len(line) <= MAX_COLUMNS, f"line {number} has {len(line)} columns"
        assert line.isascii(), f"line {number} is not ASCII"
        assert not LEFTOVER.search(line), f"line {number}: {line.strip()}"
    assert text.endswith("\n")
