"""The response is structured by tags, such as think and answer."""

from __future__ import annotations

from ..reading.tag import TagNames
from ..reward import kind
from ..types import Example, Response, Score
from ..verdict import Verdict


@kind("format")
class Format(Verdict):
    """Right where every tag is opened and closed exactly once, in order, with nothing outside.

    Components, 1 or 0 each: `once` (each opening and closing tag stands exactly once), `in_order`
    (all of them stand, each after the one before), `nothing_outside` (in order, and between and
    around the blocks there is white space only). The reward is for all three.
    """

    fits_inline = True
    reads_prompt = False

    tags: TagNames = ("think", "answer")
    """The tags, in their order."""
    opened_by_prompt: bool = False
    """The prompt ends with the first opening tag, so that the response begins inside that block."""

    @property
    def component_names(self) -> tuple[str, ...]:
        """One for each check."""
        return ("once", "in_order", "nothing_outside")

    def score(self, example: Example, response: Response) -> Score:  # noqa: ARG002
        """The reward, with a component for each check."""
        text, at, end = response.text, 0, 0
        once = in_order = nothing_outside = True
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
                    in_order = nothing_outside = False
                    continue
                if mark[1] != "/" and not _blank(text, end, at):
                    nothing_outside = False
                end = at + len(mark)
        nothing_outside = nothing_outside and _blank(text, end, len(text))
        passed = once and in_order and nothing_outside
        checks = {
            "once": float(once),
            "in_order": float(in_order),
            "nothing_outside": float(nothing_outside),
        }
        return Score(self.correct_reward if passed else self.wrong_reward, checks, "", ())


def _blank(text: str, start: int, end: int) -> bool:
    return start == end or text[start:end].isspace()
