"""Custom functions that the service trusts: imported by path, called in the shape they have."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ..functions import arguments
from ..functions.importing import LoadError, load, locate
from ..functions.shapes import SHAPES, Call, Shape, ShapeName, call_for, call_for_class, recognise
from ..reading.gold import ReferenceKey
from ..reward import Item, Result, Reward, Unit, kind
from ..types import Example, InvalidReference, Response


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names) or "score" in names:
        raise ValueError("components must be distinct, and none is named score")
    return names


@kind("python")
class Python(Reward):
    """A function or class of your own, in one of the shapes of `shapes`; `async` ones too.

    It returns a number, ``{"score": number, **components}``, or None where it does not apply to the
    item; one for each item where it gets many. What it raises is an error on its items, never a
    score. References reach it as the Python values that they were in the data set. The function is
    imported by `check` and by `setup`, not when the configuration is read.
    """

    runs_named_code = True

    function: Annotated[
        str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$", max_length=512)
    ]
    """Where it is: ``my_pkg.rewards:fn``."""
    shape: ShapeName | None = None
    """How it is called. None: told by the names of its parameters."""
    batch: Literal["group", "items"] = "group"
    """What one call of shape `trl` gets: the responses of one group, or any mix of items."""
    conversational: bool | None = None
    """Shape `trl`: messages or texts. None: see `arguments.for_trl`."""
    reference: ReferenceKey = "ground_truth"
    """Shape `compute_score`: the reference that is the ground truth."""
    components: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=64)], ...],
        Field(max_length=64),
        AfterValidator(_names),
    ] = ()
    """The names of the components: each score must have exactly these."""
    kwargs: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    """Further keyword arguments for each call; for a class, for making it."""
    python_path: tuple[str, ...] = ()
    """Folders to look for modules in before all others, absolute."""
    is_deterministic: Annotated[bool, Field(alias="deterministic")] = False
    """In the configuration `deterministic`: the same item always earns the same reward."""

    @classmethod
    def at_home(cls, params: Mapping[str, Any], folder: str) -> dict[str, Any]:
        """Modules may lie beside the configuration."""
        return {"python_path": [folder], **params}

    @property
    def deterministic(self) -> bool:
        """As the configuration says."""
        return self.is_deterministic

    @property
    def unit(self) -> Unit:
        """By shape; imports the function where the configuration does not name the shape."""
        shape = self._shape
        return Unit.SHARD if shape.name == "trl" and self.batch == "items" else shape.unit

    @property
    def whole_group(self) -> bool:
        """Whether the shape is `score_group`."""
        return self._shape.whole_group

    @property
    def is_async(self) -> bool:
        """Whether it is an `async def`; imports the function."""
        return self.call.is_async

    @property
    def component_names(self) -> tuple[str, ...]:
        """As the configuration says."""
        return self.components

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """What its parameters tell; imports the function where its shape may need any."""
        if self._shape.name == "compute_score":
            return (self.reference,)
        return self.call.columns if self._shape.name == "trl" else ()

    @property
    def source_files(self) -> tuple[str, ...]:
        """The file that the function is in, found without running it."""
        file = locate(self.function, self.python_path)
        return (file,) if file is not None else ()

    def check(self) -> None:
        """Imports the function and refuses what could not be called.

        Raises:
            LoadError: it cannot be imported, has no shape or several, or its parameters do not fit.
        """
        call = self.call
        if self.batch == "items" and call.shape.name != "trl":
            raise LoadError(f"`batch: items` is for shape 'trl', not {call.shape.name!r}")
        if self.conversational is not None and call.shape.name != "trl":
            raise LoadError(f"`conversational` is for shape 'trl', not {call.shape.name!r}")

    def setup(self) -> None:
        """Imports the function; of a class, makes the instance and calls its `setup`.

        Raises:
            LoadError: as `check`. And whatever the class raises.
        """
        self.check()
        if self.call.shape.name == "class":
            _ = self._instance

    def score(self, example: Example, response: Response) -> Result | Awaitable[Result]:
        """Calls a function of shape `evaluate`, `grade` or `compute_score`."""
        call = self.call
        if call.shape.name == "evaluate":
            return self._settled(call(arguments.for_evaluate(example, response)))
        if call.shape.name == "grade":
            return self._settled(call(arguments.for_grade(example, response)))
        given = arguments.for_compute_score(example, response, self.reference)
        return self._settled(call(given))

    def score_items(self, items: Sequence[Item]) -> Sequence[Result] | Awaitable[Sequence[Result]]:
        """Calls a function of shape `trl` or `score_group`, or the method of a class."""
        call = self.call
        if call.shape.name == "class":
            return self._settled(self._instance.score(list(items)))
        if call.shape.name == "score_group":
            return self._settled(call(arguments.for_score_group(items)))
        given = arguments.for_trl(items, self.conversational)
        missing = [name for name in call.columns if name not in given]
        if missing:
            raise InvalidReference(f"reference {missing[0]!r} is missing, which the function wants")
        return self._settled(call(given))

    def _settled(self, result: Any) -> Any:
        """The result, or what can be awaited where the reward is async.

        A plain function may return an awaitable all the same, as behind a decorator, and one that
        looks async may not. Where a plain one is called in an event loop, nothing can wait for it:
        `run` tells so.
        """
        if self.call.is_async:
            return result if inspect.isawaitable(result) else _same(result)
        if inspect.isawaitable(result) and not _in_event_loop():
            return self._runner.run(_awaited(result))
        return result

    @cached_property
    def _runner(self) -> asyncio.Runner:
        # One event loop for all calls: what a function keeps is bound to its loop.
        return asyncio.Runner()

    @cached_property
    def call(self) -> Call:
        """The function, imported, with how to call it.

        Raises:
            LoadError: as `check`.
        """
        found = load(self.function, self.python_path)
        shape = recognise(self.function, found, self.shape)
        if shape.name == "class":
            return call_for_class(self.function, found, self.kwargs)
        return call_for(self.function, found, shape, self.kwargs)

    @cached_property
    def _instance(self) -> Any:
        instance = self.call({})
        setup = getattr(instance, "setup", None)
        if setup is not None:
            setup()
        return instance

    @property
    def _shape(self) -> Shape:
        return SHAPES[self.shape] if self.shape is not None else self.call.shape


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _same(result: Any) -> Any:
    return result


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result
