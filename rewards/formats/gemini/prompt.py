"""``{{references.key}}``, ``{{prompt}}`` and their like, filled from an item."""

from __future__ import annotations

import re
from collections.abc import Callable

from ...references import reference
from ...text.template import MissingKey, TemplateFault, placeholders, render, text_of
from ...types import Example, InvalidInput, InvalidReference, Response
from .options import Undocumented

REFERENCES = "references."
IN_PROMPT = ("prompt", "response", "system_instruction")


def unknown_placeholders(template: str, known: tuple[str, ...] = ()) -> list[str]:
    """The placeholders that nothing will fill: they stay in the text as they are."""
    return [p for p in placeholders(template) if p not in known and not p.startswith(REFERENCES)]


def has_references(template: str) -> bool:
    """Whether a reference goes into it."""
    return any(p.startswith(REFERENCES) for p in placeholders(template))


def fill(
    template: str,
    example: Example,
    response: Response,
    options: Undocumented,
    *,
    parsed: str | None = None,
    escape: Callable[[str], str] | None = None,
) -> str:
    """The template with the item's values; what a value brings is not looked at again.

    `parsed` allows ``{{prompt}}``, ``{{response}}`` and ``{{system_instruction}}`` too, and is the
    response's. `escape` goes over each reference.

    Raises:
        InvalidReference: a reference is missing, or its JSON cannot be read.
        InvalidInput: the text would be too long.
    """
    if "{{" not in template:
        return template

    def lookup(path: str) -> str:
        if path.startswith(REFERENCES):
            value = _reference(example, response, path, options)
            return value if escape is None else escape(value)
        if parsed is not None and path in IN_PROMPT:
            if path == "response":
                return parsed
            if path == "prompt":
                return prompt_text(example, with_roles=options.prompt_roles)
            return "" if example.system_instruction is None else example.system_instruction.text
        return "{{" + path + "}}"

    try:
        return render(template, lookup)
    except TemplateFault as error:
        raise InvalidInput(str(error)) from None


def filled_gold(
    template: str,
    example: Example,
    response: Response,
    options: Undocumented,
    *,
    escape: Callable[[str], str] | None = None,
    exact: bool = True,
) -> str:
    """As `fill`, for what an answer is compared with: an empty reference is no gold.

    It would be found in every response, and equal every empty one. It counts where the comparison
    is `exact` and the options say that a missing reference is meant to be empty.

    Raises:
        InvalidReference: a reference is missing or empty, or its JSON cannot be read.
        InvalidInput: the text would be too long.
    """
    empty_is_meant = exact and options.missing_reference == "empty"

    def checked(value: str) -> str:
        if not value.strip() and not empty_is_meant:
            raise InvalidReference(f"a reference of {template[:200]!r} is empty")
        return value if escape is None else escape(value)

    return fill(template, example, response, options, escape=checked)


def prompt_text(example: Example, *, with_roles: bool) -> str:
    """The text of all turns, one below the other."""
    if not with_roles:
        return example.prompt
    return "\n".join(f"{turn.role or 'user'}: {turn.text}" for turn in example.contents)


_METACHARACTERS = re.compile(r"([\\.+*?()|\[\]{}^$])")


def escaped(text: str) -> str:
    """The text as an RE2 expression that matches it and nothing else."""
    return _METACHARACTERS.sub(r"\\\1", text)


def _reference(example: Example, response: Response, path: str, options: Undocumented) -> str:
    key = path.removeprefix(REFERENCES)
    if key in response.references:
        return response.references[key]
    try:
        return text_of(reference(example, response, key), path)
    except MissingKey as error:
        raise InvalidReference(str(error)) from None
    except InvalidReference:
        known = (example.json_references, response.json_references)
        if options.missing_reference == "empty" and not any(key in there for there in known):
            return ""
        raise
