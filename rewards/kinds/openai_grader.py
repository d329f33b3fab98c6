"""A grader as OpenAI's reinforcement fine-tuning takes it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from functools import cached_property
from typing import Any, cast

from pydantic import model_validator

from ..code.snippet_runner import SnippetLimits, SnippetRunner
from ..code.snippets import Snippets
from ..formats.openai.grading import Grades, Services, grade, grade_pure, is_pure
from ..formats.openai.outcome import TOKENS
from ..formats.openai.schema import (
    MAX_SOURCE_BYTES,
    Grader,
    LabelModel,
    Multi,
    PythonGrader,
    ScoreModel,
    TextSimilarity,
    members,
)
from ..formats.openai.similarity import similarity
from ..formats.openai.variables import filled_from_item, references_in
from ..functions.arguments import for_grade
from ..http.endpoint import Endpoint
from ..models.openai_chat import OpenAIChat
from ..reward import NO_RESPONSE, kind
from ..types import Example, Response, Score

LIMITS = SnippetLimits(120.0, 2048, 1024, 2, MAX_SOURCE_BYTES)
"""The documented limits of python graders."""


@kind("openai_grader")
class OpenAIGrader(Snippets):
    """What an OpenAI grader says, from its JSON unchanged.

    A response that cannot be parsed where the grader wants it parsed gets the lowest value; a grade
    that is invalid (a judge's refusal, a variable that the item lacks, an exception) is an error.
    Components are the members of a `multi` and, with a judge, the tokens that it took.
    """

    outside = ("judge",)
    libraries = ("rapidfuzz", "nltk", "rouge-score")

    grader: Grader
    """The grader, as OpenAI's JSON."""
    judge: Endpoint | None = None
    """Where the models of `score_model`, `label_model` and the metric `cosine` are."""

    @model_validator(mode="after")
    def _judge_is_known(self) -> OpenAIGrader:
        if self.judge is None and self._asks:
            raise ValueError(f"{self._asks[0]!r} asks a model: want `judge` with its base_url")
        clash = {*TOKENS} & {*members(self.grader)}
        if clash:
            raise ValueError(f"no grader may be named {clash.pop()!r}")
        return self

    @property
    def reaches_out(self) -> bool:
        """Whether it names an address."""
        return self.judge is not None

    @property
    def runs_code(self) -> bool:
        """Whether a part of it is code."""
        return any(isinstance(one, PythonGrader) for one in members(self.grader).values())

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Time for code and for judges; where all is code, an item at once a slot."""
        if not self.runs_code:
            return {"timeout_s": 2 * self.judge.timeout_s + 10} if self.judge is not None else {}
        pure_code = all(isinstance(one, PythonGrader) for one in members(self.grader).values())
        return {**self.source_defaults(LIMITS), **(super().defaults if pure_code else {})}

    @property
    def deterministic(self) -> bool:
        """Whether neither models nor code decide."""
        asks = (ScoreModel, LabelModel, PythonGrader)
        return not any(isinstance(one, asks) for one in members(self.grader).values())

    @property
    def is_async(self) -> bool:
        """Whether it waits for a judge or a sandbox."""
        return not is_pure(self.grader)

    @property
    def component_names(self) -> tuple[str, ...]:
        """The members of a `multi`, and tokens."""
        named = tuple(members(self.grader)) if isinstance(self.grader, Multi) else ()
        return (*named, *(TOKENS if self._judges else ()))

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """What the templates name of the item."""
        found: dict[str, None] = {}
        for one in members(self.grader).values():
            for template in one.templates():
                found.update(dict.fromkeys(references_in(template)))
        return tuple(key for key in found if key != "messages")

    def setup(self) -> None:
        """Reads the key, loads the metrics, and makes runners for the sources.

        Raises:
            ValueError: there is no key where the configuration says.
            IsolationUnavailable: there is source, and the host does not isolate it enough.
        """
        super().setup()
        if self.judge is not None:
            self.judge.key()
        for one in members(self.grader).values():
            if isinstance(one, TextSimilarity) and one.evaluation_metric != "cosine":
                similarity(one.evaluation_metric, "warm", "warm")
        _ = self._services

    def examine(self, example: Example) -> None:
        """Fills the templates; compares where nobody has to be asked for it."""
        variables = for_grade(example, NO_RESPONSE)
        for one in members(self.grader).values():
            for template in one.templates():
                filled_from_item(template, variables)
        if is_pure(self.grader):
            for graded in grade_pure(self.grader, variables).members.values():
                if graded.fault is not None:
                    raise graded.fault

    def score(self, example: Example, response: Response) -> Score | Awaitable[Score]:
        """The grade.

        Raises:
            RewardFault: there is no valid grade.
        """
        variables = for_grade(example, response)
        if self.is_async:
            return self._score_async(variables)
        return self._scored(grade_pure(self.grader, variables))

    async def _score_async(self, variables: Mapping[str, Any]) -> Score:
        return self._scored(await grade(self.grader, variables, self._services))

    def _scored(self, grades: Grades) -> Score:
        total = grades.total
        if total.fault is not None:
            raise total.fault
        parts: dict[str, float] = {}
        if isinstance(self.grader, Multi):
            parts = {name: cast("float", m.value) for name, m in grades.members.items()}
        if self._judges:
            counts = (total.usage.prompt_tokens, total.usage.completion_tokens)
            parts.update(zip(TOKENS, map(float, counts), strict=True))
        return Score(cast("float", total.value), parts, total.explanation)

    def take_figures(self) -> dict[str, float]:
        """The judge's; see `Judge.take_figures`."""
        figures = dict(super().take_figures())
        model = self._services.model
        return {**figures, **model.take_figures()} if model is not None else figures

    async def close(self) -> None:
        """Closes the judge's connections and the sandboxes."""
        if self._services.model is not None:
            await self._services.model.close()
        for runner in self._services.runners.values():
            await runner.close()

    @cached_property
    def _judges(self) -> list[str]:
        named = members(self.grader).items()
        return [name for name, one in named if isinstance(one, ScoreModel | LabelModel)]

    @cached_property
    def _asks(self) -> list[str]:
        named = members(self.grader).items()
        embeds = [
            name
            for name, one in named
            if isinstance(one, TextSimilarity) and one.evaluation_metric == "cosine"
        ]
        return [*self._judges, *embeds]

    @cached_property
    def _services(self) -> Services:
        runners: dict[str, SnippetRunner] = {
            name: self.make_runner(one.source, LIMITS)
            for name, one in members(self.grader).items()
            if isinstance(one, PythonGrader)
        }
        if self.judge is None:
            return Services(runners=runners)
        return Services(OpenAIChat(self.judge), runners, 2 * self.judge.timeout_s)
