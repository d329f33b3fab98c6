"""A reward of Gemini's reinforcement tuning, from the JSON that configures it there."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr, model_validator

from ..code.snippets import Snippets
from ..formats.gemini.checks import CheckedConfig, read_config
from ..formats.gemini.code import limits_of
from ..formats.gemini.options import CloudRun, Code, Undocumented
from ..formats.gemini.reader import BadMessage, loads
from ..formats.gemini.reward import (
    FAILED,
    SAMPLES,
    Composite,
    Single,
    component_names_of,
    singles_of,
)
from ..formats.gemini.schema import CompositeReward
from ..http.endpoint import Endpoint
from ..models.question import Judge
from ..reward import Result, kind
from ..types import Example, Response, Score

MAX_CONFIG_BYTES = 16 * 2**20
JUDGE_S = 60.0
"""The longest that Google waits for one rating."""
CONFIG_FILE = "config_file"


@kind("gemini")
class Gemini(Snippets):
    """A single or composite ``ReinforcementTuningRewardConfig``, as Google's API takes it.

    String match, code execution (in a sandbox), autorater (by the judge at `judge`) and Cloud Run
    (called over HTTP). Each reward is clipped to [-1, 1]; a composite is the weighted average. What
    Google does not document is settled by `undocumented`. A single reward has component `parsed`;
    a composite has one for each member, under its name.
    """

    outside = (CONFIG_FILE, "judge", "cloud_run")
    libraries = ("google-re2",)

    config: Mapping[str, Any] | None = None
    """The JSON. In a configuration file `config_file` may name the file that holds it: see
    `at_home`; nothing here opens a file."""
    judge: Endpoint | None = None
    """The OpenAI-compatible API that serves `autoraterModel`."""
    undocumented: Undocumented = Undocumented()
    """What is done where Google's documents are silent."""
    code: Code = Code()
    """The limits of code execution."""
    cloud_run: CloudRun = CloudRun()
    """How Cloud Run services are called."""

    _checked: CheckedConfig = PrivateAttr()

    @classmethod
    def at_home(cls, params: Mapping[str, Any], folder: str) -> dict[str, Any]:
        """The parameters, with what the file `config_file` holds as `config`.

        A relative path counts from `folder`. So replicas on other machines need no file, and the
        digest covers what it holds.

        Raises:
            ValueError: it cannot be read.
        """
        if CONFIG_FILE not in params:
            return dict(params)
        inline = {key: value for key, value in params.items() if key != CONFIG_FILE}
        name = params[CONFIG_FILE]
        if "config" in inline or not isinstance(name, str) or not name:
            raise ValueError("want either `config` or `config_file`, the name of a file")
        return {**inline, "config": _read(Path(folder) / name)}

    @model_validator(mode="after")
    def _is_sound(self) -> Gemini:
        if self.config is None:
            raise ValueError("want `config`, or `config_file` in a configuration file")
        try:
            self._checked = read_config(self.config, self.undocumented, self.cloud_run)
        except BadMessage as error:
            raise ValueError("; ".join(f"config: {fault}" for fault in error.faults)) from None
        if self.judge is None and any(single.wants_judge for single, _ in self._singles):
            raise ValueError("judge: is missing, and autoraterScorer needs one")
        return self

    @property
    def unknown_fields(self) -> tuple[str, ...]:
        """The fields of the configuration that nobody knows, with path and nearest known field."""
        return self._checked.unknown

    @property
    def warnings(self) -> tuple[str, ...]:
        """The same, and what in the configuration has no effect or little sense."""
        return self._checked.warnings

    @property
    def deterministic(self) -> bool:
        """Whether all of it is string match."""
        return not self.is_async

    @property
    def is_async(self) -> bool:
        """Whether a part of it waits for something outside the process."""
        return self._waits

    @property
    def component_names(self) -> tuple[str, ...]:
        """`parsed`, or the members' names."""
        return self._names

    @property
    def runs_code(self) -> bool:
        """Whether a part of it is code."""
        return any(single.runs_code for single, _ in self._singles)

    @property
    def reaches_out(self) -> bool:
        """Whether it names an address."""
        return self.judge is not None or any(single.calls_out for single, _ in self._singles)

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Time for what its parts wait for; where all is code, an item at once a slot."""
        singles = [single for single, _ in self._singles]
        times_s = [30.0]
        memory: dict[str, Any] = {}
        if self.runs_code:
            memory = dict(self.source_defaults(limits_of(self.code)))
            times_s.append(memory.pop("timeout_s"))
        if any(single.calls_out for single in singles):
            times_s.append(self.cloud_run.timeout_s + sum(self.cloud_run.backoff_s))
        if any(single.wants_judge for single in singles):
            times_s.append(2 * JUDGE_S)
        pure_code = all(single.runs_code for single in singles)
        slots: dict[str, Any] = dict(super().defaults) if pure_code else {}
        return {**slots, **memory, "timeout_s": max(times_s)}

    def setup(self) -> None:
        """Makes judge and sandboxes ready.

        Raises:
            IsolationUnavailable: code is to be executed, and the host does not isolate it enough.
        """
        super().setup()
        for single, _ in self._singles:
            single.setup(self.make_runner)
        _ = self._judge

    def examine(self, example: Example) -> None:
        """Fills the expressions and the judges' prompts; nobody is asked."""
        for single, _ in self._singles:
            single.examine(example)

    def score(self, example: Example, response: Response) -> Result | Awaitable[Result]:
        """Scores one item."""
        if self._waits:
            return self._score(example, response)
        if self._single is not None:
            return self._single.score_now(example, response)
        outcomes = self._composite.outcomes_now(example, response)
        return self._composite.score(outcomes, self.undocumented.on_member_error)

    def take_figures(self) -> dict[str, float]:
        """What happened since the last call: clipped rewards, repeated calls, the judge's."""
        total: dict[str, float] = dict(super().take_figures())
        sources: list[Single | Judge] = [single for single, _ in self._singles]
        if self._judge is not None:
            sources.append(self._judge)
        for source in sources:
            for name, value in source.take_figures().items():
                total[name] = total.get(name, 0.0) + value
        return total

    async def close(self) -> None:
        """Closes connections and sandboxes."""
        for single, _ in self._singles:
            await single.close()
        if self._judge is not None:
            await self._judge.close()

    async def _score(self, example: Example, response: Response) -> Score:
        if self._single is not None:
            return await self._single.score(example, response, self._judge)
        outcomes = await self._composite.outcomes(example, response, self._judge)
        return self._composite.score(outcomes, self.undocumented.on_member_error)

    # Each item asks for these: pydantic takes a microsecond for a private attribute.
    @cached_property
    def _waits(self) -> bool:
        return any(single.is_async for single, _ in self._singles)

    @cached_property
    def _single(self) -> Single | None:
        is_composite = isinstance(self._checked.config, CompositeReward)
        return None if is_composite else self._singles[0][0]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        if self._single is not None:
            return ("parsed", SAMPLES) if self._single.tells_samples else ("parsed",)
        names = tuple(self._composite.component_names)
        if self.undocumented.on_member_error == "error":
            return names
        return tuple(part for name in names for part in (name, name + FAILED))

    @cached_property
    def _singles(self) -> list[tuple[Single, float]]:
        return singles_of(self._checked.config, self.undocumented, self.code, self.cloud_run)

    @cached_property
    def _composite(self) -> Composite:
        names = component_names_of([single.name for single, _ in self._singles])
        return Composite(self._singles, names)

    @cached_property
    def _judge(self) -> Judge | None:
        if self.judge is None:
            return None
        from ..models.openai_chat import OpenAIChat

        return OpenAIChat(self.judge)


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ValueError(f"config_file: {path}: {error.strerror}") from None
    if len(text) > MAX_CONFIG_BYTES:
        raise ValueError(f"config_file: {path} is longer than {MAX_CONFIG_BYTES} bytes")
    try:
        return loads(text)
    except BadMessage as error:
        raise ValueError(f"config_file: {path}: {error}") from None
