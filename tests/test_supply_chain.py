"""Everything that gets fetched is pinned, and the bill of materials names all that is linked.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PRODUCTS = ("cairnlog-ffi", "cairnlog-jni", "cairnlog-python", "cairnlog-cli")
TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-musl")
POM = "{http://maven.apache.org/POM/4.0.0}"
# What Maven runs by itself up to the phase that each pom is used for; without a version in the pom
# it takes the one that it came with.
RUN_BY_ITSELF = {
    "java/pom.xml": {"resources", "compiler", "surefire", "jar"},
    "tests/stock/pom.xml": {"resources", "compiler"},
    "bench/java-peers/pom.xml": {"resources", "compiler"},
}


def tracked(pattern: str) -> list[str]:
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", pattern], capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name]


def test_every_python_package_is_pinned_by_hash() -> None:
    wanted = tracked("*requirements*.in")
    assert {name.removesuffix(".in") for name in wanted} == {
        name.removesuffix(".txt") for name in tracked("*requirements*.txt")
    }
    assert len(wanted) == 4
    for name in wanted:
        locked = (ROOT / name).with_suffix(".txt").read_text("utf-8")
        entries = re.findall(r"^[^\s#].*?(?<!\\)$", locked, re.M | re.S)
        assert entries
        for entry in entries:
            assert re.match(r"[\w.-]+==[\w.]+ ", entry), entry
            assert "--hash=sha256:" in entry, entry
        for line in (ROOT / name).read_text("utf-8").splitlines():
            pinned = re.fullmatch(r"([\w-]+)(?:\[[\w-]+\])?(==[\w.]+)", line)
            assert pinned, line
            found = f"\n{locked}".find(f"\n{pinned[1]}{pinned[2]} ")
            assert found >= 0, f"{name} was changed: run supply/lock.sh"


def test_pip_is_only_given_files_of_hashes() -> None:
    calls = [
        f"{name}: {line.strip()}"
        for name in tracked("*.sh")
        for line in (ROOT / name).read_text("utf-8").replace("\\\n", " ").splitlines()
        if "pip install" in line and not line.lstrip().startswith("#")
    ]
    assert len(calls) >= 5
    # uv makes those files: it cannot come from one.
    loose = [call for call in calls if not re.search(r'(-r|--requirement) "\$', call)]
    assert [call.partition(":")[0] for call in loose] == ["supply/lock.sh"]
    assert "uv==" in loose[0]


@pytest.mark.parametrize("name", sorted(RUN_BY_ITSELF))
def test_maven_is_told_every_version(name: str) -> None:
    pom = ElementTree.parse(ROOT / name).getroot()
    found = [*pom.iterfind(f".//{POM}plugin"), *pom.iterfind(f".//{POM}dependency")]
    assert found
    properties = {one.tag: one.text or "" for one in pom.iterfind(f".//{POM}properties/*")}
    for one in found:
        version = one.findtext(f"{POM}version", "")
        filled = re.sub(r"\$\{(.+?)\}", lambda match: properties[POM + match[1]], version)
        assert re.fullmatch(r"\d[\w.-]*", filled), f"{one.findtext(f'{POM}artifactId')}: {version}"
        assert "SNAPSHOT" not in filled
    plugins = {one.findtext(f"{POM}artifactId", "") for one in pom.iterfind(f".//{POM}plugin")}
    assert {f"maven-{kind}-plugin" for kind in RUN_BY_ITSELF[name]} <= plugins


def test_no_other_pom_is_there() -> None:
    assert sorted(RUN_BY_ITSELF) == sorted(tracked("*pom.xml"))


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("sbom") / "cairnlog.cdx.json"
    subprocess.run([ROOT / "supply" / "sbom.sh", path], check=True)
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


def by_url(bill: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {component["purl"]: component for component in bill["components"]}


@pytest.mark.parametrize("target", TARGETS)
def test_the_bill_names_every_crate_that_is_linked(bill: dict[str, Any], target: str) -> None:
    words = ["cargo", "tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none"]
    words += ["--format", "{p}", "--target", target]
    for product in PRODUCTS:
        words += ["--package", product]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    crates = set(re.findall(r"^([\w-]+) v(\S+)", listed, re.M))
    assert len(crates) > 40
    lock = (ROOT / "Cargo.lock").read_text("utf-8")
    components = by_url(bill)
    for name, version in sorted(crates):
        component = components[f"pkg:cargo/{name}@{version}"]
        assert component["scope"] == "required", name
        assert component["licenses"], name
        checksum = re.search(
            rf'name = "{name}"\nversion = "{re.escape(version)}"\nsource = .*\nchecksum = "(\w+)"',
            lock,
        )
        hashes = [one["content"] for one in component.get("hashes", [])]
        assert hashes == ([checksum[1]] if checksum else []), name


def test_the_bill_tells_what_is_linked_from_what_only_builds(bill: dict[str, Any]) -> None:
    scopes = {url.partition("@")[0]: one["scope"] for url, one in by_url(bill).items()}
    for linked in (
        "cargo/cairnlog",
        "cargo/memmap2",
        "pypi/cairnlog",
        "maven/io.cairnlog/cairnlog",
    ):
        assert scopes[f"pkg:{linked}"] == "required"
    for other in ("cargo/pyo3-build-config", "cargo/serde_derive", "pypi/pytest"):
        assert scopes[f"pkg:{other}"] == "excluded"
    assert scopes["pkg:maven/org.apache.rocketmq/rocketmq-store"] == "excluded"
    assert "pkg:cargo/proptest" not in scopes, "nothing of the tests of crates is built for users"
