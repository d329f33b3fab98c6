"""The compilers of this host, as programs that need no other process beside them.

A driver as `g++` starts a compiler, an assembler and a linker, which would take forks and temporary
files. It is asked once what it would start (`-###`, see "Overall Options" of the GCC manual), and
these are run one after the other, each in a child of a zygote.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from .profile import Tool

CompiledLanguage = Literal["cpp", "c"]

INPUT, OUTPUT, STANDARD = "{input}", "{output}", "{standard}"
"""In the arguments of a step: its files, and the version of the language."""
_FLAGS = (
    *("-O2", "-w", "-static", "-fno-use-linker-plugin", "-DONLINE_JUDGE"),
    *("-fmax-errors=3", "-ftemplate-backtrace-limit=3", "-fdiagnostics-color=never"),
    "-fno-diagnostics-show-caret",
)
_CACHE = "/etc/ld.so.cache"
_TIMEOUT_S = 20.0
_HERE = Path(__file__).resolve()


@dataclass(frozen=True)
class _Known:
    driver: str
    standard: str
    package: str
    newer: Sequence[str] = ()
    """Of these the first that the compiler knows."""


_KNOWN: dict[CompiledLanguage, _Known] = {
    "cpp": _Known("g++", "gnu++17", "g++", ("gnu++23", "gnu++20")),
    "c": _Known("gcc", "gnu17", "gcc and libc6-dev"),
}


class CompilerMissing(Exception):
    """This host has no compiler that can be used; the message says what to install."""


@dataclass(frozen=True)
class Step:
    """A tool at work. `arguments` have places for its files."""

    tool: Tool
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Toolchain:
    """What makes a program of source text."""

    language: CompiledLanguage
    version: str
    """Of the compiler."""
    standards: tuple[str, ...]
    """Versions of the language, to be tried in this order."""
    compiles: Step
    """Source to assembly, from stdin to stdout."""
    assembles: Step
    """Assembly to an object file, from stdin to a file."""
    links: Step
    """From an object file to a program that needs no library."""

    @property
    def tools(self) -> tuple[Tool, Tool, Tool]:
        """Of its steps."""
        return self.compiles.tool, self.assembles.tool, self.links.tool


@cache
def find(language: CompiledLanguage) -> Toolchain:
    """The compiler of this host for a language. Blocks for some tens of milliseconds.

    Raises:
        CompilerMissing: there is none, or it lacks a part.
    """
    known = _KNOWN[language]
    driver = shutil.which(known.driver)
    if driver is None:
        raise CompilerMissing(_advice(language, f"there is no {known.driver} on this host"))
    try:
        commands = _commands(driver, language, known.standard)
        headers = _headers(driver, language)
        folders = _folders(commands["collect2"])
        version = _said([driver, "-dumpfullversion"]).strip()
        newer = [each for each in known.newer if _knows(driver, language, each)]
        compiler = _tool(commands["compiler"][0], headers)
        assembler = _tool(_program(driver, commands["as"][0]), ())
        linker = _tool(_program(driver, "ld"), folders)
        _keep_apart((*compiler.reads, *assembler.reads, *linker.reads))
    except (OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
        raise CompilerMissing(_advice(language, f"{driver} cannot be used: {error}")) from error
    return Toolchain(
        language,
        f"{known.driver} {version}",
        (known.standard, *newer[:1]),
        Step(compiler, tuple(commands["compiler"][1:])),
        Step(assembler, tuple(commands["as"][1:])),
        Step(linker, tuple(commands["collect2"][1:])),
    )


def _advice(language: str, why: str) -> str:
    package = _KNOWN["cpp" if language == "cpp" else "c"].package
    return (
        f"language {language}: {why}; install {package} where rewards run "
        f"(Debian: apt-get install --no-install-recommends {package})"
    )


def _commands(driver: str, language: str, standard: str) -> dict[str, list[str]]:
    """What the driver would start: by "compiler", "as" and "collect2", with places for files."""
    kind = "c++" if language == "cpp" else "c"
    said = _said([driver, "-###", *_FLAGS, f"-std={standard}", "-x", kind, "-", "-o", OUTPUT])
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        if line.startswith(" "):
            words = shlex.split(line)
            name = Path(words[0]).name.rpartition("-")[2]
            found["compiler" if name.startswith("cc1") else name] = words
    compiler, assembler, linker = found["compiler"], found["as"], found["collect2"]
    if "-dumpdir" in compiler:
        del compiler[(at := compiler.index("-dumpdir")) : at + 2]
    text = compiler[compiler.index("-o") + 1]
    binary = assembler[assembler.index("-o") + 1]
    compiler[compiler.index(text)] = "-"
    assembler.remove(text)
    assembler[assembler.index(binary)] = OUTPUT
    linker[linker.index(binary)] = INPUT
    compiler[compiler.index(f"-std={standard}")] = f"-std={STANDARD}"
    return found


def _knows(driver: str, language: str, standard: str) -> bool:
    """Whether it compiles by a version of the language."""
    kind = "c++" if language == "cpp" else "c"
    try:
        _said([driver, "-E", f"-std={standard}", "-x", kind, "/dev/null"])
    except subprocess.CalledProcessError:
        return False
    return True


def _headers(driver: str, language: str) -> list[str]:
    """The folders that `#include` looks in."""
    kind = "c++" if language == "cpp" else "c"
    said = _said([driver, "-E", "-v", "-x", kind, "/dev/null"])
    _before, _found, after = said.partition("search starts here:\n")
    listed = after.partition("End of search list")[0]
    folders = [line.strip() for line in listed.splitlines() if line.startswith(" /")]
    if not folders:
        raise ValueError("it names no folders of header files")
    return [os.path.realpath(folder) for folder in folders if Path(folder).is_dir()]


def _folders(linker: Sequence[str]) -> list[str]:
    """The folders of what is linked: objects by their paths, and static libraries by their names.

    Raises:
        ValueError: a library is missing.
    """
    searched = [Path(word[2:]) for word in linker if word.startswith("-L")]
    found = [Path(word).parent for word in linker if word.endswith(".o")]
    for name in (f"lib{word[2:]}.a" for word in linker if word.startswith("-l")):
        holding = [folder for folder in searched if (folder / name).exists()]
        if not holding:
            raise ValueError(f"there is no {name} to link with")
        found.append(holding[0])
    return list(dict.fromkeys(os.path.realpath(folder) for folder in found))


def _keep_apart(reads: Sequence[str]) -> None:
    """Raises ValueError where a compiler would see this service."""
    for path in reads:
        if _HERE.is_relative_to(path):
            raise ValueError(f"it reads from {path}, where the service lies")


def _program(driver: str, name: str) -> str:
    """The path of one of its parts."""
    said = _said([driver, f"-print-prog-name={name}"]).strip()
    found = shutil.which(said)
    if found is None:
        raise FileNotFoundError(f"{name} is missing")
    return found


def _tool(path: str, reads: Sequence[str]) -> Tool:
    """A tool with the libraries that it needs, as the dynamic loader tells them (man 8 ld.so)."""
    real = os.path.realpath(path)
    done = subprocess.run(  # noqa: S603 - of this host's own compiler
        [real, "--version"],  # of one that needs no loader, which then runs
        env={"LD_TRACE_LOADED_OBJECTS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    loader = ""
    libraries: list[str] = []
    for line in done.stdout.splitlines():
        _name, arrow, aim = line.strip().rpartition(" => ")
        aim = aim.partition(" (")[0]
        if aim.startswith("/") and arrow:
            libraries.append(str(Path(aim).parent))
        elif aim.startswith("/"):
            loader = aim
    cached = [_CACHE] if Path(_CACHE).exists() else []
    needed = [real, *([loader] if loader else []), *libraries, *cached, *reads]
    return Tool(real, loader, tuple(dict.fromkeys(needed)))


def _said(command: Sequence[str]) -> str:
    done = subprocess.run(  # noqa: S603 - as above
        command,
        env={"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    return done.stdout + done.stderr
