"""A sound configuration, made ready to score: single rewards, and their composite."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...code.snippet_runner import RunnerFactory
from ...models.question import Judge
from ...result import plain
from ...types import (
    MAX_MESSAGE_CHARS,
    MAX_SCORE_ANSWER_CHARS,
    Example,
    InvalidInput,
    Response,
    RewardFault,
    Score,
    ScoreError,
    Unavailable,
    Usage,
)
from .autorater import Autorater, clipped
from .cloud_run import CloudRunService
from .code import CodeExecution
from .combine import MemberOutcome, OnMemberError, combine
from .match import StringMatch
from .options import CloudRun, Code, Undocumented
from .parse import Parse
from .schema import CompositeReward, RewardConfig, SingleReward, name_of
from .view import content_of, text_content, text_of

NO_MATCH = "the response does not match the parse expression"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")
MAX_NAME_CHARS = 64


class Single:
    """One reward of a configuration: parse, score, clip."""

    def __init__(
        self, config: SingleReward, name: str, options: Undocumented, code: Code, cloud: CloudRun
    ) -> None:
        """Takes a config that `checks` found sound."""
        self.name = name
        self._options = options
        self._parse = Parse(
            config.parse_response_config,
            strip=options.strip,
            dot_matches_newline=options.dot_matches_newline,
        )
        self._match: StringMatch | None = None
        self._code: CodeExecution | None = None
        self._autorater: Autorater | None = None
        self._service: CloudRunService | None = None
        self._clipped = 0
        if config.string_match_reward_scorer is not None:
            self._match = StringMatch(config.string_match_reward_scorer, options)
        elif config.code_execution_reward_scorer is not None:
            snippet = config.code_execution_reward_scorer.python_code_snippet
            self._code = CodeExecution(snippet, code)
        elif config.autorater_scorer is not None:
            self._autorater = Autorater(config.autorater_scorer, options)
        elif config.cloud_run_reward_scorer is not None:
            self._service = CloudRunService(config.cloud_run_reward_scorer.cloud_run_uri, cloud)

    @property
    def is_async(self) -> bool:
        """Whether it waits for something outside the process."""
        return self._match is None

    @property
    def wants_judge(self) -> bool:
        """Whether it asks a judge."""
        return self._autorater is not None

    @property
    def calls_out(self) -> bool:
        """Whether it calls a Cloud Run service."""
        return self._service is not None

    @property
    def tells_samples(self) -> bool:
        """Whether scores have the component `samples`: how many of the judge's were valid."""
        return self._autorater is not None and self._options.on_sample_error == "skip"

    @property
    def runs_code(self) -> bool:
        """Whether it executes code."""
        return self._code is not None

    def setup(self, make_runner: RunnerFactory) -> None:
        """Makes the sandbox ready, where code is to be executed."""
        if self._code is not None:
            self._code.setup(make_runner)

    def examine(self, example: Example) -> None:
        """Fills what is filled from the example, as if a response had an answer.

        Raises:
            RewardFault: a reference is missing, or makes no expression.
        """
        if self._match is not None:
            self._match.examine(example)
        elif self._autorater is not None:
            self._autorater.examine(example)

    def score_now(self, example: Example, response: Response) -> Score:
        """As `score`, of a reward that waits for nothing."""
        assert self._match is not None  # noqa: S101 - see is_async
        parsed = self._parsed(response)
        return self._score(self._match.score(example, response, parsed), parsed, "")

    async def score(self, example: Example, response: Response, judge: Judge | None) -> Score:
        """As `scored`, without the usage."""
        return (await self.scored(example, response, judge))[0]

    async def scored(
        self, example: Example, response: Response, judge: Judge | None
    ) -> tuple[Score, Usage | None]:
        """The clipped reward, with component `parsed`: 0 where the parse expression is not found.

        The explanation is what a Cloud Run service told for the user, or what was clipped of a
        judge's numbers or of a snippet's. With what a judge took for it.

        Raises:
            RewardFault: the item cannot be scored.
        """
        if self._match is not None:
            return self.score_now(example, response), None
        parsed = self._parsed(response)
        if self._autorater is not None:
            if judge is None:
                raise Unavailable("no judge is configured")
            rating = await self._autorater.score(example, response, parsed or "", judge)
            self._clipped += len(rating.clipped)
            told = [f"the judge gave {number:g}, clipped to [-1, 1]" for number in rating.clipped]
            score = self._score(rating.reward, parsed, "\n".join(told))
            if self.tells_samples:
                score.components = {**score.components, SAMPLES: float(rating.samples)}
            return score, rating.usage
        content = self._content(response, parsed)
        if self._code is not None:
            value = await self._code.score(example, response, content)
            said = f"evaluate returned {value:g}, clipped to [-1, 1]"
            return self._score(value, parsed, said if clipped(value) != value else ""), None
        assert self._service is not None  # noqa: S101 - there is one scorer
        told = await self._service.ask(example, response, content)
        return self._score(told.reward, parsed, told.aux_info), None

    def take_figures(self) -> dict[str, float]:
        """What happened since the last call."""
        taken: dict[str, float] = {}
        if self._clipped:
            taken["gemini_clipped"] = float(self._clipped)
            self._clipped = 0
        return taken if self._service is None else {**taken, **self._service.take_figures()}

    async def close(self) -> None:
        """Closes connections and sandboxes of this event loop."""
        if self._service is not None:
            await self._service.close()
        if self._code is not None:
            await self._code.close()

    def _parsed(self, response: Response) -> str | None:
        parsed = self._parse(text_of(response, self._options))
        if parsed is None and self._options.no_answer == "error":
            raise InvalidInput(NO_MATCH)
        return parsed

    def _content(self, response: Response, parsed: str | None) -> dict[str, Any]:
        if self._parse.extracts or self._options.strip:
            return text_content(parsed or "")
        return content_of(response, self._options)

    def _score(self, reward: float, parsed: str | None, aux_info: str) -> Score:
        value = clipped(reward)
        self._clipped += value != reward
        explanation = aux_info or ("" if parsed is not None else NO_MATCH)
        answer = parsed[:MAX_SCORE_ANSWER_CHARS] if parsed and self._parse.extracts else ""
        components = _PARSED if parsed is not None else _NOT_PARSED
        return Score(value, components, explanation, (), answer)


