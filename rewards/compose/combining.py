"""What a reward made of other rewards is to the rest: its members, its gates, and one combination.

Words: a *member* is a reward of the same file under the name that the combining reward gives it; a
*gate* is a member that must hold before the others run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..facts import Facts, Unit
from ..reward import Reward
from ..types import ISOLATION_LEVELS, MAX_MESSAGE_CHARS, RETRYABLE, Reason, ScoreError

MemberOutcome = float | ScoreError | None
"""A member's reward, its error, or None where a gate left it out."""

MAX_MEMBERS = 64
MAX_COMPONENTS = 1024
"""Of a reward, its members' included: names of members of members may grow without end."""


@dataclass(slots=True, frozen=True)
class Combined:
    """The reward of an item, with the values of the combination's own components."""

    reward: float
    own: tuple[float, ...] = ()


class Combining(Reward):
    """A reward made of others. The gateway runs the members; `score` is never called."""

    @property
    def members(self) -> Mapping[str, str]:
        """The rewards it is made of, by the name that each has here, in the order of components."""
        raise NotImplementedError

    @property
    def gates(self) -> tuple[str, ...]:
        """The members that run first: where one does not hold, the others do not run."""
        return ()

    @property
    def own_components(self) -> tuple[str, ...]:
        """The components that come after the members'."""
        return ()

    @property
    def needs_whole_group(self) -> bool:
        """Whether `combine_group` looks at more than one item."""
        return False

    def opens(self, outcomes: Mapping[str, MemberOutcome]) -> bool:
        """Whether an item whose gates ended so goes on to the other members."""
        del outcomes
        return True

    def blend(
        self, columns: Sequence[Sequence[float]]
    ) -> tuple[Sequence[float], Sequence[Sequence[float]]] | None:
        """The rewards of many items whose gates hold and whose members have a reward, by columns.

        Args:
            columns: each member's rewards, in the order of `members`.

        Returns:
            The rewards, and a column for each of `own_components`. None: `combine_group` is to do
            it, which is always right.
        """
        del columns
        return None

    def combine(self, outcomes: Mapping[str, MemberOutcome]) -> Combined | ScoreError:
        """What an item gets whose members ended so. Raises nothing."""
        raise NotImplementedError

    def combine_group(
        self,
        outcomes_G: Sequence[Mapping[str, MemberOutcome]],  # noqa: N803
    ) -> list[Combined | ScoreError]:
        """As `combine`, for the items of one group. n in, n out, same order."""
        return [self.combine(outcomes) for outcomes in outcomes_G]

    def facts_over(self, members: Mapping[str, Facts]) -> Facts:
        """The facts of this reward over members with these facts.

        Raises:
            ValueError: it has too many components.
        """
        names: list[str] = []
        references: dict[str, None] = {}
        for name, facts in members.items():
            names += [name, *(f"{name}.{component}" for component in facts.component_names)]
            references |= dict.fromkeys(facts.reference_keys)
        names += self.own_components
        if len(names) > MAX_COMPONENTS:
            raise ValueError(f"{len(names)} components, its members' included; at most 1024")
        isolations = [facts.isolation for facts in members.values() if facts.isolation]
        return Facts(
            unit=Unit.ITEM.value,
            whole_group=self.needs_whole_group or any(f.whole_group for f in members.values()),
            is_async=False,
            deterministic=all(facts.deterministic for facts in members.values()),
            component_names=tuple(names),
            reference_keys=tuple(references),
            isolation=min(isolations, key=ISOLATION_LEVELS.index, default=""),
        )


def member_failed(errors: Mapping[str, ScoreError], members: Mapping[str, str]) -> ScoreError:
    """The error of an item whose members failed so: each is named with its reason.

    Another try helps only where it may help every member, so a reason that is final goes before
    one that is retryable.
    """
    reason = min((error.reason for error in errors.values()), key=RETRYABLE.__contains__)
    room = max(80, MAX_MESSAGE_CHARS // len(errors) - 300)
    told = [
        f"member {_named(name, members)}: {error.reason.name}: {error.message[:room]}"
        for name, error in errors.items()
    ]
    return ScoreError(reason, "; ".join(told)[:MAX_MESSAGE_CHARS])


def checked(reward: float, own: tuple[float, ...] = ()) -> Combined | ScoreError:
    """The combination, or an error where its reward is no finite number."""
    if math.isfinite(reward):
        return Combined(reward, own)
    return ScoreError(Reason.INVALID_RESULT, f"the combination of the members is {reward}")


def _named(name: str, members: Mapping[str, str]) -> str:
    reward = members.get(name, name)
    return repr(name) if reward == name else f"{name!r} (reward {reward!r})"
