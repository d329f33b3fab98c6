"""Small values in place of a program's answers: test code that hangs on these hangs of itself."""

from __future__ import annotations

from collections.abc import Sequence

_BOOLEANS = (b"V[true, null]", b"V[false, null]")


def stand_in(seen: Sequence[bytes], number: int) -> bytes:
    """A small answer of the kind that the program gave to the `number`-th question.

    `seen`: how its answers began. What it raised, and which object it named, stays as it was.
    """
    if not seen:
        return b"V[1, null]"
    answer = seen[number % len(seen)]
    value = answer[2:]
    if not answer.startswith(b"V["):
        return answer if answer.endswith(b"}") or answer[:1] == b"X" else b"X"
    if value[:1] in b"-0123456789":
        return b"V[%d, null]" % (number % 3)
    if value.startswith((b"true", b"false")):
        return _BOOLEANS[number % 2]
    if value[:1] == b'"':
        return b'V["", null]'
    if value[:1] == b"[":
        return b"V[[], null]"
    if value.startswith((b'{"h"', b'{"k"', b'{"m"')):
        return answer
    if value.startswith((b'{"i"', b'{"r"', b'{"F"', b'{"D"')):
        return b"V[2, null]"
    if value.startswith(b'{"f"'):
        return b"V[1.5, null]"
    for tag in (b"t", b"d", b"s", b"z", b"q", b"g"):
        if value.startswith(b'{"%s"' % tag):
            return b'V[{"%s": []}, null]' % tag
    return b"V[null, null]"