_PARSED: Mapping[str, float] = {"parsed": 1.0}
_NOT_PARSED: Mapping[str, float] = {"parsed": 0.0}


class Composite:
    """The members of a composite with their weights."""

    def __init__(
        self, members: Sequence[tuple[Single, float]], component_names: Sequence[str]
    ) -> None:
        self.members = members
        self.component_names = component_names

    async def outcomes(
        self, example: Example, response: Response, judge: Judge | None
    ) -> list[MemberOutcome]:
        """What came of each member, in their order; they run side by side."""

        async def run(single: Single, weight: float) -> MemberOutcome:
            try:
                score, usage = await single.scored(example, response, judge)
            except RewardFault as fault:
                return _failed(single, weight, fault)
            return MemberOutcome(single.name, weight, score, aux_info(single, score), usage)

        return await asyncio.gather(*(run(single, weight) for single, weight in self.members))

    def outcomes_now(self, example: Example, response: Response) -> list[MemberOutcome]:
        """As `outcomes`, where no member waits for anything."""
        found: list[MemberOutcome] = []
        for single, weight in self.members:
            try:
                score = single.score_now(example, response)
            except RewardFault as fault:
                found.append(_failed(single, weight, fault))
            else:
                found.append(MemberOutcome(single.name, weight, score))
        return found

    def score(self, outcomes: Sequence[MemberOutcome], on_error: OnMemberError) -> Score:
        """The average, with each member's reward as a component; a failed member's is 0.

        Under `renormalise` a component ``NAME.failed`` tells 1 from 0.

        Raises:
            MemberFault: as `combine`.
        """
        reward = combine(outcomes, on_error)
        parts: dict[str, float] = {}
        for name, member in zip(self.component_names, outcomes, strict=False):
            outcome = member.outcome
            parts[name] = outcome.reward if isinstance(outcome, Score) else 0.0
            if on_error == "renormalise":
                parts[name + FAILED] = float(isinstance(outcome, ScoreError))
        told = (f"{m.name}: {_told(m)}" for m in outcomes if _told(m))
        return Score(reward, parts, "\n".join(told))


FAILED = ".failed"
SAMPLES = "samples"


def aux_info(single: Single, score: Score) -> str:
    """What a Cloud Run service told for the user."""
    told = score.explanation
    return told if single.calls_out and told != NO_MATCH else ""


def singles_of(
    config: RewardConfig, options: Undocumented, code: Code, cloud: CloudRun
) -> list[tuple[Single, float]]:
    """The single rewards of a sound configuration with their weights, in their order."""
    return [
        (Single(member, name, options, code, cloud), weight)
        for name, weight, member in members_of(config)
    ]


def members_of(config: RewardConfig) -> list[tuple[str, float, SingleReward]]:
    """Name, weight and config of each single reward; one without a name is named by its place."""
    if isinstance(config, CompositeReward):
        members = [(m.reward_config, m.weight) for m in config.weighted_reward_configs]
        return [
            (name_of(single, index), weight, single)
            for index, (single, weight) in enumerate(members)
            if single is not None
        ]
    return [(config.reward_name or "reward", 1.0, config)]


def component_names_of(names: Sequence[str]) -> tuple[str, ...]:
    """The names as components have them: letters, digits, ``_.-``, at most 64, distinct."""
    found: list[str] = []
    for name in names:
        stem = _NOT_IN_NAMES.sub("_", name)[: MAX_NAME_CHARS - 12] or "reward"
        if stem == "score":
            stem = "score_"
        taken, number = stem, 2
        while taken in found:
            taken, number = f"{stem}_{number}", number + 1
        found.append(taken)
    return tuple(found)


def _failed(single: Single, weight: float, fault: RewardFault) -> MemberOutcome:
    error = ScoreError(fault.reason, plain(str(fault), MAX_MESSAGE_CHARS), fault.usage)
    return MemberOutcome(single.name, weight, error, usage=fault.usage)


def _told(member: MemberOutcome) -> str:
    outcome = member.outcome
    if isinstance(outcome, ScoreError):
        return f"{outcome.reason.name}: {outcome.message}"
    return outcome.explanation
