"""The autorater: a judge's answer, parsed and made a number."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from ...models.completion import shown
from ...models.question import Ask, Judge, Judgement, Sampling
from ...models.refusal import is_refusal
from ...text.template import render
from ...types import (
    RETRYABLE,
    Example,
    JudgeRefused,
    JudgeUnreadable,
    Response,
    RewardFault,
    Usage,
)
from .labels import Labels, is_right
from .options import Undocumented
from .parse import Parse
from .prompt import fill, filled_gold, has_references
from .schema import AutoraterScorer, GenerationConfig, ThinkingLevel

TIMEOUT_S = 60.0
"""The documented limit for the judge's answer; samples are asked for side by side."""
DEFAULT_SAMPLES = 4

_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_MAX_NUMBER_CHARS = 1_000


@dataclass(slots=True, frozen=True)
class Rating:
    """The mean of `samples` valid samples; `clipped` are those of them that were out of range."""

    reward: float
    samples: int
    clipped: tuple[float, ...]
    usage: Usage


class Autorater:
    """Asks the judge `sampling_count` times and takes the mean."""

    def __init__(self, scorer: AutoraterScorer, options: Undocumented) -> None:
        """Takes a scorer that `checks` found sound."""
        config = scorer.autorater_config
        assert config is not None  # noqa: S101 - checked
        self._scorer = scorer
        self._options = options
        self._model = config.autorater_model
        self._samples = config.sampling_count or DEFAULT_SAMPLES
        self._sampling = sampling_of(config.generation_config)
        self._parse = Parse(
            scorer.autorater_response_parse_config,
            strip=options.strip,
            dot_matches_newline=options.dot_matches_newline,
        )
        exact = scorer.exact_match_scorer
        self._labels = Labels(
            render(scorer.autorater_prompt, lambda _: " "),
            options.judge_labels,
            extracted=self._parse.extracts,
            open_ended=exact is not None and has_references(exact.expression),
        )

    def examine(self, example: Example) -> None:
        """Fills the prompt and the expression.

        Raises:
            RewardFault: a reference is missing, or the text would be too long.
        """
        nothing = Response("")
        fill(self._scorer.autorater_prompt, example, nothing, self._options, parsed="")
        if (exact := self._scorer.exact_match_scorer) is not None:
            filled_gold(exact.expression, example, nothing, self._options)

    async def score(
        self, example: Example, response: Response, parsed: str, judge: Judge
    ) -> Rating:
        """The mean of the samples, each clipped. One that cannot be read is asked for once more.

        Raises:
            InvalidReference: the prompt or the expression wants one that is missing.
            RewardFault: a sample cannot be had (or, by the options, none can); the judge's fault,
                with the usage of all samples.
        """
        options = self._options
        prompt = fill(self._scorer.autorater_prompt, example, response, options, parsed=parsed)
        exact = self._scorer.exact_match_scorer
        want = None if exact is None else filled_gold(exact.expression, example, response, options)
        asks = [self._ask(prompt, index) for index in range(2 * self._samples)]
        first = await judge.decide(asks[: self._samples], TIMEOUT_S)
        usages = [_usage_of(answer) for answer in first]
        samples = [self._sample(answer, want) for answer in first]
        failed = [
            index
            for index, (answer, sample) in enumerate(zip(first, samples, strict=True))
            # What the backend found unreadable, it had repaired already.
            if isinstance(answer, Judgement) and isinstance(sample, JudgeUnreadable)
        ]
        if failed:
            again = await judge.decide([asks[self._samples + i] for i in failed], TIMEOUT_S)
            usages += [_usage_of(answer) for answer in again]
            for index, answer in zip(failed, again, strict=True):
                samples[index] = self._sample(answer, want)
        faults = [s for s in samples if isinstance(s, RewardFault)]
        rewards = [s for s in samples if not isinstance(s, RewardFault)]
        usage = sum(usages, Usage())
        if faults and (not rewards or options.on_sample_error == "error"):
            # One that may go away is told first: then the item is worth another try.
            fault = min(faults, key=lambda fault: fault.reason not in RETRYABLE)
            fault.usage = usage
            raise fault
        mean = math.fsum(map(clipped, rewards)) / len(rewards)
        outside = tuple(reward for reward in rewards if clipped(reward) != reward)
        return Rating(mean, len(rewards), outside, usage)

    def _ask(self, prompt: str, index: int) -> Ask:
        sampling = self._sampling
        if index and sampling.seed is not None:
            # The same seed would give the same answer each time.
            sampling = replace(sampling, seed=sampling.seed + index)
        return Ask(self._model, [{"role": "user", "content": prompt}], sampling=sampling)

    def _sample(self, answer: Judgement | RewardFault, want: str | None) -> float | RewardFault:
        if isinstance(answer, RewardFault):
            return answer
        try:
            return self._reward(answer.text, want)
        except RewardFault as fault:
            return fault

    def _reward(self, said: str, want: str | None) -> float:
        text = self._parse(said)
        if text is None:
            if is_refusal(said):
                raise JudgeRefused(f"the judge refused: {shown(said)}")
            raise JudgeUnreadable(
                f"the judge's answer does not match the parse expression: {shown(said)!r}"
            )
        exact = self._scorer.exact_match_scorer
        if exact is None:
            return _number(text)
        right = is_right(text, want or "", self._labels)
        return exact.correct_answer_reward if right else exact.wrong_answer_reward


def clipped(reward: float) -> float:
    """Within [-1, 1], as Google clips each single reward."""
    return max(min(reward, 1.0), -1.0)


def sampling_of(config: GenerationConfig | None) -> Sampling:
    """What of a generation config an OpenAI-compatible judge can be told."""
    if config is None:
        return Sampling()
    extra: dict[str, object] = {}
    if config.stop_sequences:
        extra["stop"] = list(config.stop_sequences)
    if config.presence_penalty is not None:
        extra["presence_penalty"] = config.presence_penalty
    if config.frequency_penalty is not None:
        extra["frequency_penalty"] = config.frequency_penalty
    thinking = config.thinking_config
    level = None if thinking is None else thinking.thinking_level
    told = None
    if level is not None and level is not ThinkingLevel.THINKING_LEVEL_UNSPECIFIED:
        told = level.name.lower()
    return Sampling(
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_output_tokens,
        seed=config.seed,
        reasoning_effort=told,
        extra=extra,
    )


def _number(text: str) -> float:
    text = text.strip()
    if len(text) <= _MAX_NUMBER_CHARS and _NUMBER.fullmatch(text):
        value = float(text)
        if math.isfinite(value):
            return value
        raise JudgeUnreadable(f"the judge's answer is out of range: {shown(text)!r}")
    if is_refusal(text):
        raise JudgeRefused(f"the judge refused: {shown(text)}")
    raise JudgeUnreadable(f"the judge's answer is no number: {shown(text)!r}")


def _usage_of(answer: Judgement | RewardFault) -> Usage:
    return answer.usage or Usage()
