"""The response is structured by tags, such as think and answer."""

from __future__ import annotations

from ..reading.span import STOP_STRINGS, StopStrings, without_stop
from ..reading.tag import TagNames, is_blank
from ..reward import kind
from ..types import Example, Response, Score
from ..verdict import RightOrWrong


@kind("format")
class Format(RightOrWrong):
    """Right where every tag is opened and closed exactly once, in order, with nothing outside.

    Components, 1 or 0 each: `once` (each opening and closing tag stands exactly once), `in_order`
    (all of them stand, each after the one before), `nothing_outside` (in order, and between and
    around the blocks there is white space only), `not_empty` (in order, and there is more than
    white space in each block). The reward is for all of them. It looks at the whole text, thoughts
    and all.
    """

    fits_inline = True
    reads_prompt = False

    tags: TagNames = ("think", "answer")
    """The tags, in their order."""
    opened_by_prompt: bool = False
    """The prompt ends with the first opening tag, so that the response begins inside that block."""
    not_empty: bool = True
    """A block with nothing but white space in it is wrong. Where false, it is told by the
    component only."""
    stop: StopStrings = STOP_STRINGS
    """Stop strings that a sampler may leave at the end of the text: nothing outside."""

    @property
    def component_names(self) -> tuple[str, ...]:
        """One for each check."""
        return ("once", "in_order", "nothing_outside", "not_empty")

    def score(self, example: Example, response: Response) -> Score:  # noqa: ARG002
        """The reward, with a component for each check."""
        text, at, end = without_stop(response.text, self.stop), 0, 0
        once = in_order = nothing_outside = filled = True
        expects_open = not self.opened_by_prompt
        for name in self.tags:
            for mark in (f"<{name}>", f"</{name}>"):
                if not expects_open:
                    expects_open = True
                    once = once and mark not in text
                    continue
                once = once and text.count(mark) == 1
                at = text.find(mark, end) if in_order else -1
                if at < 0:
                    in_order = nothing_outside = filled = False
                    continue
                blank = is_blank(text, end, at)
                if mark[1] == "/":
                    filled = filled and not blank
                elif not blank:
                    nothing_outside = False
                end = at + len(mark)
        nothing_outside = nothing_outside and is_blank(text, end, len(text))
        passed = once and in_order and nothing_outside and (filled or not self.not_empty)
        checks = {
            "once": float(once),
            "in_order": float(in_order),
            "nothing_outside": float(nothing_outside),
            "not_empty": float(filled),
        }
        return Score(self.correct_reward if passed else self.wrong_reward, checks, "", ())
