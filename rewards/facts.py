"""What a reward says of itself, for the service that runs it. An author of a kind may skip this.

Each fact has a default that suits a plain synchronous function of one item; a kind names those that
differ, as class variables or, where its configuration decides, as properties of the same name.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from .models.model import ModelNeed


class Unit(enum.Enum):
    """What one call of a reward function gets."""

    ITEM = "item"
    """One item: `score`."""
    GROUP = "group"
    """The items of exactly one group, all of them or a slice: `score_items`."""
    SHARD = "shard"
    """Any mix of items: `score_items`."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one configured reward that gateways and replicas need, as plain data."""

    unit: str
    """A value of `Unit`."""
    whole_group: bool
    is_async: bool
    deterministic: bool
    component_names: tuple[str, ...]
    reference_keys: tuple[str, ...]
    isolation: str = ""


class Described(BaseModel):
    """All that a reward says of itself, with defaults. `facts` is what travels with it."""

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
    def facts(self) -> Facts:
        """In one object."""
        return Facts(
            self.unit.value,
            self.whole_group,
            self.is_async,
            self.deterministic,
            self.component_names,
            self.reference_keys,
            self.isolation,
        )

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
    def needs_model(self) -> ModelNeed | None:
        """The model of the configuration that it asks; None for none. It runs beside the model."""
        return None

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
