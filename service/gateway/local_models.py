"""The replicas of one model that share the gateway's node: jobs go to them by a socket.

A job by Serve's handle costs a millisecond of CPU or more, one by a socket a tenth of that. Where
the model has replicas elsewhere too, each job goes to whichever has the least to do, as far as this
gateway knows; where there is no socket, all go by the handle.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rewardplane.replica.answers import Answer, Message
from rewardplane.replica.job_link import JobLink, LinkLost
from rewardplane.replica.linked_workers import clear_away, pid_in

from .lane import Answers, ReplicaLost, Send

SCAN_S = 0.25
"""How often at most to look for replicas that came up."""


class LocalModels:
    """The replicas of one version of a model. Owned by its event loop; its rewards share it."""

    def __init__(self, folder: Path | None, fingerprint: str) -> None:
        self._folder = folder
        self._fingerprint = fingerprint
        self._links: dict[str, JobLink] = {}
        self._scan_again_s = 0.0
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
        """Hangs up."""
        for link in list(self._links.values()):
            link.hang_up()
        self._links.clear()

    async def _choose(self, count: int) -> JobLink | None:
        if len(self._links) < count and time.monotonic() >= self._scan_again_s:
            await self._scan()
        serving = [link for link in self._links.values() if not link.stops]
        link = min(serving, key=_items, default=None)
        if link is None or len(serving) >= count:
            return link
        others = self._elsewhere_items / (count - len(serving))
        return link if link.items <= others else None

    async def _scan(self) -> None:
        self._scan_again_s = time.monotonic() + SCAN_S
        if self._folder is None:
            return
        for path in self._folder.glob(f"{self._fingerprint}.*"):
            if path.name not in self._links:
                await self._connect(path)

    async def _connect(self, path: Path) -> None:
        def lost() -> None:
            self._links.pop(path.name, None)

        try:
            link = await JobLink.connect(path, pid_in(path.name), lost)
        except ConnectionRefusedError:  # its replica was killed
            clear_away(path)
        except OSError:  # it is gone since the folder was read
            return
        else:
            self._links[path.name] = link


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
