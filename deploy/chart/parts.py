"""YAML with the parts of a Helm template in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class Value:
    """What a value of the chart says; `tree`: not a scalar; `quoted`: a string in any case."""

    path: str
    tree: bool = False
    quoted: bool = False

    @property
    def text(self) -> str:
        """As the template has it in one line."""
        return "{{ .Values." + self.path + (" | quote" if self.quoted else "") + " }}"


@dataclass(frozen=True)
class Text:
    """A scalar that is a template."""

    text: str


@dataclass(frozen=True)
class When:
    """There only where a value says so."""

    switch: str
    node: Any


@dataclass(frozen=True)
class Choice:
    """One or the other."""

    switch: str
    then: Any
    otherwise: Any


@dataclass(frozen=True)
class Given:
    """There where the value is not empty, and is it."""

    path: str


def scalar(value: object) -> str:
    """A constant, on one line."""
    if isinstance(value, str):
        value = value.replace("{{", '{{ "{{" }}')
        line = yaml.safe_dump(value, width=10**6, default_style=None).splitlines()[0]
        return line if "\n" not in value else json.dumps(value)
    return json.dumps(value)


def lines(node: Any, indent: int) -> list[str]:
    """The lines of a mapping or a sequence that is not empty."""
    pad = " " * indent
    found: list[str] = []
    if isinstance(node, dict):
        for key, value in node.items():
            found += entry(scalar(key), value, indent)
        return found
    for value in node:
        if isinstance(value, When):
            found += ["{{- if " + value.switch + " }}", *lines([value.node], indent), "{{- end }}"]
        elif isinstance(value, dict) and value:
            of = lines(value, indent + 2)
            if of[0].startswith("{{"):
                found += [f"{pad}-", *of]
            else:
                found += [f"{pad}- {of[0].lstrip()}", *of[1:]]
        else:
            found.append(f"{pad}- {inline(value)}")
    return found


def entry(key: str, value: Any, indent: int) -> list[str]:
    """The lines of one key."""
    pad = " " * indent
    match value:
        case When(switch, node):
            return ["{{- if " + switch + " }}", *entry(key, node, indent), "{{- end }}"]
        case Choice(switch, then, otherwise):
            first, other = entry(key, then, indent), entry(key, otherwise, indent)
            return ["{{- if " + switch + " }}", *first, "{{- else }}", *other, "{{- end }}"]
        case Given(path):
            made = f"{pad}{key}: " + "{{- toYaml . | nindent " + str(indent + 2) + " }}"
            return ["{{- with .Values." + path + " }}", made, "{{- end }}"]
        case Value(path, tree=True):
            return [
                f"{pad}{key}: " + "{{- toYaml .Values." + path + f" | nindent {indent + 2} }}}}"
            ]
        case dict() | list() if value:
            return [f"{pad}{key}:", *lines(value, indent + 2)]
        case _:
            return [f"{pad}{key}: {inline(value)}"]


def inline(value: Any) -> str:
    """A scalar, a template, or an empty collection."""
    return value.text if isinstance(value, Value | Text) else scalar(value)
