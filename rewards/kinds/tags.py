"""How much of a structure by tags is there."""

from __future__ import annotations

from ..reading.tag import TagNames
from ..reward import kind
from ..types import Example, Response, Score
from ..verdict import Verdict


@kind("tags")
class Tags(Verdict):
    """The part of the tags that are there: of all opening and closing tags, those that stand once.

    The reward goes from `wrong_reward`, for none, to `correct_reward`, for all, in equal steps. The
    order does not count (that is the kind `format`). Components: `found`, the part; and for each
    tag, under its name, 0, 0.5 or 1.
    """

    fits_inline = True
    reads_prompt = False

    tags: TagNames = ("think", "answer")
    """The tags."""

    @property
    def component_names(self) -> tuple[str, ...]:
        """`found` and one for each tag."""
        return ("found", *(f"tag_{name}" for name in self.tags))

    def score(self, example: Example, response: Response) -> Score:  # noqa: ARG002
        """The reward, with a component for each tag."""
        count = response.text.count
        parts = {
            f"tag_{name}": 0.5 * ((count(f"<{name}>") == 1) + (count(f"</{name}>") == 1))
            for name in self.tags
        }
        found = sum(parts.values()) / len(parts)
        reward = self.wrong_reward + (self.correct_reward - self.wrong_reward) * found
        return Score(reward, {"found": found, **parts}, "", ())
