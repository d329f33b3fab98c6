"""Prompts made beside the loop: a fault is one call's, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from rewardplane.models.prompts import Prompt, Wanted
from rewardplane.models.tokenising import Tokeniser


class Odd:
    """A prompter: `raises` what a message names, or `answers` with it, or with none."""

    def prompts(self, wanted: Sequence[Wanted]) -> list[Any]:
        made: list[Any] = []
        for one in wanted:
            said = one.messages[0]["content"]
            if said == "raise":
                raise StopIteration(said)
            if said == "exit":
                raise SystemExit(said)
            if said != "nothing":
                made.append(StopIteration(said) if said == "answer" else Prompt([len(said)]))
        return made


async def asked(tokeniser: Tokeniser, *texts: str) -> list[Any]:
    asks = [tokeniser.prompt([{"role": "user", "content": text}], asks=True) for text in texts]
    async with asyncio.timeout(10):
        return await asyncio.gather(*asks, return_exceptions=True)


@pytest.mark.parametrize("odd", ["raise", "exit", "nothing", "answer"])
async def test_after_a_fault_others_are_made(odd: str) -> None:
    tokeniser = Tokeniser(Odd())  # type: ignore[arg-type]
    told = await asked(tokeniser, "a", odd, "bc")
    assert isinstance(told[1], RuntimeError), told
    if odd == "answer":
        assert (told[0].ids, told[2].ids) == ([1], [2])
    assert [one.ids for one in await asked(tokeniser, "abc", "d")] == [[3], [1]]
    tokeniser.close()


async def test_what_runs_between_may_raise_anything() -> None:
    tokeniser = Tokeniser(Odd())  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        for call in (lambda: next(iter(())), lambda: exec("raise SystemExit")):  # noqa: S102
            with pytest.raises(RuntimeError):
                await tokeniser.run(call)
        assert await tokeniser.run(lambda: 3) == 3
    tokeniser.close()
