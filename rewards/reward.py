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

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from .types import Example, Response, Score

Item = tuple[Example, Response]

Result = float | int | bool | Score | Mapping[str, Any] | None
"""What a reward function may return for one item. None: the reward does not apply to it.

A mapping has the reward under "score" and the declared components under their names.
"""


class Unit(enum.Enum):
    """What one call of a reward function gets."""

    ITEM = "item"
    """One item: `score`."""
    GROUP = "group"
    """The items of exactly one group, all of them or a slice: `score_items`."""
    SHARD = "shard"
    """Any mix of items: `score_items`."""


class Reward(BaseModel):
    """A configured reward function. Subclasses override `score` or, by `unit`, `score_items`.

    Class variables tell the service how to run it; a kind sets them, and one whose configuration
    decides them overrides the property of the same name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str] = ""
    fits_inline: ClassVar[bool] = False
    """Runs in the gateway: bounded by the length of the text, at most microseconds a kilobyte."""
    reads_prompt: ClassVar[bool] = True
    """Looks at the example's contents, system instruction or tools. Where not, they are not read
    from the wire, and `Example.contents` is empty."""
    runs_named_code: ClassVar[bool] = False
    """Its configuration names code to import: never taken from a request."""
    outside: ClassVar[tuple[str, ...]] = ()
    """The parameters that name files, addresses or keys: never taken from a request."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """The distributions that decide scores; their versions are part of the digest."""

    @property
    def deterministic(self) -> bool:
        """Whether the same item always earns the same reward."""
        return True

    @property
    def unit(self) -> Unit:
        """What one call gets."""
        return Unit.ITEM

    @property
    def whole_group(self) -> bool:
        """Whether a group must never be split: the reward is of group scope."""
        return False

    @property
    def is_async(self) -> bool:
        """Whether the call returns an awaitable."""
        return False

    @property
    def reaches_out(self) -> bool:
        """Whether its configuration names addresses, keys or files: never taken from a request."""
        return False

    @property
    def component_names(self) -> tuple[str, ...]:
        """The names of the components of each score, in their order; fixed per reward."""
        return ()

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """The reference keys that an item must have."""
        return ()

    @property
    def source_files(self) -> tuple[str, ...]:
        """Paths of the files whose content decides scores, beside this package's own."""
        return ()

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Settings of the service, such as `concurrency`, where the configuration sets none."""
        return {}

    @property
    def decided_by(self) -> Mapping[str, str]:
        """What decides scores beside parameters, libraries and files; part of the digest."""
        return {}

    @property
    def isolation(self) -> str:
        """The isolation that its untrusted code has at least, of `ISOLATION_LEVELS`."""
        return ""

    @property
    def isolation_held(self) -> int:
        """The isolation that this process gives such code: an index of `ISOLATION_LEVELS`.

        Known once the reward is set up; its set-up fails where `isolation` cannot be had.
        """
        return 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What in the configuration has no effect or little sense; it is served all the same."""
        return ()

    @property
    def unknown_fields(self) -> tuple[str, ...]:
        """Fields of a configuration in a foreign format that are not known, by path."""
        return ()

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

    def setup(self) -> None:
        """Loads what is dear to load. Called once in the process that will score."""

    def take_figures(self) -> Mapping[str, float]:
        """What it counted since the last call, as "metric" or "metric.label": increments.

        Those that `service.metrics` knows reach Prometheus.
        """
        return {}

    def score(self, example: Example, response: Response) -> Result | Awaitable[Result]:
        """Scores one item. May raise anything; a `RewardFault` sets the reason."""
        del example, response
        raise TypeError(f"{type(self).__name__} scores many items at once")

    def score_items(self, items: Sequence[Item]) -> Sequence[Result] | Awaitable[Sequence[Result]]:
        """Scores many items: n in, n out, same order. May raise anything; all items then fail."""
        del items
        raise TypeError(f"{type(self).__name__} scores one item at a time")


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
