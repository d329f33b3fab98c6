"""What is built is what stands in the tree: nothing left out, nothing left over."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import resources
from pathlib import Path

import pytest

from .package_tree import packages

ROOT = Path(__file__).parents[1]
PACKAGES = {folder: f"rewardplane/{name}" for name, folder in packages().items()}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that is built from it, of a copy of the tree."""
    source = tmp_path_factory.mktemp("source")
    unwanted = shutil.ignore_patterns("__pycache__")
    for folder in PACKAGES:
        shutil.copytree(ROOT / folder, source / folder, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "-o", source / "dist", source]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return source / "dist"


def tree() -> set[str]:
    """The files under the packages' folders, by their names in an installation."""
    return {
        f"{package}/{path.relative_to(ROOT / folder)}"
        for folder, package in PACKAGES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_tree(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == tree()


def test_the_wheel_carries_its_licence_and_its_command(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        info = {Path(n).name: n for n in archive.namelist() if ".dist-info/" in n}
        assert archive.read(info["LICENSE"]) == (ROOT / "LICENSE").read_bytes()
        assert "rewardplane = " in archive.read(info["entry_points.txt"]).decode()
        assert "License-Expression: Apache-2.0" in archive.read(info["METADATA"]).decode()


def test_the_sdist_can_be_built_again(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "service", "rewards", "proto"} <= names


def test_the_demo_data_is_found_and_whole() -> None:
    sample = resources.files("rewardplane.cli") / "demo_data" / "gsm8k_sample.jsonl"
    problems = [json.loads(line) for line in sample.read_text(encoding="utf-8").splitlines()]
    solutions = [response for problem in problems for response in problem["responses"]]
    assert len({problem["id"] for problem in problems}) == len(problems) == 62
    assert all(float(p["references"]["answer"].replace(",", "")) is not None for p in problems)
    assert len(solutions) == 248
    assert sum(solution["is_correct"] for solution in solutions) == 93
    assert all(solution["text"] for solution in solutions)
