"""The rooms of the house: who may import what, and how long a file may be."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 400

# The libraries that stand for a subsystem, each with the files that may import it.
ONLY_IN = {
    "ray": {"service/gateway.py", "service/deployments.py", "service/cluster.py"},
    "prometheus_client": {"service/metrics.py"},
}
# What a trainer imports needs the base install alone, and so does all that it imports in its turn.
CLIENT = {f"service/{name}.py" for name in ("client", "sync_client", "batcher", "retry", "trl")}
CLIENT_LIBRARIES = {"grpc", "google", *sys.stdlib_module_names}

TESTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py"))
FILES = sorted(
    str(path.relative_to(ROOT))
    for room in ("rewards", "service")
    for path in (ROOT / room).rglob("*.py")
)
BY_NAME = {
    "rewardplane." + file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file
    for file in FILES
}


def imports(file: str) -> Iterator[str]:
    """The full names that a file imports, wherever in it: `from ..rewards import Score` gives
    "rewardplane.rewards.Score"."""
    package = ["rewardplane", *Path(file).parent.parts]
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            stem = [*base, *([node.module] if node.module else [])]
            yield from (".".join([*stem, alias.name]) for alias in node.names)


def libraries(file: str, seen: set[str]) -> Iterator[str]:
    """The libraries that a file needs, itself or by what it imports, each with who imports it."""
    seen.add(file)
    for name in imports(file):
        # A name may be a module or something in it; importing either runs the packages above too.
        parts = name.split(".")
        for above in (".".join(parts[:n]) for n in range(2, len(parts) + 1)):
            if above in BY_NAME and BY_NAME[above] not in seen:
                yield from libraries(BY_NAME[above], seen)
        if parts[0] not in {"rewardplane", *CLIENT_LIBRARIES}:
            yield f"{parts[0]} by {file}"


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_what_stands_below_it(file: str) -> None:
    names = [name.split(".") for name in imports(file)]
    tops = {parts[0] for parts in names}
    if file.startswith("rewards/"):
        assert not tops & {"grpc", "google"}
        assert {parts[1] for parts in names if parts[0] == "rewardplane"} <= {"rewards"}
    for library, homes in ONLY_IN.items():
        assert library not in tops or file in homes, f"{library} belongs in {sorted(homes)}"


@pytest.mark.parametrize("file", [*FILES, *TESTS])
def test_the_rooms_have_one_name(file: str) -> None:
    assert not {name.split(".")[0] for name in imports(file)} & {"rewards", "service", "proto"}


@pytest.mark.parametrize("file", sorted(CLIENT & set(FILES)))
def test_the_client_needs_the_base_install_alone(file: str) -> None:
    assert list(libraries(file, set())) == []


@pytest.mark.parametrize("file", FILES)
def test_a_file_has_one_idea(file: str) -> None:
    assert len((ROOT / file).read_text(encoding="utf-8").splitlines()) <= MAX_LINES
