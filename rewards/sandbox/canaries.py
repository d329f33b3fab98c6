"""The attacks that prove a level, tried through a zygote before it gets any work."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path

from .errand import Fault, request_file
from .guest.canary import IMPORTED
from .level import Canary, Level
from .limits import Limits
from .verdict import Run, Verdict

_LIMITS = Limits(cpu_s=2.0, wall_s=10.0, memory_mb=64)
_LOOP_S = 0.05
_ATTACKS: dict[str, Level] = {
    "memory": Level.PROCESS,
    "shared_memory": Level.PROCESS,
    "read_file": Level.CONFINED,
    "write_file": Level.CONFINED,
    "chmod_file": Level.CONFINED,
    "read_etc": Level.CONFINED,
    "read_environ": Level.CONFINED,
    "connect_tcp": Level.CONFINED,
    "connect_abstract": Level.CONFINED,
    "fork": Level.CONFINED,
    "signal_pool": Level.CONFINED,
    "signal_parent": Level.CONFINED,
    "become_root": Level.CONFINED,
    "clone3": Level.CONFINED,
    "bpf": Level.CONFINED,
    "io_uring": Level.CONFINED,
    "userfaultfd": Level.CONFINED,
    "keyctl": Level.CONFINED,
    "pidfd_open": Level.CONFINED,
    "ptrace": Level.CONFINED,
    "unshare_user": Level.CONFINED,
    "setns": Level.CONFINED,
    "mount": Level.CONFINED,
    "sysv_memory": Level.CONFINED,
    "x32": Level.CONFINED,
    "stat_file": Level.NAMESPACED,
    # Last: they would be the end of the process.
    "kill_itself": Level.CONFINED,
    "exec": Level.CONFINED,
}
"""The lowest level at which each must fail."""


async def attack(run: Callable[[int, Limits], Awaitable[Run]], level: Level) -> tuple[Canary, ...]:
    """Tries all that must fail at a level. `run` runs `guest.canary` on a request file."""
    canaries = await break_out(run, level)
    loop = await _verdict(run, {"loop": True}, replace(_LIMITS, cpu_s=_LOOP_S))
    flood = await _verdict(run, {"flood": 100_000}, replace(_LIMITS, output_bytes=1000))
    canaries.append(Canary("loop", Level.PROCESS, loop == Verdict.CPU_LIMIT.value, loop))
    canaries.append(Canary("flood", Level.PROCESS, flood == Verdict.OUTPUT_LIMIT.value, flood))
    return tuple(canaries)


async def break_out(
    run: Callable[[int, Limits], Awaitable[Run]], level: Level, *, imports: bool = True
) -> list[Canary]:
    """Tries what must fail at a level by what a zygote is, and not by the pool's watching.

    What they aim at is made for them: a file that anyone may read, in a folder that anyone may
    write to, and listeners. `imports`: whether Python's own modules can be imported there.
    """
    folder = Path(tempfile.mkdtemp(prefix="rewardplane-canary-"))
    name = f"rewardplane-canary-{folder.name}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        abstract.bind(f"\0{name}")
        abstract.listen()
        secret = _secret_in(folder)
        facts = {
            "secret": str(secret),
            "folder": str(folder),
            "pid": os.getpid(),
            "port": tcp.getsockname()[1],
            "abstract": name,
            "memory_bytes": 8 * _LIMITS.memory_mb << 20,
        }
        try:
            return await _break_out(run, level, facts, imports=imports)
        finally:
            shutil.rmtree(folder)


def _secret_in(folder: Path) -> Path:
    folder.chmod(0o777)
    secret = folder / "secret"
    secret.write_text("secret")
    secret.chmod(0o666)
    return secret


async def _break_out(
    run: Callable[[int, Limits], Awaitable[Run]],
    level: Level,
    facts: Mapping[str, object],
    *,
    imports: bool,
) -> list[Canary]:
    names = [name for name, needed in _ATTACKS.items() if needed <= level]
    request = json.dumps({"facts": facts, "attacks": names, "imports": imports}).encode()
    try:
        ended = await _once(run, request, _LIMITS)
    except Fault as fault:
        return [Canary("child", Level.PROCESS, stopped=False, seen=str(fault))]
    lines = [line.partition("\t") for line in ended.answer.decode().splitlines()]
    met = {name: what for name, _tab, what in lines}
    late = (
        met.get("late_import") or f"{ended.verdict.value}: {ended.stderr.decode(errors='replace')}"
    )
    found = [Canary("late_import", Level.PROCESS, late == IMPORTED, late)] if imports else []
    for name in names:
        what = met.get(name, "")
        found.append(Canary(name, _ATTACKS[name], bool(what), what or "it got through"))
    return found


async def _verdict(
    run: Callable[[int, Limits], Awaitable[Run]], asked: dict[str, object], limits: Limits
) -> str:
    try:
        return (await _once(run, json.dumps(asked).encode(), limits)).verdict.value
    except Fault as fault:
        return str(fault)


async def _once(
    run: Callable[[int, Limits], Awaitable[Run]], request: bytes, limits: Limits
) -> Run:
    file = request_file(request)
    try:
        return await run(file, limits)
    finally:
        os.close(file)
