"""YAML (and so JSON) as plain values: what a configuration may hold, whoever wrote it."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

MAX_DEPTH = 64
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""The names of rewards and models."""

# libyaml's parser where it was built in: it is twenty times faster.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):
    """Refuses a key that stands twice; reads a date as the text that it is.

    So `version: 2026-11-20` needs no quotes.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in its base
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in _Safe.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """As its base, which lets the last of two values win without a word."""
        seen: set[str] = set()
        for key, _value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    where = key.start_mark
                    raise BadDocument(f"{key.value!r} stands twice, again in line {where.line + 1}")
                seen.add(key.value)
        mapping: Any = _Safe.construct_mapping(self, node, deep=deep)
        return mapping


class BadDocument(ValueError):
    """The text is no YAML, or holds what JSON does not know; the message says where or what."""


def read(text: str, *, aliases: bool = True) -> object:
    """The value that a YAML text holds: mappings, lists, strings, numbers, booleans, null.

    `aliases` allows a value to be used again by its anchor. A short text can make a huge value of
    them, so strangers' texts go without.

    Raises:
        BadDocument: it holds no such value, or one nested more than 64 deep.
    """
    try:
        _check_events(text, aliases=aliases)
        value: object = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe one
        # Parameters travel as JSON, which has no sets, no bytes, no circles.
        json.dumps(value)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        # PyYAML lets all of these out of a bad scalar, such as `!!timestamp x`.
        told = " ".join(str(error).split()).replace(' in "<unicode string>",', " in")
        if "cannot start any token" in told and "\t" in text:
            told += " (YAML is indented by spaces, not by tabs)"
        raise BadDocument(told) from None
    return value


def _check_events(text: str, *, aliases: bool) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise BadDocument(f"nested more than {MAX_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent) and not aliases:
            raise BadDocument(f"an alias (*{event.anchor}), which is not allowed here")
