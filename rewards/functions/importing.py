"""Functions by import path, as ``my_pkg.rewards:fn``."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import traceback
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class LoadError(ValueError):
    """What a configuration names cannot be imported, or cannot be called as it would have to be."""


def load(path: str, folders: Sequence[str] = ()) -> Any:
    """The object at `path`, ``module:name`` or ``module:Class.name``; runs the module's code.

    `folders` go to the front of `sys.path` and stay there, for what the module imports later.

    Raises:
        LoadError: there is no such module or name, or the module raised.
    """
    module_name, _, names = path.partition(":")
    for folder in reversed(folders):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    file = locate(path, folders)
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise LoadError(f"{path}: importing {module_name!r} raised {_told(error)}") from error
    loaded_from = getattr(found, "__file__", None)
    if file and loaded_from and Path(loaded_from).resolve() != Path(file).resolve():
        raise LoadError(
            f"{path}: {file} cannot be imported, as {loaded_from} has the same module name "
            f"{module_name!r} and was imported before; rename one of them"
        )
    for name in names.split("."):
        if not hasattr(found, name):
            near = get_close_matches(name, dir(found), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise LoadError(f"{path}: there is no {name!r} in {file or module_name}{hint}")
        found = getattr(found, name)
    return found


def locate(path: str, folders: Sequence[str] = ()) -> str | None:
    """The source file of the module at `path`, found without running anything of it.

    None where the module has none, such as one built into Python.

    Raises:
        LoadError: there is no such module.
    """
    module_name = path.partition(":")[0]
    importlib.invalidate_caches()
    search: Iterable[str] | None = [*folders, *sys.path]
    spec: importlib.machinery.ModuleSpec | None = None
    name = ""
    for part in module_name.split("."):
        name = f"{name}.{part}" if name else part
        spec = _spec(name, search) if search is not None else None
        if spec is None:
            looked = f" (looked in {', '.join(folders)} and sys.path)" if folders else ""
            raise LoadError(f"{path}: no module named {name!r}{looked}")
        search = spec.submodule_search_locations
    return spec.origin if spec is not None and spec.has_location else None


def _spec(name: str, search: Iterable[str]) -> importlib.machinery.ModuleSpec | None:
    # importlib.util.find_spec would import the parents of a dotted name; and asked for the whole
    # name, the path finder looks for an imported parent of a namespace package.
    parent, _, last = name.rpartition(".")
    paths = list(search)
    spec = importlib.machinery.PathFinder.find_spec(last, paths)
    for finder in sys.meta_path:
        if spec is not None:
            break
        spec = finder.find_spec(name, paths if parent else None)
    return spec


def _told(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "importlib" not in f.filename and f.filename != __file__]
    at = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{at}"
