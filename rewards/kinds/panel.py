"""Several judges or reward models as one: calibrated, then their mean, median or trimmed mean."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..compose.calibration import Affine, Calibration
from ..compose.combining import (
    MAX_MEMBERS,
    Combined,
    Combining,
    MemberOutcome,
    checked,
    member_failed,
)
from ..reward import kind
from ..types import Reason, ScoreError

MAX_FILE_BYTES = 2**20


class Member(BaseModel):
    """One judge of a panel, and how its values become the panel's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reward: str = ""
    """The reward; empty: the one of the member's name."""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Its weight under `combine: mean`."""
    affine: Affine | None = None
    """``(value - mean) / std``."""
    calibration: Calibration | None = None
    """What `rewardplane calibrate` fitted; in a configuration file the name of its file."""

    @model_validator(mode="after")
    def _is_one(self) -> Member:
        if self.affine is not None and self.calibration is not None:
            raise ValueError("want `affine` or `calibration`, not both")
        return self

    def value(self, raw: float) -> float:
        """The value on the panel's scale."""
        how = self.affine or self.calibration
        return raw if how is None else how.value(raw)


@kind("panel")
class Panel(Combining):
    """The mean, the median or the trimmed mean of several members' calibrated rewards.

    Members that fail or are NOT_APPLICABLE are left out as long as `quorum` of them have a reward.
    Below that the item is an error that names each of them. Components: as of `composite`, each
    member's reward as it gave it; then `spread`, the standard deviation of the calibrated ones
    that counted, and `votes`, how many those were.
    """

    given: Annotated[
        Mapping[str, Member], Field(alias="members", min_length=1, max_length=MAX_MEMBERS)
    ]
    """In the configuration `members`: each with a weight, or with all of `Member`."""
    how: Annotated[Literal["mean", "median", "trimmed"], Field(alias="combine")] = "mean"
    """In the configuration `combine`. `trimmed`: the mean without the least and the greatest, of
    three or more."""
    quorum: Annotated[int | None, Field(ge=1)] = None
    """How many members must have a reward. None: all."""

    @model_validator(mode="before")
    @classmethod
    def _weights_are_members(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        params = cast("dict[str, Any]", data)
        given = params.get("members")
        if not isinstance(given, dict):
            return params
        members = {
            name: {"weight": one} if isinstance(one, int | float) else one
            for name, one in cast("dict[str, Any]", given).items()
        }
        return {**params, "members": members}

    @model_validator(mode="after")
    def _fits(self) -> Panel:
        if self.quorum is not None and self.quorum > len(self.given):
            raise ValueError(f"quorum: {self.quorum} of {len(self.given)} members")
        if self.how != "mean" and len({one.weight for one in self.given.values()}) > 1:
            raise ValueError(f"members: weights are for `combine: mean`, not {self.how!r}")
        return self

    @classmethod
    def at_home(cls, params: Mapping[str, Any], folder: str) -> dict[str, Any]:
        """Takes what stands in the files that `calibration` names in their place."""
        members = params.get("members")
        if not isinstance(members, dict):
            return dict(params)
        read: dict[str, Any] = {}
        for name, one in cast("dict[str, Any]", members).items():
            read[name] = one
            file = cast("dict[str, Any]", one).get("calibration") if isinstance(one, dict) else None
            if isinstance(file, str):
                read[name] = {**one, "calibration": _fitted(Path(folder, file))}
        return {**params, "members": read}

    @property
    def members(self) -> Mapping[str, str]:
        """In the order of the configuration."""
        return self._members

    @cached_property
    def _members(self) -> Mapping[str, str]:
        return {name: one.reward or name for name, one in self.given.items()}

    @property
    def own_components(self) -> tuple[str, ...]:
        """`spread` and `votes`."""
        return ("spread", "votes")

    def blend(
        self, columns: Sequence[Sequence[float]]
    ) -> tuple[Sequence[float], Sequence[Sequence[float]]] | None:
        """By columns; the values of judges are mostly few."""
        judges = list(self.given.values())
        known: dict[tuple[float, ...], Combined | ScoreError] = {}
        rewards: list[float] = []
        spreads: list[float] = []
        for values in zip(*columns, strict=True):
            made = known.get(values)
            if made is None:
                made = known[values] = self._of(judges, values)
            if isinstance(made, ScoreError):
                return None
            rewards.append(made.reward)
            spreads.append(made.own[0])
        return rewards, (spreads, [float(len(columns))] * len(rewards))

    def combine(self, outcomes: Mapping[str, MemberOutcome]) -> Combined | ScoreError:
        """The panel's reward, or the error of a panel without quorum."""
        values = {n: o for n, o in outcomes.items() if isinstance(o, float)}
        quorum = len(self.given) if self.quorum is None else self.quorum
        if len(values) < quorum:
            failed = {n: o for n, o in outcomes.items() if isinstance(o, ScoreError)}
            final = {n: e for n, e in failed.items() if e.reason is not Reason.NOT_APPLICABLE}
            error = member_failed(final or failed, self.members)
            opening = f"{len(values)} of {len(self.given)} members have a reward, want {quorum}"
            return ScoreError(error.reason, f"{opening}: {error.message}")
        return self._of([self.given[name] for name in values], tuple(values.values()))

    def _of(self, judges: Sequence[Member], raw: Sequence[float]) -> Combined | ScoreError:
        values = [judge.value(one) for judge, one in zip(judges, raw, strict=True)]
        mean = sum(values) / len(values)
        spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
        if not math.isfinite(spread):
            return ScoreError(Reason.INVALID_RESULT, f"the members' spread is {spread}")
        own = (spread, float(len(values)))
        if self.how == "mean":
            weights = [judge.weight for judge in judges]
            total = sum(w * value for w, value in zip(weights, values, strict=True))
            return checked(total / sum(weights), own)
        values.sort()
        if self.how == "median":
            low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
            return checked(low if low == high else (low + high) / 2, own)
        kept = values[1:-1] if len(values) > 2 else values
        return checked(sum(kept) / len(kept), own)


def _fitted(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"calibration: {path}: larger than {MAX_FILE_BYTES} bytes")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"calibration: {path}: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"calibration: {path}: is no JSON: {error}") from None
