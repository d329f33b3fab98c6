"""A text that is one Markdown code block, without its fence."""

from __future__ import annotations

import re

_OPENING = re.compile(r"(`{3,}|~{3,})")
_JSON_NAMES = ("json", "jsonc", "json5", "javascript", "js", "application/json")
_ONE_WORD = re.compile(r"[ \t]*\{?\.?([A-Za-z0-9_+./#-]*)\}?[ \t]*")


def unfenced(text: str) -> str:
    """What stands in the code block that the text is as a whole; the text where it is none.

    A fence is three or more backticks or tildes, closed by as many or more, at the end of the last
    line or on a line of its own, with line ends of any kind. The name of a language after the
    opening one is no content: any word on the fence's own line, ``json`` and the like where the
    content follows on the same line. In time linear in the text.
    """
    text = text.strip()
    opening = _OPENING.match(text)
    if opening is None:
        return text
    mark = opening[1][0]
    inner = text.rstrip(mark)
    closing = len(text) - len(inner)
    if closing < len(opening[1]) or len(inner) <= len(opening[1]):
        return text
    inner = inner[len(opening[1]) :]
    # All line ends that Markdown knows: \n, \r\n, \r.
    line, end, rest = inner.partition("\r" if "\r" in inner.partition("\n")[0] else "\n")
    named = _ONE_WORD.fullmatch(line)
    if end and named is not None:
        return rest.strip()
    word = _ONE_WORD.match(inner)
    if word is not None and word[1].lower() in _JSON_NAMES:
        return inner[word.end() :].strip()
    return inner.strip()
