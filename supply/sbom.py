"""Writes a software bill of materials in CycloneDX 1.6: what the product is made of.

    python supply/sbom.py FILE

Rust crates come from cargo's own resolution for the supported targets, with the checksums of
Cargo.lock; packages of Python and Java from the requirements and poms of the checkout. What is
linked into the libraries and the tool is required; what only builds, tests or measures them is
marked as excluded. The same commit gives the same bytes.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import uuid
import xml.etree.ElementTree as ElementTree
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parents[1]
# What users get: the C library, the JNI library, the Python module, the tool.
PRODUCTS = ("cairnlog-ffi", "cairnlog-jni", "cairnlog-python", "cairnlog-cli")
TARGETS = tuple(
    f"{machine}-unknown-linux-{libc}"
    for machine in ("x86_64", "aarch64")
    for libc in ("gnu", "musl")
)
REQUIREMENTS = (
    "python/requirements-dev.txt",
    "bench/requirements.txt",
    "bench/peers/requirements.txt",
    "supply/requirements.txt",
)
POMS = ("java/pom.xml", "tests/stock/pom.xml", "bench/java-peers/pom.xml")
_POM = "{http://maven.apache.org/POM/4.0.0}"
_LICENSES = LicenseFactory()


def main(output: Path) -> None:
    """Writes the bill, and fails when the official schema does not allow it."""
    version = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))["workspace"]["package"]
    product = _component("cairnlog", version["version"], PackageURL("generic", None, "cairnlog"))
    product.licenses.add(_LICENSES.make_from_string(version["license"]))
    when = _git("log", "-1", "--format=%ct")
    bom = Bom(
        serial_number=uuid.uuid5(
            uuid.NAMESPACE_URL, f"{version['repository']}/{_git('rev-parse', 'HEAD')}"
        ),
        metadata=BomMetaData(
            component=product, timestamp=datetime.fromtimestamp(int(when), timezone.utc)
        ),
    )
    linked = _add_crates(bom)
    packages = [
        _package("pypi", "cairnlog", version),
        _package("maven", "io.cairnlog/cairnlog", version),
    ]
    for package in packages:
        bom.components.add(package)
    bom.register_dependency(product, [*linked, *packages])
    _add_python(bom)
    _add_java(bom)
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise SystemExit(f"the bill of materials is not valid: {wrong}")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text + "\n", "utf-8")
    print(f"{output}: {len(bom.components)} components")


def _package(kind: str, name: str, version: dict[str, Any]) -> Component:
    namespace, _, name = name.rpartition("/")
    url = PackageURL(kind, namespace or None, name, version["version"])
    package = _component(name, version["version"], url)
    package.licenses.add(_LICENSES.make_from_string(version["license"]))
    return package


def _component(
    name: str, version: str, url: PackageURL, scope: ComponentScope = ComponentScope.REQUIRED
) -> Component:
    if url.version is None:
        url = PackageURL(url.type, url.namespace, url.name, version)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=url.to_string(),
        scope=scope,
    )


def _add_crates(bom: Bom) -> list[Component]:
    """Adds every crate that a product needs; returns the products."""
    metadata = _metadata()
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    roots = [package["id"] for package in packages.values() if package["name"] in PRODUCTS]
    linked, needed = _reachable(nodes, packages, roots)
    checksums = _checksums()
    components = {}
    for identity in needed:
        package = packages[identity]
        name, version = package["name"], package["version"]
        scope = ComponentScope.REQUIRED if identity in linked else ComponentScope.EXCLUDED
        component = _component(name, version, PackageURL("cargo", None, name, version), scope)
        if package["license"]:
            expression = package["license"].replace("/", " OR ")
            component.licenses.add(_LICENSES.make_from_string(expression))
        checksum = checksums.get((name, version))
        if checksum:
            component.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=checksum))
        components[identity] = component
        bom.components.add(component)
    for identity, component in components.items():
        targets = [components[one["pkg"]] for one in _dependencies(nodes[identity])]
        bom.register_dependency(component, targets)
    compiler = tomllib.loads((ROOT / "rust-toolchain.toml").read_text("utf-8"))["toolchain"]
    url = PackageURL("generic", None, "rust-std")
    standard_library = _component("rust-std", compiler["channel"], url)
    standard_library.licenses.add(_LICENSES.make_from_string("MIT OR Apache-2.0"))
    bom.components.add(standard_library)
    return [components[root] for root in roots] + [standard_library]


def _reachable(
    nodes: dict[str, Any], packages: dict[str, Any], roots: list[str]
) -> tuple[set[str], set[str]]:
    """Returns what is linked, and what is needed at all: that and what builds it."""
    linked: set[str] = set()
    needed: set[str] = set()
    left = [(root, True) for root in roots]
    while left:
        identity, is_linked = left.pop()
        if identity in (linked if is_linked else needed):
            continue
        needed.add(identity)
        if is_linked:
            linked.add(identity)
        for one in _dependencies(nodes[identity]):
            normal = any(kind["kind"] is None for kind in one["dep_kinds"])
            left.append((one["pkg"], is_linked and normal and not _is_macro(packages[one["pkg"]])))
    return linked, needed


def _dependencies(node: dict[str, Any]) -> list[dict[str, Any]]:
    """What a crate needs to be built and to run, but not to be tested."""
    return [one for one in node["deps"] if any(kind["kind"] != "dev" for kind in one["dep_kinds"])]


def _is_macro(package: dict[str, Any]) -> bool:
    return any("proc-macro" in target["kind"] for target in package["targets"])


def _metadata() -> dict[str, Any]:
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    for target in TARGETS:
        command += ["--filter-platform", target]
    ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    loaded: dict[str, Any] = json.loads(ended.stdout)
    return loaded


def _checksums() -> dict[tuple[str, str], str]:
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text("utf-8"))["package"]
    return {(one["name"], one["version"]): one.get("checksum", "") for one in locked}


def _add_python(bom: Bom) -> None:
    """Adds what builds, tests and measures the package for Python, which itself needs nothing."""
    for path in REQUIREMENTS:
        for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / path).read_text(), re.M):
            url = PackageURL("pypi", None, name, version)
            bom.components.add(_component(name, version, url, ComponentScope.EXCLUDED))


def _add_java(bom: Bom) -> None:
    """Adds what the poms name: tests, the stock store they judge by, other stores, and plugins."""
    for path in POMS:
        pom = ElementTree.parse(ROOT / path).getroot()
        properties = {one.tag: one.text or "" for one in pom.iterfind(f".//{_POM}properties/*")}
        versions = [properties]
        if path.startswith("tests/stock"):
            # One release in each profile.
            versions = [
                {
                    **properties,
                    **{one.tag: one.text or "" for one in profile.iterfind(f"{_POM}properties/*")},
                }
                for profile in pom.iterfind(f".//{_POM}profile")
            ]
        for tag in ("dependency", "plugin"):
            for one in pom.iterfind(f".//{_POM}{tag}"):
                group, name, version = (
                    one.findtext(f"{_POM}{field}", "")
                    for field in ("groupId", "artifactId", "version")
                )
                for values in versions:
                    filled = re.sub(r"\$\{(.+?)\}", lambda found: values[_POM + found[1]], version)
                    url = PackageURL("maven", group, name, filled)
                    component = _component(name, filled, url, ComponentScope.EXCLUDED)
                    component.group = group
                    bom.components.add(component)


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", "-C", ROOT, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
