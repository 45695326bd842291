"""The examples in docstrings and in the directory examples run as they are printed."""

from __future__ import annotations

import asyncio
import doctest
import queue
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import cairnlog
import cairnlog.aio
from cairnlog import _native, errors, outcome, progress, push, status, transaction

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def doctests() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    package: list[ModuleType] = [
        cairnlog,
        cairnlog.aio,
        errors,
        outcome,
        progress,
        push,
        status,
        transaction,
    ]
    modules = [*package, _native]
    names = {"cairnlog": cairnlog, "asyncio": asyncio, "queue": queue}
    found = {test.name: test for module in modules for test in finder.find(module, globs=names)}
    native = ["Consumer", "Filter", "Message", "Store", "StoreReader", "Transaction"]
    for name in [*native, "encode_batch"]:
        # What the native module defines is passed over by the finder's look at modules.
        text = getattr(cairnlog, name).__doc__
        example = doctest.DocTestParser().get_doctest(
            text, {"cairnlog": cairnlog}, f"cairnlog.{name}", None, 0
        )
        found[example.name] = example
    return [test for test in found.values() if test.examples]


def test_there_are_examples_to_run() -> None:
    names = {test.name for test in doctests()}
    native = {f"cairnlog.{name}" for name in ("Consumer", "Filter", "Store", "StoreReader")}
    assert {"cairnlog", "cairnlog.aio", "cairnlog.push.PushConsumer"} | native <= names
    assert len(EXAMPLES) >= 9


@pytest.mark.parametrize("example", doctests(), ids=lambda test: test.name)
def test_docstrings(example: doctest.DocTest, tmp_path: Path) -> None:
    example.globs["directory"] = tmp_path / "store"
    report: list[str] = []
    results = doctest.DocTestRunner().run(example, out=report.append)
    assert results.failed == 0, "".join(report)
    assert results.attempted > 0


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples(example: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", str(example), str(tmp_path / "store")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == expected_output(example)


def expected_output(example: Path) -> str:
    """The comment block behind the line `# Output:` at the end of an example."""
    _, _, block = example.read_text().partition("# Output:\n")
    return "".join(line.removeprefix("# ") + "\n" for line in block.splitlines())


def test_what_the_readme_shows_is_in_the_examples() -> None:
    text = (EXAMPLES[0].parent.parent / "README.md").read_text()
    snippets = [part.partition("```")[0] for part in text.split("```python\n")[1:]]
    programs = {path.stem: path.read_text() for path in EXAMPLES}
    for snippet, name in zip(snippets, ("quick_start", "consume", "consume_group"), strict=True):
        assert len(snippet.splitlines()) > 5
        assert snippet in programs[name]


def test_every_public_item_is_documented() -> None:
    undocumented = [
        f"{owner.__name__}.{name}"
        for owner in (getattr(cairnlog, public) for public in cairnlog.__all__)
        if isinstance(owner, type) and owner.__module__.startswith("cairnlog")
        for name, value in vars(owner).items()
        if not name.startswith("_")
        and (callable(value) or hasattr(value, "__get__"))
        and not getattr(value, "__doc__", None)
    ]
    assert undocumented == []
    assert all(getattr(cairnlog, public).__doc__ for public in cairnlog.__all__)
