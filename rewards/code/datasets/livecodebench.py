"""LiveCodeBench: public and private test cases, functional ones with the function's name beside.

The private cases may be as they are shipped: JSON, pickled, compressed by zlib, in base64. The
pickle is never loaded as one: of its operations only those of one text are read.

Source: https://huggingface.co/datasets/livecodebench/code_generation_lite, and the
`lcb_runner.benchmarks.code_generation` of its repository.
"""

from __future__ import annotations

import base64
import binascii
import pickletools
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...reading.json_text import NoJson, read_json
from ...types import InvalidReference
from ..tests import CallTests, GivenLimits, StdinTests
from .document import Document, limits_of, text_of
from .pairs import is_list as is_list_of_pairs
from .pairs import tests_of

_KEYS = ("public_test_cases", "private_test_cases")
_PACKED = re.compile(r"eJ[A-Za-z0-9+/=]+")
_HEAD_CHARS = 200
_MAX_UNPACKED_BYTES = 64 << 20
_TEXTS = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"})
_AROUND = frozenset({"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"})


def is_list(items: Sequence[Any]) -> bool:
    """Whether it is a list of its test cases."""
    return is_list_of_pairs(items) and all("testtype" in item for item in items)


def read_list(items: Sequence[Any], others: Mapping[str, Any]) -> StdinTests | CallTests:
    """The tests of one list of cases."""
    metadata = _metadata(others.get("metadata"))
    return _tests(items, metadata, others, limits_of(others))


def is_object(document: Document) -> bool:
    """Whether it has one of the lists."""
    return any(document.has(key) for key in _KEYS)


def read(document: Document) -> StdinTests | CallTests:
    """The tests of an example, the public ones first."""
    cases: list[Any] = []
    for key in _KEYS:
        cases += _cases(key, document.get(key))
    metadata = _metadata(document.get("metadata") or document.others.get("metadata"))
    if not is_list_of_pairs(cases):
        raise InvalidReference("the test cases are no objects with input and output")
    both = {**document.others, **document.value}
    for key in ("fn_name", "starter_code"):
        document.get(key)
    return _tests(cases, metadata, both, document.limits())


def is_packed(text: str) -> bool:
    """Whether it may be private cases as they are shipped."""
    return _PACKED.fullmatch(text[:_HEAD_CHARS]) is not None


def read_packed(text: str, others: Mapping[str, Any]) -> StdinTests | CallTests:
    """The tests of private cases alone."""
    return read_list(_cases("private_test_cases", text), others)


def _cases(key: str, value: Any) -> Sequence[Any]:
    if value is None or value == "":
        return []
    if isinstance(value, str):
        try:
            value = read_json(_unpacked(value) if is_packed(value) else value)
        except NoJson as error:
            raise InvalidReference(f"{key}: no JSON: {error}") from None
    if not isinstance(value, list):
        raise InvalidReference(f"{key} is {type(value).__name__}, want a list")
    return cast("list[Any]", value)


def _unpacked(text: str) -> str:
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(text), _MAX_UNPACKED_BYTES)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InvalidReference(f"private_test_cases cannot be unpacked: {error}") from None
    if unpacker.unconsumed_tail:
        raise InvalidReference(f"private_test_cases hold over {_MAX_UNPACKED_BYTES} bytes")
    if data[:1] in (b"[", b"{"):
        return data.decode("utf-8", "replace")
    texts: list[str] = []
    odd: list[str] = []
    try:
        for operation, argument, _place in pickletools.genops(data):
            if operation.name in _TEXTS:
                texts.append(str(argument))
            elif operation.name not in _AROUND:
                odd.append(operation.name)
    except (ValueError, IndexError, OverflowError, MemoryError) as error:
        raise InvalidReference(f"private_test_cases cannot be unpacked: {error}") from None
    if len(texts) != 1 or odd:
        raise InvalidReference("private_test_cases hold something else than one text")
    return texts[0]


def _metadata(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = read_json(value)
        except NoJson:
            return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _tests(
    cases: Sequence[Any],
    metadata: Mapping[str, Any],
    others: Mapping[str, Any],
    limits: GivenLimits,
) -> StdinTests | CallTests:
    kinds = {case.get("testtype", "stdin") for case in cases}
    if not kinds <= {"stdin", "functional"} or len(kinds) > 1:
        raise InvalidReference(f"testtype {', '.join(sorted(map(str, kinds)))}; want one")
    function = ""
    if kinds == {"functional"}:
        function = text_of(metadata, "func_name") or text_of(others, "fn_name")
        if not function:
            raise InvalidReference("functional tests want metadata with func_name, or fn_name")
    inputs = [case["input"] for case in cases]
    outputs = [case["output"] for case in cases]
    return tests_of(inputs, outputs, function, "", limits)
