"""The JSON of OpenAI's graders, checked when it is read.

Sources: the types of PyPI's `openai` 3.54 under `types/graders`, and the guide to graders. Where
they differ, both are taken: `neq` beside `ne`, `graders` as a mapping or as one grader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ...text.formula import Formula, parse
from .variables import check_template

MAX_SOURCE_BYTES = 256 * 1024

Name = Annotated[str, Field(min_length=1, max_length=64)]
Text = Annotated[str, Field(max_length=MAX_SOURCE_BYTES)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Base(_Form):
    name: Name
    pass_threshold: float | None = None
    """For evaluations; it does not change the reward."""

    def templates(self) -> Iterator[str]:
        """All texts with placeholders."""
        yield from ()

    @model_validator(mode="after")
    def _variables_are_known(self) -> _Base:
        for template in self.templates():
            check_template(template)
        return self


class StringCheck(_Base):
    """1 where the comparison holds, else 0."""

    type: Literal["string_check"]
    input: Text
    reference: Text
    operation: Literal["eq", "ne", "neq", "like", "ilike"]

    def templates(self) -> Iterator[str]:
        """Both sides."""
        yield from (self.input, self.reference)


Metric = Literal[
    "cosine",
    "fuzzy_match",
    "bleu",
    "gleu",
    "meteor",
    "rouge_1",
    "rouge_2",
    "rouge_3",
    "rouge_4",
    "rouge_5",
    "rouge_l",
]


class TextSimilarity(_Base):
    """How close two texts are, 0 to 1 (`cosine`: -1 to 1)."""

    type: Literal["text_similarity"]
    input: Text
    reference: Text
    evaluation_metric: Metric

    def templates(self) -> Iterator[str]:
        """Both sides."""
        yield from (self.input, self.reference)


class _TextPart(_Form):
    type: Literal["input_text", "output_text"]
    text: Text


class _ImagePart(_Form):
    type: Literal["input_image"]
    image_url: str
    detail: Literal["high", "low", "auto"] | None = None


class _Audio(_Form):
    data: str
    format: Literal["mp3", "wav"]


class _AudioPart(_Form):
    type: Literal["input_audio"]
    input_audio: _Audio


InputPart = Text | Annotated[_TextPart | _ImagePart | _AudioPart, Field(discriminator="type")]


class InputMessage(_Form):
    """A message to the judge."""

    role: Literal["user", "assistant", "system", "developer"]
    content: InputPart | tuple[InputPart, ...]
    type: Literal["message"] = "message"

    @property
    def parts(self) -> tuple[Any, ...]:
        """The pieces of the content, in their order."""
        return self.content if isinstance(self.content, tuple) else (self.content,)

    def templates(self) -> Iterator[str]:
        """All texts and addresses of it."""
        for part in self.parts:
            if isinstance(part, str):
                yield part
            elif isinstance(part, _TextPart):
                yield part.text
            elif isinstance(part, _ImagePart):
                yield part.image_url
            else:
                yield cast("_AudioPart", part).input_audio.data


class SamplingParams(_Form):
    """How the judge samples. The guide and the SDK spell the limit of tokens differently."""

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_completions_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    reasoning_effort: str | None = None


class _Model(_Base):
    model: Annotated[str, Field(min_length=1, max_length=512)]
    input: Annotated[tuple[InputMessage, ...], Field(min_length=1, max_length=256)]
    sampling_params: SamplingParams = SamplingParams()

    def templates(self) -> Iterator[str]:
        """Those of all messages."""
        for message in self.input:
            yield from message.templates()


class ScoreModel(_Model):
    """A number that a judge gives, within `range`."""

    type: Literal["score_model"]
    range: tuple[float, float] = (0.0, 1.0)

    @field_validator("range")
    @classmethod
    def _is_a_range(cls, given: tuple[float, float]) -> tuple[float, float]:
        if not given[0] < given[1]:
            raise ValueError("want [low, high] with low < high")
        return given


class LabelModel(_Model):
    """1 where the judge's label is one of `passing_labels`, else 0."""

    type: Literal["label_model"]
    labels: Annotated[tuple[Name, ...], Field(min_length=1, max_length=256)]
    passing_labels: Annotated[tuple[Name, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _labels_are_known(self) -> LabelModel:
        unknown = sorted({*self.passing_labels} - {*self.labels})
        if unknown or len({*self.labels}) < len(self.labels):
            raise ValueError(f"labels must be distinct, passing_labels among them; not: {unknown}")
        return self


class PythonGrader(_Base):
    """What ``grade(sample, item)`` returns, run in a sandbox."""

    type: Literal["python"]
    source: str
    image_tag: str | None = None

    @field_validator("source")
    @classmethod
    def _is_short(cls, source: str) -> str:
        if len(source.encode("utf-8", "replace")) >= MAX_SOURCE_BYTES:
            raise ValueError(f"want less than {MAX_SOURCE_BYTES} bytes")
        return source


SingleGrader = Annotated[
    StringCheck | TextSimilarity | ScoreModel | LabelModel | PythonGrader,
    Field(discriminator="type"),
]


class Multi(_Base):
    """A formula of other graders. They do not nest."""

    type: Literal["multi"]
    graders: Annotated[Mapping[Name, SingleGrader], Field(min_length=1, max_length=64)]
    calculate_output: str

    @field_validator("graders", mode="before")
    @classmethod
    def _one_is_a_mapping_too(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        one = cast("dict[str, Any]", given)
        return {one.get("name"): one} if isinstance(one.get("type"), str) else one

    @model_validator(mode="after")
    def _formula_fits(self) -> Multi:
        unknown = [name for name in self.formula.names if name not in self.graders]
        if unknown:
            there = ", ".join(self.graders)
            raise ValueError(f"calculate_output: {unknown[0]!r} is no grader; there are: {there}")
        return self

    @cached_property
    def formula(self) -> Formula:
        """`calculate_output`, read."""
        return parse(self.calculate_output)


Grader = Annotated[
    StringCheck | TextSimilarity | ScoreModel | LabelModel | PythonGrader | Multi,
    Field(discriminator="type"),
]


def members(grader: Any) -> Mapping[str, Any]:
    """The single graders by name: those of a `Multi`, else the grader itself."""
    return grader.graders if isinstance(grader, Multi) else {grader.name: grader}
