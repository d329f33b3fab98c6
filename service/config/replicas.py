"""How many replicas run: always so many, or as many as the work of the moment wants.

replicas: 4
replicas: {min: 0, max: 16, idle_s: 60}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    model_validator,
)

MOST = 10_000


class ReplicaRange(BaseModel):
    """Between `min` and `max`, by the work there is, its deadlines, and what is to be expected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: Annotated[int, Field(ge=0, le=MOST)] = 1
    """0: none run while nothing is to be done; the next call waits until one has started."""
    max: Annotated[int, Field(ge=1, le=MOST)]
    idle_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """How long replicas are kept after a job's work while it is not known when its next comes."""

    @model_validator(mode="after")
    def _is_a_range(self) -> ReplicaRange:
        if self.min > self.max:
            raise ValueError(f"min: {self.min} is more than max, which is {self.max}")
        return self


_COUNT: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=1, le=MOST)])


def _checked(value: Any) -> int | ReplicaRange:
    try:
        if isinstance(value, Mapping | ReplicaRange):
            return ReplicaRange.model_validate(value)
        return _COUNT.validate_python(value)
    except ValidationError as error:
        raise ValueError("; ".join(_line(fault) for fault in error.errors())) from None


def _line(fault: Any) -> str:
    """A fault of a range with the name of its part; of a number as it is."""
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown; want {', '.join(ReplicaRange.model_fields)}"
    text = str(fault["msg"]).removeprefix("Value error, ")
    return f"{where}: {text}" if where else text


def plain(replicas: int | ReplicaRange) -> int | dict[str, Any]:
    """As JSON holds it."""
    if isinstance(replicas, ReplicaRange):
        return replicas.model_dump(mode="json")
    return replicas


Replicas = Annotated[int | ReplicaRange, PlainValidator(_checked), PlainSerializer(plain)]
"""The setting: a number from 1 to 10,000, or a range."""


def range_of(replicas: int | ReplicaRange) -> ReplicaRange | None:
    """The range; None: the number is fixed."""
    return replicas if isinstance(replicas, ReplicaRange) else None


def most_of(replicas: int | ReplicaRange) -> int:
    """The largest number that may run."""
    return replicas.max if isinstance(replicas, ReplicaRange) else replicas


def first_of(replicas: int | ReplicaRange) -> int:
    """How many are started; one at least, which shows that they can be."""
    return max(1, replicas.min) if isinstance(replicas, ReplicaRange) else replicas


def shown(replicas: int | ReplicaRange) -> str:
    """As a person reads it."""
    if isinstance(replicas, ReplicaRange):
        return f"{replicas.min} to {replicas.max}"
    return str(replicas)
