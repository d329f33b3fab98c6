"""Calibrations: lines and monotone curves, fitted and read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rewardplane.rewards.compose.calibration import Affine, Calibration, fit

NUMBERS = st.floats(-100, 100, allow_nan=False).map(lambda x: round(x, 3))
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=60)


def test_affine_takes_out_mean_and_deviation() -> None:
    assert Affine(mean=3, std=2).value(7) == 2


def test_a_line_is_found_again() -> None:
    values = [1.0, 2.0, 5.0, 9.0]
    made = fit("affine", values, [3 * v - 4 for v in values])
    assert (made.scale, made.offset) == pytest.approx((3, -4))
    assert made.error == pytest.approx(0, abs=1e-9)
    assert made.rows == 4


def test_values_that_fall_where_labels_rise_are_refused() -> None:
    with pytest.raises(ValueError, match="do not rise with the labels"):
        fit("affine", [1, 2, 3], [3, 2, 1])
    with pytest.raises(ValueError, match="all 3 values are 2"):
        fit("affine", [2, 2, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="at least 2"):
        fit("isotonic", [2], [1])


def test_standard_looks_at_no_labels() -> None:
    made = fit("standard", [1, 2, 3], [])
    assert [made.value(v) for v in (1, 2, 3)] == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])


@given(PAIRS)
def test_isotonic_is_the_nearest_that_never_falls(pairs: list[tuple[float, float]]) -> None:
    values, labels = [x for x, _ in pairs], [y for _, y in pairs]
    if len(set(values)) < 2:
        return
    made = fit("isotonic", values, labels)
    fitted = [made.value(v) for v in sorted(values)]
    assert fitted == sorted(fitted)
    assert min(labels) - 1e-9 <= fitted[0] <= fitted[-1] <= max(labels) + 1e-9
    # The sums of labels and of what is fitted agree, as they do for every block.
    assert sum(fitted) == pytest.approx(sum(labels), abs=1e-6)
    # No constant, and no line that rises, comes nearer.
    mean = sum(labels) / len(labels)
    error = sum((made.value(v) - y) ** 2 for v, y in pairs)
    assert error <= sum((mean - y) ** 2 for y in labels) + 1e-6
    assert Calibration.model_validate_json(made.model_dump_json()) == made


def test_isotonic_of_labels_that_rise_goes_through_them() -> None:
    made = fit("isotonic", [1, 2, 4], [0, 0.5, 1])
    assert [made.value(v) for v in (0, 1, 1.5, 3, 4, 9)] == [0, 0, 0.25, 0.75, 1, 1]


@pytest.mark.parametrize("points", [[[1, 0], [1, 1]], [[2, 0], [1, 1]], [[1, 1], [2, 0]]])
def test_a_curve_that_falls_is_none(points: list[list[float]]) -> None:
    with pytest.raises(ValidationError, match="never fall"):
        Calibration.model_validate({"method": "isotonic", "points": points})
