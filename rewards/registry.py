"""From a kind's name and its parameters to a reward. A file under `kinds/` is a kind or more."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from . import kinds as _kinds
from .reward import KINDS, Reward


def kinds() -> Mapping[str, type[Reward]]:
    """All kinds by name. Importing a kind is cheap; what is dear waits for `Reward.setup`."""
    for module in pkgutil.iter_modules(_kinds.__path__):
        importlib.import_module(f"{_kinds.__name__}.{module.name}")
    return KINDS


def build(kind: str, params: Mapping[str, Any]) -> Reward:
    """A reward of `kind` with `params`.

    Raises:
        KeyError: there is no such kind; the message names the nearest.
        pydantic.ValidationError: the parameters do not fit the kind.
    """
    known = kinds()
    if kind not in known:
        near = get_close_matches(kind, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise KeyError(f"unknown kind {kind!r}{hint} (kinds: {', '.join(sorted(known))})")
    return known[kind].model_validate(dict(params))
