"""From a member's scale to the panel's: lines and monotone curves, and how they are fitted.

Isotonic regression by pooling adjacent violators: Barlow et al., Statistical Inference under Order
Restrictions (1972); read between its points as scikit-learn's `IsotonicRegression` does.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Method = Literal["affine", "isotonic", "standard"]
Finite = Annotated[float, Field(allow_inf_nan=False)]
MAX_POINTS = 10_000


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Affine(_Frozen):
    """``(value - mean) / std``: a member's own mean and deviation become 0 and 1."""

    mean: Finite = 0.0
    std: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    def value(self, raw: float) -> float:
        """The value on the panel's scale."""
        return (raw - self.mean) / self.std


class Calibration(_Frozen):
    """What `rewardplane calibrate` fitted: a monotone curve through `points`, or a straight line.

    `points` are (value, calibrated) pairs that rise in the value and never fall in the calibrated;
    between them the curve is straight, outside of them flat. Without points it is
    ``scale * value + offset``.
    """

    method: Method
    scale: Finite = 1.0
    offset: Finite = 0.0
    points: Annotated[tuple[tuple[Finite, Finite], ...], Field(max_length=MAX_POINTS)] = ()
    rows: Annotated[int, Field(ge=0)] = 0
    """How many rows it was fitted on."""
    error: Finite = 0.0
    """The root mean square of what it misses the labels by, on those rows."""
    reward: str = ""
    """The reward whose values they were, where the data said it."""
    digest: str = ""
    """The digest of that reward, where the data said it."""

    @model_validator(mode="after")
    def _rises(self) -> Calibration:
        if any(a[0] >= b[0] or a[1] > b[1] for a, b in pairwise(self.points)):
            raise ValueError("points: want values that rise, and calibrated ones that never fall")
        if self.method == "isotonic" and not self.points:
            raise ValueError("points: `isotonic` wants at least one")
        return self

    def value(self, raw: float) -> float:
        """The value on the panel's scale."""
        points = self.points
        if not points:
            return self.scale * raw + self.offset
        at = bisect_left(points, (raw, -math.inf))
        if at == 0:
            return points[0][1]
        if at == len(points):
            return points[-1][1]
        (x0, y0), (x1, y1) = points[at - 1], points[at]
        if raw == x1:
            return y1
        return min(y0 + (y1 - y0) * ((raw - x0) / (x1 - x0)), y1)


def fit(method: Method, values: Sequence[float], labels: Sequence[float]) -> Calibration:
    """The calibration of that method for these values.

    `affine`: the straight line nearest to the labels (least squares). `isotonic`: the monotone
    curve nearest to them. `standard`: no labels are looked at; mean 0 and deviation 1.

    Raises:
        ValueError: the values are too few or all alike, or fall where the labels rise.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} rows with a value; want at least 2")
    mean = _mean(values)
    spread = _mean([(v - mean) ** 2 for v in values])
    if spread <= 0:
        raise ValueError(f"all {len(values)} values are {values[0]:g}: there is nothing to fit")
    if method == "standard":
        std = math.sqrt(spread)
        return Calibration(method=method, scale=1 / std, offset=-mean / std, rows=len(values))
    if method == "affine":
        middle = _mean(labels)
        together = _mean([(v - mean) * (y - middle) for v, y in zip(values, labels, strict=True)])
        scale = together / spread
        if scale <= 0:
            raise ValueError(
                "the values do not rise with the labels: the member measures something else, or "
                "the opposite"
            )
        made = Calibration(method=method, scale=scale, offset=middle - scale * mean)
    else:
        made = Calibration(method=method, points=_pooled(values, labels))
    missed = [(made.value(v) - y) ** 2 for v, y in zip(values, labels, strict=True)]
    update = {"rows": len(values), "error": math.sqrt(_mean(missed))}
    return made.model_copy(update=update)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _pooled(values: Sequence[float], labels: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """The points of the isotonic regression: each block by its first and its last value."""
    pairs = sorted(zip(values, labels, strict=True))
    blocks: list[tuple[float, int, float, float]] = []  # sum, count, first value, last value
    for value, run in groupby(pairs, key=lambda pair: pair[0]):
        ys = [y for _, y in run]
        block = (math.fsum(ys), len(ys), value, value)
        while blocks and blocks[-1][0] / blocks[-1][1] >= block[0] / block[1]:
            total, count, first, _ = blocks.pop()
            block = (total + block[0], count + block[1], first, block[3])
        blocks.append(block)
    points: list[tuple[float, float]] = []
    for total, count, first, last in blocks:
        points.append((first, total / count))
        if last > first:
            points.append((last, total / count))
    return tuple(points)
