"""The rooms of the house: who may import what, and how long a file may be."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 400

# The rooms of `service/`, each with the rooms below it that it may import (and `v1`, `rewards`).
ROOMS: dict[str, set[str]] = {
    "wire": set(),
    "client": {"wire"},
    "integrations": {"client", "wire"},
    "config": set(),
    "access": {"config", "wire"},
    "replica": {"config", "wire"},
    "models": {"replica", "config", "wire"},
    "gateway": {"access", "replica", "config", "wire"},
    "http": {"access", "gateway", "replica", "config", "wire"},
    "host": {"access", "http", "gateway", "replica", "config", "wire"},
    "cluster": {"access", "host", "http", "gateway", "models", "replica", "config", "wire"},
    "cli": {
        *("access", "cluster", "host", "http", "gateway", "models", "replica", "config"),
        *("integrations", "client", "wire"),
    },
}
# The libraries that stand for a subsystem, each with the rooms that may import it.
ONLY_IN = {
    "ray": ("service/cluster/",),
    "grpc": ("service/client/", "service/wire/", "service/gateway/", "service/cluster/"),
    "prometheus_client": ("service/gateway/metrics.py", "service/cli/top.py"),
    "httptools": ("service/http/",),
    "torch": ("service/models/",),
    "transformers": ("service/models/",),
    "vllm": ("service/models/",),
    "jwt": ("service/access/",),
    "cryptography": ("service/access/",),
    "opentelemetry": ("service/gateway/traces.py",),
}
# What a trainer imports needs the base install alone, and so does all that it imports in its turn.
CLIENT_ROOMS = ("service/client/", "service/integrations/", "service/wire/")
CLIENT_LIBRARIES = {"grpc", "google", *sys.stdlib_module_names}

TESTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py"))
FILES = sorted(
    str(path.relative_to(ROOT))
    for room in ("rewards", "service")
    for path in (ROOT / room).rglob("*.py")
)


def name_of(file: str) -> str:
    """The import name: "rewardplane.client.stream" for "service/client/stream.py"."""
    stem = file.removesuffix(".py").removesuffix("/__init__").removeprefix("service/")
    return "rewardplane." + stem.replace("/", ".")


BY_NAME = {name_of(file): file for file in FILES}


def imports(file: str) -> Iterator[str]:
    """The full names that a file imports, wherever in it: `from ..rewards import Score` gives
    "rewardplane.rewards.Score"."""
    name = name_of(file).split(".")
    package = name if file.endswith("/__init__.py") else name[:-1]
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


def depends(file: str) -> set[str]:
    """The files of the project that a file imports, at its top or inside a function.

    What stands under `if TYPE_CHECKING` counts too: a type that looks up is a dependency that
    looks up.
    """
    names = (name if name in BY_NAME else name.rpartition(".")[0] for name in imports(file))
    return {BY_NAME[name] for name in names if name in BY_NAME} - {file}


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_what_stands_below_it(file: str) -> None:
    names = [name.split(".") for name in imports(file)]
    rooms = {parts[1] for parts in names if parts[0] == "rewardplane"}
    if file.startswith("rewards/"):
        assert not {parts[0] for parts in names} & {"grpc", "google"}
        assert rooms <= {"rewards"}
    else:
        room = file.split("/")[1]
        assert rooms <= {room, "rewards", "v1", *ROOMS[room]}
    for library, homes in ONLY_IN.items():
        if library in {parts[0] for parts in names}:
            assert file.startswith(homes), f"{library} belongs in {homes}"


def test_no_import_circles() -> None:
    graph = {file: depends(file) for file in FILES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        pytest.fail(" imports ".join(reversed(circle.args[1])))


@pytest.mark.parametrize("folder", sorted({str(Path(file).parent) for file in FILES}))
def test_a_room_says_who_lives_there(folder: str) -> None:
    said = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text("utf-8")))
    assert said is not None
    assert len(said.splitlines()) >= 3


@pytest.mark.parametrize("file", [*FILES, *TESTS])
def test_the_rooms_have_one_name(file: str) -> None:
    assert not {name.split(".")[0] for name in imports(file)} & {"rewards", "service", "proto"}


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith(CLIENT_ROOMS)])
def test_the_client_needs_the_base_install_alone(file: str) -> None:
    assert list(libraries(file, set())) == []


@pytest.mark.parametrize("file", FILES)
def test_a_file_has_one_idea(file: str) -> None:
    assert len((ROOT / file).read_text(encoding="utf-8").splitlines()) <= MAX_LINES
