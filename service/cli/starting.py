"""`rewardplane init`: files to begin with, which work as they are."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

# Under the names that they have here: a module among the package's files would be one of its own.
FILES = {
    "rewards.yaml": "rewards.yaml",
    "my_rewards.py": "my_rewards.py.txt",
    "sample.jsonl": "sample.jsonl",
}


class AlreadyThere(Exception):
    """A file of that name is there and is left as it is."""


def write(folder: Path) -> list[Path]:
    """Writes the files into a folder, all or none; returns their paths.

    Raises:
        AlreadyThere: one of them is there.
        OSError: they cannot be written.
    """
    paths = [folder / name for name in FILES]
    there = [str(path) for path in paths if path.exists()]
    if there:
        raise AlreadyThere(f"{', '.join(there)}: there already; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    source = files("rewardplane.cli").joinpath("init_files")
    for path in paths:
        text = source.joinpath(FILES[path.name]).read_text(encoding="utf-8")
        path.write_text(text, encoding="utf-8")
    return paths
