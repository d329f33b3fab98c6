"""The autorater: a judge's answer, parsed and made a number."""

from __future__ import annotations

import asyncio
import math
import re

from ...models.question import JudgeBackend, Question, Sampling, State
from ...types import RETRYABLE, Example, JudgeUnreadable, Response, RewardFault
from .options import Undocumented
from .parse import Parse
from .prompt import fill
from .schema import AutoraterScorer, GenerationConfig, ThinkingLevel

TIMEOUT_S = 60.0
"""The documented limit for the judge's answer; samples are asked for side by side."""
DEFAULT_SAMPLES = 4

_QUESTION = Question("rating")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


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

    async def score(
        self, example: Example, response: Response, parsed: str, judge: JudgeBackend
    ) -> float:
        """The mean of the samples, each clipped.

        Raises:
            InvalidReference: the prompt or the expression wants one that is missing.
            RewardFault: no sample can be had (or, by the options, one cannot); the judge's fault.
        """
        options = self._options
        prompt = fill(self._scorer.autorater_prompt, example, response, options, parsed=parsed)
        exact = self._scorer.exact_match_scorer
        want = None if exact is None else fill(exact.expression, example, response, options)
        asked = [self._sample(prompt, want, index, judge) for index in range(self._samples)]
        samples = await asyncio.gather(*asked)
        faults = [s for s in samples if isinstance(s, RewardFault)]
        rewards = [s for s in samples if not isinstance(s, RewardFault)]
        if faults and (not rewards or options.on_sample_error == "error"):
            # One that may go away is told first: then the item is worth another try.
            raise min(faults, key=lambda fault: fault.reason not in RETRYABLE)
        return math.fsum(rewards) / len(rewards)

    async def _sample(
        self, prompt: str, want: str | None, index: int, judge: JudgeBackend
    ) -> float | RewardFault:
        sampling = self._sampling
        if index and sampling.seed is not None:
            # The same seed would give the same answer each time.
            sampling = _with_seed(sampling, sampling.seed + index)
        state = State(self._model, [{"role": "user", "content": prompt}], sampling)
        try:
            answers = await judge.decide(state, (_QUESTION,), TIMEOUT_S)
            return clipped(self._reward(self._parse(answers[_QUESTION.name].raw), want))
        except RewardFault as fault:
            return fault

    def _reward(self, text: str | None, want: str | None) -> float:
        exact = self._scorer.exact_match_scorer
        if exact is not None:
            if text is None and self._options.no_answer == "error":
                raise JudgeUnreadable("the judge's answer does not match the parse expression")
            return exact.correct_answer_reward if text == want else exact.wrong_answer_reward
        if text is None:
            raise JudgeUnreadable("the judge's answer does not match the parse expression")
        if not _NUMBER.fullmatch(text.strip()):
            raise JudgeUnreadable(f"the judge's answer is no number: {text[:200]!r}")
        number = float(text)
        if not math.isfinite(number):
            raise JudgeUnreadable(f"the judge's answer is out of range: {text[:200]!r}")
        return number


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


def _with_seed(sampling: Sampling, seed: int) -> Sampling:
    return Sampling(
        sampling.temperature,
        sampling.top_p,
        sampling.max_tokens,
        seed,
        sampling.reasoning_effort,
        sampling.extra,
    )
