"""The files of this host that a Python program needs: all that confined code may read."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SITES = ("site-packages", "dist-packages")
_LIBRARIES = ("/lib", "/usr/lib", "/lib64", "/usr/lib64")
_ZONES = "/usr/share/zoneinfo"
_LOADER_CACHE = "/etc/ld.so.cache"
DEVICES = ("/dev/null", "/dev/urandom")
_SCRATCHES = ("/tmp", "/var/tmp", "/scratch")  # noqa: S108 - in the private root, not the host's


@dataclass(frozen=True)
class Places:
    """Paths that exist, none of which holds another."""

    files: tuple[str, ...]
    """Files and whole folders to read, but for what is hidden."""
    hidden: tuple[str, ...]
    """Folders of third-party packages within them."""
    listings: tuple[str, ...]
    """Folders whose names alone are read: the import system looks for modules in them."""
    devices: tuple[str, ...]

    @property
    def scratch(self) -> str:
        """The folder of the private root to write to: one that none of these lies in.

        Python may: a virtual environment below /tmp would be hidden by what is mounted there.
        """
        needed = (*self.files, *self.hidden)
        return next(s for s in _SCRATCHES if not any(p.startswith(f"{s}/") for p in needed))

    def unhidden(self) -> list[str]:
        """`files` as paths that hold nothing hidden, as Landlock knows no exceptions."""
        found: list[str] = []
        for path in self.files:
            if any(h.startswith(f"{path}/") for h in self.hidden):
                found += [str(e) for e in Path(path).iterdir() if str(e) not in self.hidden]
            else:
                found.append(path)
        return found


def find(beside: Iterable[str] = ()) -> Places:
    """What is needed for the modules that are imported by now, and for any of Python's own.

    Of third-party packages those that are imported, whole: they import the rest of themselves late.
    `beside`: what else is needed, of programs that are no Python.
    """
    files = set(beside)
    hidden: set[str] = set()
    listings: set[str] = set()
    for name in ("stdlib", "platstdlib"):
        folder = Path(sysconfig.get_path(name)).resolve()
        if not (folder / "os.py").exists():  # of a virtual environment
            continue
        listings.add(str(folder))
        files.add(str(folder))
        hidden.update(str(folder / site) for site in SITES if (folder / site).is_dir())
    for site, top in _imported():
        listings.add(str(site))
        files.add(str(site / top))
    for path in _mapped():
        files.add(path)
        files.update(_libraries(path))
    files.update(p for p in (_ZONES, _LOADER_CACHE) if Path(p).exists())
    devices = tuple(d for d in DEVICES if Path(d).exists())
    kept = [path for path in files if not _held(path, files, hidden)]
    return Places(tuple(sorted(kept)), tuple(sorted(hidden)), tuple(sorted(listings)), devices)


def _held(path: str, files: set[str], hidden: set[str]) -> bool:
    """Whether a path lies in another that is not hidden from."""
    for folder in map(str, Path(path).parents):
        if folder in hidden:
            return False
        if folder in files:
            return True
    return False


def _imported() -> set[tuple[Path, str]]:
    """The third-party packages that are imported: where they lie, and the name of the entry there.

    The folders of shared libraries that wheels bring (numpy.libs) have names like theirs.
    """
    found: set[tuple[Path, str]] = set()
    own = __name__.partition(".")[0]
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == own:
            # The sandbox itself, all of it imported by now: from a wheel it lies in one folder
            # with the whole service.
            continue
        path = Path(getattr(module, "__file__", None) or "/")
        for site in path.parents:
            if site.name in SITES:
                top = path.relative_to(site).parts[0]
                found.add((site, top))
                if (site / f"{top}.libs").is_dir():
                    found.add((site, f"{top}.libs"))
                break
    return found


def _mapped() -> set[str]:
    """The shared libraries that this process has loaded."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {line[line.index("/") :] for line in lines if "/" in line and ".so" in line}


def _libraries(path: str) -> set[str]:
    """The system's folder of libraries that a loaded one is from: others are loaded from it late.

    Only where it has no folder of Python packages below it.
    """
    folder = os.path.realpath(Path(path).parent)
    if Path(folder).parent in {Path(p) for p in _LIBRARIES} | {Path("/usr")}:
        return {folder}
    return set()
