"""Where a judge's reasoning ends and its answer begins.

Servers without a reasoning parser put both into one text. All marks of `reading.thoughts` count, in
any case.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..reading.thoughts import CHANNEL, PROMPTED, TRAINED, pattern_of

Span = tuple[int, int]
"""Where a piece of a text begins and ends."""

_TAG = pattern_of((*TRAINED, *PROMPTED))
_CHANNEL = "<|channel|>"
_FINAL = CHANNEL[1]


def without_thoughts(text: str) -> str:
    """What stands outside the thoughts, "" where the judge did not finish thinking."""
    return "".join(text[begin:end] for begin, end in spoken(text))


def spoken(text: str, opaque: Sequence[Span] = ()) -> list[Span]:
    """The pieces of the text that are no thoughts, in their order. Linear in the text's length.

    A closing tag without its opening one ends thoughts that began with the text: many chat
    templates open the tag in the prompt. Thoughts that do not end leave nothing: what stands
    before them is no last word. `opaque` are pieces in which a tag is data, in their order.
    """
    begin = 0
    if _CHANNEL in text:
        final = text.rfind(_FINAL)
        if final < 0:
            return []
        begin = final + len(_FINAL)
    pieces: list[Span] = []
    thinking, ahead = False, 0
    for tag in _TAG.finditer(text, begin):
        while ahead < len(opaque) and opaque[ahead][1] <= tag.start():
            ahead += 1
        if ahead < len(opaque) and opaque[ahead][0] <= tag.start():
            continue
        if tag["closing"]:
            if not thinking:
                pieces.clear()
            thinking, begin = False, tag.end()
        elif not thinking:
            pieces.append((begin, tag.start()))
            thinking = True
    return [] if thinking else [*pieces, (begin, len(text))]
