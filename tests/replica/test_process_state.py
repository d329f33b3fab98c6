"""What a trusted function changes of its process is put back before later items run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..support.rig import groups_of, pool_of, rewards, run

CHANGES = [
    *("cwd", "removed", "environment", "umask", "signals", "limits", "locale", "decimal"),
    *("recursion", "collector", "seed"),
]


def leaky(name: str) -> dict[str, Any]:
    return {"kind": "python", "function": f"leaky:{name}"}


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("shape", ["one", "group"])
async def test_a_shard_leaves_no_trace(shape: str, tmp_path: Path) -> None:
    path = tmp_path / "told"
    async with pool_of(leaky(shape)) as pool:
        await run(pool, groups_of([f"tell {path}"]))
        for what in CHANGES:
            changed = await run(pool, groups_of([f"change {what}"]))
            assert rewards(changed) == [1.0], what
            assert rewards(await run(pool, groups_of([f"tell {path}"]))) == [1.0], what
    first, *others = told(path)
    assert first["seed"] is False
    for what, state in zip(CHANGES, others, strict=True):
        assert state == first, what


@pytest.mark.parametrize("what", CHANGES)
async def test_nor_does_a_call_of_a_millisecond(what: str, tmp_path: Path) -> None:
    path = tmp_path / "told"
    async with pool_of(leaky("one")) as pool:
        texts = [f"tell {path}", f"slow {what}", f"tell {path}"]
        assert rewards(await run(pool, groups_of(texts))) == [1.0] * 3
    before, after = told(path)
    assert after == before
