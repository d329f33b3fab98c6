"""From any Python value of a data set to plain JSON values, without importing what it comes from.

numpy's and torch's scalars and arrays are known by their `tolist`, images by their `save`, pydantic
models by their `model_dump`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from .media import is_image, png

_TEXTUAL = (Decimal, UUID, PurePath)


def document(value: object) -> str:
    """The value as JSON. NaN and infinity are written as Python's json does, and read so again.

    Raises:
        TypeError: something in the value has no JSON form.
        ValueError: it holds itself.
    """
    try:
        return json.dumps(value, ensure_ascii=False, default=plain)
    except TypeError:
        # Keys of mappings, which `default` is never asked about, or something with no form at all.
        return json.dumps(_with_text_keys(value, 0), ensure_ascii=False, default=plain)
    except RecursionError:
        raise ValueError("is nested too deep to be sent") from None


def plain(value: object) -> Any:
    """The value, which is of no JSON type, as one or as something nearer to one.

    Raises:
        TypeError: there is no such form.
    """
    if hasattr(value, "tolist"):
        listed = cast("Any", value).tolist()
        # numpy gives dates and its own scalars back where Python has no type for them.
        return listed if type(listed) is not type(value) else str(listed)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, _TEXTUAL):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _data_uri("application/octet-stream", bytes(cast("bytes", value)))
    if is_image(value):
        return _data_uri("image/png", png(value))
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    if hasattr(value, "model_dump"):
        return cast("Any", value).model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, set | frozenset):
        return sorted(cast("Iterable[Any]", value), key=repr)
    if isinstance(value, Sequence):
        return list(cast("Sequence[Any]", value))
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


def _data_uri(mime_type: str, data: bytes) -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


def _with_text_keys(value: object, depth: int) -> object:
    if depth > 200:
        raise ValueError("is nested too deep to be sent, or holds itself")
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {_key(key): _with_text_keys(item, depth + 1) for key, item in items}
    if isinstance(value, list | tuple):
        return [_with_text_keys(item, depth + 1) for item in cast("Iterable[object]", value)]
    return value


def _key(key: object) -> str | int | float | bool | None:
    if key is None or isinstance(key, str | int | float):
        return key
    known = plain(key)
    if known is None or isinstance(known, str | int | float):
        return known
    raise TypeError(f"a key of type {type(key).__name__} cannot be sent as JSON")
