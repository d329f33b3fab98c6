"""What a reward function is to the rest: a frozen, validated object with one method that scores.

A kind of reward is a subclass of `Reward` in a file of its own under `kinds/`; its fields are the
parameters that a configuration may set::

    @kind("starts_with")
    class StartsWith(Reward):
        '''1 where the response starts with the prefix, else 0.'''

        prefix: str

        def score(self, example: Example, response: Response) -> Result:
            return 1.0 if response.text.startswith(self.prefix) else 0.0
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from .facts import Described, Facts, Unit
from .models.model import Model
from .references import reference
from .types import Example, Response, RewardFault, Score

__all__ = ["KINDS", "NO_RESPONSE", "Facts", "Item", "Result", "Reward", "Unit", "kind"]

Item = tuple[Example, Response]

Result = float | int | bool | Score | Mapping[str, Any] | RewardFault | None
"""What a reward function may return for one item. None: the reward does not apply to it.

A mapping has the reward under "score" and the declared components under their names. A fault fails
its item alone, among many that are scored at once.
"""


NO_RESPONSE = Response("")
"""Stands for the response where only the example is looked at."""


class Reward(Described):
    """A configured reward function: its fields are parameters, `score` is the one method to write.

    All else has a default: what it says of itself (`facts.Described`), and the methods that prepare
    it, which come after the two that score.
    """

    def score(self, example: Example, response: Response) -> Result | Awaitable[Result]:
        """Scores one item. May raise anything; a `RewardFault` sets the reason."""
        del example, response
        raise TypeError(f"{type(self).__name__} scores many items at once")

    def score_items(self, items: Sequence[Item]) -> Sequence[Result] | Awaitable[Sequence[Result]]:
        """In place of `score`, by `unit`: scores many items. n in, n out, same order.

        May raise anything; all items then fail.
        """
        del items
        raise TypeError(f"{type(self).__name__} scores one item at a time")

    @classmethod
    def at_home(cls, params: Mapping[str, Any], folder: str) -> dict[str, Any]:
        """The parameters as they are meant in a configuration file that lies in `folder`.

        Raises:
            ValueError: a file that they name cannot be read.
        """
        del folder
        return dict(params)

    def check(self) -> None:
        """Imports what the configuration names and refuses what cannot be called.

        Raises:
            ValueError: this reward cannot be served; the message says what to do.
        """

    def bind(self, model: Model) -> None:
        """Gives it the model of its `needs_model`, once, before `setup`. It never closes it.

        Raises:
            ValueError: the model cannot answer what this reward asks; the message says what to do.
        """
        raise ValueError(f"{type(self).__name__} asks no model, and was given {model.name!r}")

    def setup(self) -> None:
        """Loads what is expensive to load. Called once in the process that will score."""

    def examine(self, example: Example) -> None:
        """Says what an example lacks, before there is a response to it.

        Asks no judge and runs no code. By default the reference keys must be there, and be read.

        Raises:
            RewardFault: no response to this example can be scored; the first fault that is found.
        """
        for key in self.reference_keys:
            reference(example, NO_RESPONSE, key)

    def take_figures(self) -> Mapping[str, float]:
        """What it counted since the last call, as "metric" or "metric.label": increments.

        Those that `gateway.metrics` knows reach Prometheus.
        """
        return {}


KINDS: dict[str, type[Reward]] = {}
"""The kinds that were imported, by name; `registry.kinds()` imports them all."""


_R = TypeVar("_R", bound=Reward)


def kind(name: str) -> Callable[[type[_R]], type[_R]]:
    """Registers a kind of reward under the name that configurations use."""

    def register(cls: type[_R]) -> type[_R]:
        if name in KINDS:
            raise ValueError(f"two kinds of reward are named {name!r}")
        cls.kind = name
        KINDS[name] = cls
        return cls

    return register
