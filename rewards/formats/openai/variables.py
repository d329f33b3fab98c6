"""The variables of OpenAI's templates, ``{{ item.… }}`` and ``{{ sample.… }}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...text.template import MissingKey, TooLong, find, placeholders, render, steps, text_of
from ...types import InvalidInput, InvalidReference

SAMPLE_NAMES = frozenset(
    {
        *("output_text", "output_json", "output_tools", "choices"),
        *("output_audio", "output_reasoning_summary"),
    }
)


class InvalidVariable(InvalidReference):
    """A variable names what the item does not have."""

    opening = "{{"
    """How its messages begin: with the variable."""


class UnparsedSample(InvalidInput):
    """A variable names what this sample does not have: JSON where it is none, a call not made.

    The response is at fault, not the item: graders give it their lowest value.
    """


def check_template(template: str) -> None:
    """Refuses variables that no item or sample can have.

    Raises:
        ValueError: there is one.
    """
    for path in placeholders(template):
        root, *inner = steps(path)
        if root not in ("item", "sample"):
            raise ValueError(f"{{{{{path}}}}}: want item.… or sample.…")
        if root == "sample" and inner and inner[0] not in SAMPLE_NAMES:
            raise ValueError(f"{{{{{path}}}}}: a sample has {', '.join(sorted(SAMPLE_NAMES))}")


def references_in(template: str) -> list[str]:
    """The keys of the item that the template needs, in their order."""
    found = [steps(path) for path in placeholders(template)]
    return [str(path[1]) for path in found if path[0] == "item" and len(path) > 1]


def filled_from_item(template: str, variables: Mapping[str, Any]) -> str:
    """The template with what the item has; what a sample would bring is empty.

    Raises:
        InvalidVariable: the item does not have it.
        InvalidInput: the text would be too long.
    """
    return filled(template, variables, with_sample=False)


def filled(template: str, variables: Mapping[str, Any], *, with_sample: bool = True) -> str:
    """The template with the values of `variables`, ``{"item", "sample"}``.

    Raises:
        InvalidVariable: the item does not have it.
        UnparsedSample: the sample does not have it.
        InvalidInput: the text would be too long.
    """

    def lookup(path: str) -> str:
        sampled = path.startswith("sample")
        if sampled and not with_sample:
            return ""
        try:
            value = find(path, variables)
        except MissingKey as error:
            raise (UnparsedSample if sampled else InvalidVariable)(str(error)) from None
        if value is None and sampled:
            raise UnparsedSample(f"{{{{{path}}}}}: the sample has none")
        return text_of(value, path)

    try:
        return render(template, lookup)
    except MissingKey as error:
        raise InvalidVariable(str(error)) from None
    except TooLong as error:
        raise InvalidInput(str(error)) from None
