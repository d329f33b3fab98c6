"""The replicas of one model that share the gateway's node: jobs go to them by a socket.

A job by Serve's handle costs a millisecond of CPU or more, one by a socket a tenth of that. Where
the model has replicas elsewhere too, each job goes to whichever has the least to do, as far as this
gateway knows; where there is no socket, all go by the handle.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rewardplane.replica.answers import Answer, Message
from rewardplane.replica.job_link import JobLink, LinkLost

from .lane import Answers, ReplicaLost, Send
from .local_links import LocalLinks


class LocalModels:
    """The replicas of one version of a model. Owned by its event loop; its rewards share it."""

    def __init__(self, folder: Path | None, fingerprint: str) -> None:
        self._links = LocalLinks(folder, fingerprint, JobLink.connect)
        self._elsewhere_items = 0

    def sender(
        self, reward: Any, elsewhere: Send, count: Callable[[], int], note: Callable[[Any], None]
    ) -> Send:
        """What sends jobs of one reward, which travels with them.

        `elsewhere` sends them by handle; `count` tells how many replicas run, on all nodes; `note`
        is called with what a replica says that it serves.
        """

        async def send(messages: Sequence[Any], backlog: tuple[int, float]) -> Answers:
            link = await self._choose(count())
            if link is None:
                items = sum(message[1] for message in messages)
                self._elsewhere_items += items
                try:
                    async with aclosing(elsewhere(messages, backlog)) as answers:
                        async for answer in answers:
                            yield answer
                finally:
                    self._elsewhere_items -= items
                return
            packed: list[Message] = [(_joined(data), *others) for data, *others in messages]
            async with aclosing(_run(link, reward, packed, backlog)) as told:
                noted: Any = None
                async for answer in told:
                    if link.facts is not noted:
                        noted = link.facts
                        note(noted)
                    yield answer

        return send

    async def close(self) -> None:
        """Hangs up; what is sent then goes by handle."""
        for link in self._links.close():
            link.hang_up()

    async def _choose(self, count: int) -> JobLink | None:
        serving = self._serving()
        if len(serving) < count and self._links.is_due:
            await self._links.scan()
            serving = self._serving()
        link = min(serving, key=_items, default=None)
        if link is None or len(serving) >= count:
            return link
        others = self._elsewhere_items / (count - len(serving))
        return link if link.items <= others else None

    def _serving(self) -> list[JobLink]:
        return [link for link in self._links.all if not link.stops]


async def _run(
    link: JobLink, reward: Any, messages: Sequence[Message], backlog: tuple[int, float]
) -> AsyncGenerator[Answer, None]:
    try:
        async with aclosing(link.run(reward, messages, backlog)) as answers:
            async for answer in answers:
                yield answer
    except LinkLost as error:
        raise ReplicaLost(str(error)) from None


def _items(link: JobLink) -> int:
    return link.items


def _joined(data: Sequence[Any]) -> Sequence[Any]:
    return [b"".join(data)]
