"""How much of a structure by tags is there."""

from __future__ import annotations

from ..reading.tag import TagNames, is_blank
from ..reward import kind
from ..types import Example, Response, Score
from ..verdict import RightOrWrong


@kind("tags")
class Tags(RightOrWrong):
    """The part of the tags that are there: of all opening and closing tags, those that count.

    A tag counts where it stands exactly once and after those that counted before it, in the order
    of `tags`, each opening tag before its closing one; a closing tag only where there is more than
    white space in its block. The reward goes from `wrong_reward`, for none, to `correct_reward`,
    for all, in equal steps. What stands outside of the blocks does not count (that is the kind
    `format`). Components: `found`, the part; and for each tag, under its name, 0, 0.5 or 1.
    """

    fits_inline = True
    reads_prompt = False

    tags: TagNames = ("think", "answer")
    """The tags, in their order."""
    opened_by_prompt: bool = False
    """The prompt ends with the first opening tag: it counts where the response has
    none of its own."""
    not_empty: bool = True
    """The closing tag of a block with nothing but white space in it does not count."""

    @property
    def component_names(self) -> tuple[str, ...]:
        """`found` and one for each tag."""
        return ("found", *(f"tag_{name}" for name in self.tags))

    def score(self, example: Example, response: Response) -> Score:  # noqa: ARG002
        """The reward, with a component for each tag."""
        text, end = response.text, 0
        parts: dict[str, float] = {}
        by_prompt = self.opened_by_prompt
        for name in self.tags:
            opening, closing = f"<{name}>", f"</{name}>"
            part = 0.0
            opened = by_prompt and opening not in text
            if opened:
                part = 0.5
            elif text.count(opening) == 1 and (at := text.find(opening, end)) >= 0:
                part, opened, end = 0.5, True, at + len(opening)
            by_prompt = False
            if text.count(closing) == 1 and (at := text.find(closing, end)) >= 0:
                if not (self.not_empty and opened and is_blank(text, end, at)):
                    part += 0.5
                end = at + len(closing)
            parts[f"tag_{name}"] = part
        found = sum(parts.values()) / len(parts)
        reward = self.wrong_reward + (self.correct_reward - self.wrong_reward) * found
        return Score(reward, {"found": found, **parts}, "", ())
