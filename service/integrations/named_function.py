"""Objects that trainers and `inspect` take for functions with a name of their own.

Trainers log a reward by its function's `__name__` and send the function to other processes. A
closure cannot be pickled, and a partial's own name is passed over by TRL. `inspect` takes an object
for a function that has the attributes of one, `__code__` among them, and so tells whether it is
async (TRL up to 1.9, verl and ms-swift ask nothing else).
"""

from __future__ import annotations

import inspect
from types import CodeType
from typing import Any, ClassVar, cast

from .remote_reward import RemoteReward


class NamedFunction:
    """A reward as a function: subclasses define `__call__`, plain or async.

    It can be pickled, and equals another of its class with the same settings.
    """

    __defaults__: ClassVar[None] = None
    __kwdefaults__: ClassVar[None] = None
    __annotations__: ClassVar[dict[str, Any]] = {}  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, remote: RemoteReward) -> None:
        self.remote = remote
        self.__name__ = self.__qualname__ = remote.label

    @property
    def __code__(self) -> CodeType:
        return cast("Any", type(self)).__call__.__code__

    @property
    def __signature__(self) -> inspect.Signature:
        whole = inspect.signature(cast("Any", type(self)).__call__)
        return whole.replace(parameters=list(whole.parameters.values())[1:])

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.remote == cast("NamedFunction", other).remote

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.__name__!r})"
