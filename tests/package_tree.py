"""Lays the packages out as an installation has them, by links, for tools that read no package-dir.

    python tests/package_tree.py build/tree

makes `build/tree/rewardplane/` with the packages that `pyproject.toml` maps. Pyright
reads it: through the folders themselves a module would have two names, and so two types.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def packages() -> dict[str, str]:
    """The top packages: name below `rewardplane` → folder in the tree."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        folders: dict[str, str] = tomllib.load(file)["tool"]["setuptools"]["package-dir"]
    return {
        name.removeprefix("rewardplane."): folder
        for name, folder in folders.items()
        if name.count(".") == 1
    }


def lay_out(tree: Path) -> None:
    """Makes the links, one for each file: pyright does not walk through linked folders."""
    shutil.rmtree(tree, ignore_errors=True)
    for name, folder in packages().items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                link = tree / "rewardplane" / name / path.relative_to(ROOT / folder)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
