"""Functions by import path: found without running anything, imported with one clear message."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rewardplane.rewards.functions.importing import LoadError, load, locate
from rewardplane.rewards.registry import build

BOOM = "raise RuntimeError('this module was run')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to import from; what is imported from it is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        # Not what the service itself imports meanwhile: its kinds are known for good.
        if not name.startswith("rewardplane."):
            del sys.modules[name]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["imp_single.py", "imp_pkg/sub/mod.py", "imp_bare/deep/mod.py"])
def test_the_source_is_found_without_running_it(folder: Path, name: str) -> None:
    write(folder, "imp_pkg/__init__.py", BOOM)
    write(folder, "imp_pkg/sub/__init__.py", BOOM)
    path = write(folder, name, BOOM)
    function = name.removesuffix(".py").replace("/", ".") + ":fn"
    assert locate(function, [str(folder)]) == str(path)
    reward = build("python", {"function": function, "python_path": [str(folder)]})
    assert reward.source_files == (str(path),)


def test_a_package_is_its_init(folder: Path) -> None:
    path = write(folder, "imp_pkg2/__init__.py", "def fn(example, response):\n    return 1.0\n")
    assert locate("imp_pkg2:fn", [str(folder)]) == str(path)
    assert load("imp_pkg2:fn", [str(folder)])(None, None) == 1.0


def test_installed_and_built_in_modules() -> None:
    assert locate("json.decoder:JSONDecoder") == sys.modules["json.decoder"].__file__
    assert locate("rewardplane.rewards.types:Score", ()) == str(
        Path(sys.modules["rewardplane.rewards.types"].__file__ or "")
    )
    assert locate("itertools:chain") is None
    assert load("json.decoder:JSONDecoder.decode") is sys.modules["json"].JSONDecoder.decode


@pytest.mark.parametrize("path", ["imp_nowhere:fn", "json.nowhere:fn", "json.decoder.deeper:fn"])
def test_a_module_that_is_not_there(folder: Path, path: str) -> None:
    for call in (locate, load):
        with pytest.raises(LoadError, match="no module named"):
            call(path, [str(folder)])


def test_a_file_written_after_the_folder_was_looked_at(folder: Path) -> None:
    with pytest.raises(LoadError):
        locate("imp_late:fn", [str(folder)])
    write(folder, "imp_late.py", "fn = 3\n")
    assert load("imp_late:fn", [str(folder)]) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOOM, r"RuntimeError: this module was run \(.*imp_bad.py:1\)"),
        ("import sys\nsys.exit(3)\n", r"SystemExit: 3 \(.*imp_bad.py:2\)"),
        ("import imp_missing_dependency\n", "No module named 'imp_missing_dependency'"),
        ("def fn(:\n", "SyntaxError"),
        ("x = 1\n", "there is no 'fn'"),
        ("fnn = 1\n", "did you mean 'fnn'"),
    ],
)
def test_a_module_that_cannot_be_imported(folder: Path, text: str, says: str) -> None:
    write(folder, "imp_bad.py", text)
    with pytest.raises(LoadError, match=says):
        load("imp_bad:fn", [str(folder)])


def test_the_folder_goes_before_what_is_installed(folder: Path) -> None:
    path = write(folder, "imp_first.py", "import imp_beside\nfn = imp_beside.value\n")
    write(folder, "imp_beside.py", "value = 7\n")
    other = write(folder, "other/imp_first.py", "fn = 8\n")
    assert load("imp_first:fn", [str(folder)]) == 7
    assert locate("imp_first:fn", [str(folder), str(other.parent)]) == str(path)


def test_two_files_of_one_module_name_are_told_apart(folder: Path) -> None:
    write(folder, "a/imp_same.py", "fn = 1\n")
    write(folder, "b/imp_same.py", "fn = 2\n")
    assert load("imp_same:fn", [str(folder / "a")]) == 1
    with pytest.raises(LoadError, match="rename one of them"):
        load("imp_same:fn", [str(folder / "b")])


def test_all_faults_are_value_errors() -> None:
    """A configuration collects those, each under its path."""
    assert issubclass(LoadError, ValueError)
