"""Runs the table of Gemini's rules, and prints it: `python -m tests.rewards.gemini.conformance`."""

from __future__ import annotations

import asyncio
import sys

from pydantic import ValidationError
from rewardplane.rewards.types import Content, Example, Part, Response, ScoreError

from ....support.judge_server import says
from .rules import CASES, Case, Holds, Refused, Warned
from .world import World, outcome_of, world


async def check(case: Case, here: World) -> str:
    """What is wrong, or ""."""
    if isinstance(case.expected, Holds):
        return "" if case.expected.statement() else "does not hold"
    here.judge.replies = [says(r) if isinstance(r, str) else r for r in case.judge]
    here.cloud_run.replies = list(case.service)
    params = dict(case.params)
    if case.undocumented:
        params["undocumented"] = case.undocumented
    try:
        reward = here.reward(case.config, **params)
    except ValidationError as error:
        missing = [t for t in getattr(case.expected, "told", ("-",)) if t not in str(error)]
        return "" if isinstance(case.expected, Refused) and not missing else f"refused: {error}"
    if isinstance(case.expected, Refused):
        return "was not refused"
    if isinstance(case.expected, Warned):
        told = case.expected.told
        if not told:
            return f"warned: {reward.warnings}" if reward.warnings else ""
        hit = any(all(t in warning for t in told) for warning in reward.warnings)
        return "" if hit else f"warnings: {reward.warnings}"
    response = Response(case.text) if isinstance(case.text, str) else case.text
    contents = [Content("user", [Part("What is 2+2?")])]
    example = Example(**{"contents": contents, "references": case.references, **case.example})
    outcome = await outcome_of(reward, example, response)
    got = outcome.reason if isinstance(outcome, ScoreError) else outcome.reward
    if isinstance(got, float) and isinstance(case.expected, float):
        same = abs(got - case.expected) < 1e-12
    else:
        same = got is case.expected
    if not same:
        return f"came out as {outcome}"
    holds = case.also is None or case.also(here, outcome)
    return "" if holds else f"what else must hold does not: {outcome}"


async def main() -> int:
    failed: list[str] = []
    for case in CASES:
        async with world() as here:
            wrong = await check(case, here)
        print(f"{'FAIL' if wrong else 'pass'}  {case.section:<4} {case.source:<7} {case.rule}")
        if wrong:
            failed.append(case.name)
            print(f"      {wrong}")
    by_source = {s: sum(c.source == s for c in CASES) for s in ("google", "trap", "ours")}
    told = ", ".join(f"{count} {source}" for source, count in by_source.items())
    print(f"\n{len(CASES)} cases ({told}): {len(CASES) - len(failed)} pass, {len(failed)} fail")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
