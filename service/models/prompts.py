"""From messages to token ids: chat template, one BOS, the limit, and the tokens of labels."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rewardplane.rewards.text.chat import Message
from rewardplane.rewards.types import InvalidInput

from .media import MediaProcessor, has_media

_MAX_CUTS = 8


@dataclass(slots=True)
class Prompt:
    """Token ids, and how many of the prompt's tokens were cut to fit.

    `media`: what the model gets beside them, by name, where images or sounds are among them.
    """

    ids: list[int]
    cut_tokens: int = 0
    media: dict[str, Any] | None = None


@dataclass(slots=True, frozen=True)
class Wanted:
    """A conversation as `Prompter.prompt` takes it."""

    messages: Sequence[Message]
    asks: bool
    room: int = 0


class Prompter:
    """Renders and tokenises for one model. Its methods may run in any thread."""

    def __init__(
        self,
        tokenizer: Any,
        max_tokens: int,
        *,
        cuts: bool,
        options: dict[str, Any] | None = None,
        media: MediaProcessor | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.media = media
        self.max_tokens = max_tokens
        self._cuts = cuts
        self._options = options or {}
        self.bos: int | None = tokenizer.bos_token_id
        self._control = _control_of(tokenizer, media.marks if media is not None else ())
        # What the tokenizer puts before a plain text is what the model was trained with; a template
        # may have written it already.
        plain = cast("list[int]", tokenizer("x")["input_ids"])
        self._adds_bos = self.bos is not None and plain[:1] == [self.bos]
        if not tokenizer.chat_template:
            raise ValueError(
                "the tokenizer has no chat template: put a chat_template.jinja beside it"
            )
        template = str(tokenizer.chat_template).encode()
        self.template_digest = hashlib.sha256(template).hexdigest()[:16]

    def prompt(self, messages: Sequence[Message], *, asks: bool, room: int = 0) -> Prompt:
        """The token ids of a conversation. `asks`: the model's turn is next (a generation prompt).

        `room`: how many tokens are wanted for its answer.

        Raises:
            InvalidInput: the template refuses it, it is too long, or it is not text alone.
        """
        (made,) = self.prompts([Wanted(messages, asks, room)])
        if isinstance(made, Exception):
            raise made
        return made

    def prompts(self, wanted: Sequence[Wanted]) -> list[Prompt | Exception]:
        """As `prompt`, of many: n in, n out, same order; what it raises is in the place of one."""
        made: list[Prompt | Exception] = []
        for one, ids in zip(wanted, self._encoded(wanted), strict=True):
            try:
                made.append(self._within(one, ids) if isinstance(ids, list) else ids)
            except Exception as error:  # noqa: BLE001 - told to whoever asked for this one
                made.append(error)
        return made

    def _with_media(self, media: MediaProcessor, one: Wanted) -> Prompt:
        """A prompt in which images or sounds are; nothing of it is cut."""
        shown, images, sounds = media.taken_apart(one.messages)
        text = self._rendered(shown, asks=one.asks, template=media.template)
        ids, given = media.inputs(text, images, sounds)
        limit = self.max_tokens - one.room
        if self._adds_bos and ids[:1] != [self.bos]:
            raise InvalidInput("the chat template begins a conversation with media with no BOS")
        if len(ids) > limit:
            raise InvalidInput(f"{len(ids)} tokens with the media, the model takes {limit}")
        return Prompt(ids, media=given)

    def encode(self, messages: Sequence[Message], *, asks: bool) -> list[int]:
        """As `prompt`, whatever the length."""
        return self._begun(self._tokens(self.render(messages, asks=asks)))

    def _encoded(self, wanted: Sequence[Wanted]) -> list[list[int] | Prompt | Exception]:
        rendered: list[str | Prompt | Exception] = []
        for one in wanted:
            try:
                if self.media is not None and has_media(one.messages):
                    rendered.append(self._with_media(self.media, one))
                else:
                    rendered.append(self.render(one.messages, asks=one.asks))
            except InvalidInput as error:
                rendered.append(error)
        texts = [text for text in rendered if isinstance(text, str)]
        try:
            encoded: list[list[int] | Exception] = [*self._tokens_of(texts)]
        except Exception:  # noqa: BLE001 - one text of them; the others are fine
            encoded = [self._tokens_or_error(text) for text in texts]
        ids = iter(encoded)
        return [next(ids) if isinstance(text, str) else text for text in rendered]

    def _tokens_or_error(self, text: str) -> list[int] | Exception:
        try:
            return self._tokens(text)
        except Exception as error:  # noqa: BLE001 - told to whoever asked for this one
            return InvalidInput(f"the tokenizer refuses the conversation: {error}")

    def _within(self, one: Wanted, ids: list[int]) -> Prompt:
        """The prompt of a conversation's token ids, cut where that is wanted."""
        limit = self.max_tokens - one.room
        ids = self._begun(ids)
        if len(ids) <= limit:
            return Prompt(ids)
        if limit <= 0:
            raise InvalidInput(
                f"{one.room} tokens are kept for the answer, the model takes {self.max_tokens} with"
                " the conversation; lower max_tokens of the sampling"
            )
        if not self._cuts:
            raise InvalidInput(f"{len(ids)} tokens, the model takes {limit}")
        return self._cut(list(one.messages), ids, limit, asks=one.asks)

    def _tokens_of(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        told = self.tokenizer(
            list(texts),
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return cast("list[list[int]]", told["input_ids"])

    def _tokens(self, text: str) -> list[int]:
        return self._tokens_of([text])[0]

    def _begun(self, ids: list[int]) -> list[int]:
        """The ids with exactly one BOS before them, where the model wants one."""
        if self.bos is None:
            return ids
        if self._adds_bos and ids[:1] != [self.bos]:
            return [self.bos, *ids]
        while ids[:2] == [self.bos, self.bos]:
            del ids[0]
        return ids

    def render(self, messages: Sequence[Message], *, asks: bool) -> str:
        """The conversation as the template writes it."""
        return self._rendered([_plain(message) for message in messages], asks=asks)

    def _written(self, messages: Sequence[Message]) -> str:
        """A conversation whose next turn is the model's; media are the marks of the template."""
        if self.media is None or not has_media(messages):
            return self.render(messages, asks=True)
        shown, _images, _sounds = self.media.taken_apart(messages)
        return self._rendered(shown, asks=True, template=self.media.template)

    def _rendered(
        self, messages: Sequence[Message], *, asks: bool, template: str | None = None
    ) -> str:
        """As the template writes messages in which nothing is a control token."""
        options = (
            self._options if template is None else {**self._options, "chat_template": template}
        )
        try:
            text: Any = self.tokenizer.apply_chat_template(
                [self._no_control(message) for message in messages],
                tokenize=False,
                add_generation_prompt=asks,
                **options,
            )
        except InvalidInput:
            raise
        except Exception as error:  # noqa: BLE001 - a template raises what it likes
            raise InvalidInput(f"the chat template refuses the conversation: {error}") from None
        return cast("str", text)

    def _no_control(self, value: Any) -> Any:
        """A value in whose texts nothing is a control token: ``<|im_end|>`` ends no turn."""
        if isinstance(value, str):
            apart = self._control
            return value if apart is None else apart.sub(_taken_apart, value)
        if isinstance(value, list):
            return [self._no_control(one) for one in cast("list[Any]", value)]
        if isinstance(value, dict):
            return {k: self._no_control(v) for k, v in cast("dict[str, Any]", value).items()}
        return value

    def label_ids(self, messages: Sequence[Message], labels: Sequence[str]) -> list[int]:
        """The token of each label, as it follows the rendered conversation.

        Raises:
            InvalidInput: a label is no single token there, or two are the same.
        """
        text = self._written(messages)
        before = self._tokens(text)
        found: list[int] = []
        for label in labels:
            after = self._tokens(text + label)
            if len(after) != len(before) + 1 or after[:-1] != before:
                added = len(after) - len(before)
                raise InvalidInput(
                    f"label {label!r} is {added} tokens after the prompt, or changes its end; "
                    "choose labels that are one token, such as A, B or digits"
                )
            found.append(after[-1])
        if len(set(found)) < len(found):
            raise InvalidInput(f"two of the labels {list(labels)} are the same token")
        return found

    def _cut(self, messages: list[Message], ids: list[int], limit: int, *, asks: bool) -> Prompt:
        """Drops the beginning of the prompt's longest texts until the rest fits."""
        whole = len(ids)
        last_user = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=-1)
        # What follows the last user turn is the response; of a question, the last turn is kept.
        end = len(messages) - 1 if asks else last_user + 1
        for _ in range(_MAX_CUTS):
            excess = len(ids) - limit
            if excess <= 0:
                return Prompt(ids, whole - len(ids))
            sizes = [self._size(message) for message in messages[:end]]
            if not any(sizes):
                break
            longest = max(range(end), key=sizes.__getitem__)
            messages[longest] = self._shorter(messages[longest], excess)
            ids = self.encode(messages, asks=asks)
        if len(ids) <= limit:
            return Prompt(ids, whole - len(ids))
        raise InvalidInput(
            f"{whole} tokens, the model takes {limit}, and cutting the prompt is not enough"
        )

    def _size(self, message: Message) -> int:
        return len(self._tokens(_text(message)))

    def _shorter(self, message: Message, excess: int) -> Message:
        ids = self._tokens(_text(message))
        rest = self.tokenizer.decode(ids[excess:]) if excess < len(ids) else ""
        return {**message, "content": rest}


def _taken_apart(match: re.Match[str]) -> str:
    return f"{match[0][0]} {match[0][1:]}"


def _control_of(tokenizer: Any, marks: Iterable[str]) -> re.Pattern[str] | None:
    """What the tokenizer takes for a control token wherever it stands, longest first."""
    added: Any = getattr(tokenizer, "added_tokens_decoder", {})
    tokens = {str(token.content) for token in added.values() if token.special} | {*marks}
    found = sorted((t for t in tokens if len(t) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, found))) if found else None


def _text(message: Message) -> str:
    return str(_plain(message)["content"])


def _plain(message: Message) -> Message:
    """A message whose content is a text.

    Raises:
        InvalidInput: it has parts that are none.
    """
    content: Any = message.get("content")
    if not isinstance(content, list):
        return message
    texts: list[str] = []
    for part in cast("list[Any]", content):
        if part.get("type") != "text":
            raise InvalidInput(
                f"the model takes text alone, not a part of type {part.get('type')!r}"
            )
        texts.append(part["text"])
    return {**message, "content": "".join(texts)}
