"""Several rewards of the file as one: a weighted sum or a formula of them, behind gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..compose.combining import (
    MAX_MEMBERS,
    Combined,
    Combining,
    MemberOutcome,
    checked,
    member_failed,
)
from ..compose.weighted import renormalised, weighted, weights_of
from ..reward import kind
from ..text.formula import Formula, FormulaError, parse
from ..types import Reason, ScoreError

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Gate(BaseModel):
    """A member that must reach a value before the others run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reward: str
    """The member."""
    at_least: Finite = 1.0
    """The least reward with which it holds."""
    otherwise: Finite = 0.0
    """The reward of an item on which it does not hold."""


class InPlace(BaseModel):
    """A value in the place of a failed member's reward."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Finite


@kind("composite")
class Composite(Combining):
    """`weights` or a `formula` over other rewards of the file, by name; `gates` run first.

    The members run side by side, each in its own lane. A member that is NOT_APPLICABLE drops out,
    and the weights of the others are scaled up; one that failed makes the item an error, unless
    `on_error` says otherwise. A gate that failed always does. Components: each member's reward
    under its name, then its components as ``member.component``; NaN where it has none.
    """

    weights: Annotated[Mapping[str, Finite], Field(max_length=MAX_MEMBERS)] | None = None
    """The weight of each member; of 0: it is told and does not count."""
    formula_text: Annotated[str | None, Field(alias="formula")] = None
    """In the configuration `formula`: arithmetic over members, as in `text.formula`."""
    named: Annotated[
        Mapping[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)], str],
        Field(alias="members", max_length=MAX_MEMBERS),
    ] = {}
    """In the configuration `members`: other names for rewards, for those that a formula cannot
    spell. Whatever is not named here is a reward of that name."""
    gates_first: Annotated[tuple[Gate, ...], Field(alias="gates", max_length=MAX_MEMBERS)] = ()
    """In the configuration `gates`: what must hold before the other members run."""
    on_error: Literal["error", "renormalise"] | InPlace = "error"
    """What becomes of an item when a member failed: an error that names it; `renormalise`, without
    it; `{value: x}`, with this value in its place."""

    @model_validator(mode="after")
    def _is_one(self) -> Composite:
        if (self.weights is None) == (self.formula_text is None):
            raise ValueError("want either `weights` or `formula`")
        if self.weights is not None and not any(self.weights.values()):
            raise ValueError("weights: want one that is not 0")
        used = {*self._counted, *self.gates}
        unused = [name for name in self.named if name not in used]
        if unused:
            raise ValueError(f"members: {', '.join(unused)}: in no weight, formula or gate")
        if len(set(self.gates)) != len(self.gates):
            raise ValueError("gates: a member stands twice")
        if not self._counted:
            raise ValueError("formula: names no member")
        if len(used) > MAX_MEMBERS:
            raise ValueError(f"{len(used)} members; at most {MAX_MEMBERS}")
        if self.on_error == "renormalise" and self._weights is None:
            raise ValueError("on_error: `renormalise` is for weights, or a formula that is a sum")
        return self

    @property
    def members(self) -> Mapping[str, str]:
        """The gates' that count nowhere else come last."""
        return self._members

    @cached_property
    def _members(self) -> Mapping[str, str]:
        names = dict.fromkeys((*self._counted, *self.gates))
        return {name: self.named.get(name, name) for name in names}

    @property
    def gates(self) -> tuple[str, ...]:
        """The members that run first."""
        return tuple(gate.reward for gate in self.gates_first)

    def opens(self, outcomes: Mapping[str, MemberOutcome]) -> bool:
        """Whether all gates hold; one that does not apply to an item does not hold it back."""
        return all(_holds(gate, outcomes[gate.reward]) for gate in self.gates_first)

    def blend(
        self, columns: Sequence[Sequence[float]]
    ) -> tuple[Sequence[float], Sequence[Sequence[float]]] | None:
        """By columns."""
        counted = columns[: len(self._counted)]
        if self.weights is not None:
            return weighted(list(self.weights.values()), counted), ()
        return self._by_formula(counted)

    def combine(self, outcomes: Mapping[str, MemberOutcome]) -> Combined | ScoreError:
        """The reward; `otherwise` of the first gate that does not hold."""
        fallen = {
            gate.reward: outcome
            for gate in self.gates_first
            if isinstance(outcome := outcomes[gate.reward], ScoreError)
            and outcome.reason is not Reason.NOT_APPLICABLE
        }
        if fallen:
            return member_failed(fallen, self.members)
        for gate in self.gates_first:
            if not _holds(gate, outcomes[gate.reward]):
                return checked(gate.otherwise)
        values: dict[str, float] = {}
        failed: dict[str, ScoreError] = {}
        absent: dict[str, ScoreError] = {}
        for name in self._counted:
            outcome = outcomes[name]
            if isinstance(outcome, ScoreError):
                if outcome.reason is Reason.NOT_APPLICABLE:
                    absent[name] = outcome
                elif isinstance(self.on_error, InPlace):
                    values[name] = self.on_error.value
                else:
                    failed[name] = outcome
            elif outcome is not None:
                values[name] = outcome
        if failed and self.on_error == "error":
            return member_failed(failed, self.members)
        return self._value(values, {**absent, **failed})

    def _value(
        self, values: Mapping[str, float], missing: Mapping[str, ScoreError]
    ) -> Combined | ScoreError:
        if missing:
            try:
                if self._weights is None:
                    return member_failed(missing, self.members)
                return checked(renormalised(self._weights, values))
            except ValueError:
                final = {n: e for n, e in missing.items() if e.reason is not Reason.NOT_APPLICABLE}
                return member_failed(final or missing, self.members)
        if self.weights is not None:
            (total,) = weighted(list(self.weights.values()), [[values[n]] for n in self.weights])
            return checked(total)
        try:
            return checked(self._formula.value(values))
        except FormulaError as error:
            return ScoreError(Reason.INVALID_RESULT, f"formula: {error}")

    def _by_formula(
        self, columns: Sequence[Sequence[float]]
    ) -> tuple[Sequence[float], Sequence[Sequence[float]]] | None:
        """Each combination of values is worked out once: those of a batch are mostly few."""
        names, formula = self._counted, self._formula
        known: dict[tuple[float, ...], float] = {}
        out: list[float] = []
        try:
            for values in zip(*columns, strict=True):
                value = known.get(values)
                if value is None:
                    made = formula.value(dict(zip(names, values, strict=True)))
                    value = known[values] = made
                out.append(value)
        except FormulaError:
            return None
        return out, ()

    @cached_property
    def _formula(self) -> Formula:
        try:
            return parse(self.formula_text or "")
        except FormulaError as error:
            raise ValueError(f"formula: {error}") from None

    @cached_property
    def _counted(self) -> tuple[str, ...]:
        """The members whose values count, or would with another weight."""
        return tuple(self.weights) if self.weights is not None else self._formula.names

    @cached_property
    def _weights(self) -> Mapping[str, float] | None:
        return self.weights if self.weights is not None else weights_of(self._formula)


def _holds(gate: Gate, outcome: MemberOutcome) -> bool:
    if isinstance(outcome, ScoreError):
        return outcome.reason is Reason.NOT_APPLICABLE
    return outcome is not None and outcome >= gate.at_least
