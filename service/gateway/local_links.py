"""The links of a gateway to the replicas of its node that serve one version: found in a folder."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from rewardplane.replica.linked_workers import clear_away, pid_in

SCAN_S = 0.25
"""How often at most to look for replicas that came up."""


class Link(Protocol):
    """A connection to a replica."""

    def hang_up(self) -> None:
        """Ends it."""
        ...


LinkT = TypeVar("LinkT", bound=Link)
Connect = Callable[[Path, int, Callable[[], None]], Awaitable[LinkT]]
"""Connects to the socket at a path whose owner is a process id; calls what it is given when the
link is lost. Raises ConnectionRefusedError where nobody listens any more, else OSError."""


class LocalLinks(Generic[LinkT]):
    """The links by the names of their sockets. Owned by an event loop.

    Two looks at the folder may be under way at once, and a link may be lost, or all this closed,
    while it is made: of each socket one link at most is kept, and no other one stays open.
    """

    def __init__(self, folder: Path | None, fingerprint: str, connect: Connect[LinkT]) -> None:
        self._folder = folder
        self._fingerprint = fingerprint
        self._connect = connect
        self._links: dict[str, LinkT] = {}
        self._scan_again_s = 0.0
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._links)

    @property
    def all(self) -> Collection[LinkT]:
        """Those that are there, as they come and go."""
        return self._links.values()

    @property
    def is_due(self) -> bool:
        """Whether it is time for another look."""
        return time.monotonic() >= self._scan_again_s

    async def scan(self) -> None:
        """Connects to the replicas that came up since the last look."""
        self._scan_again_s = time.monotonic() + SCAN_S
        if self._folder is None:
            return
        for path in self._folder.glob(f"{self._fingerprint}.*"):
            if path.name not in self._links and not self._is_closed:
                await self.connect(path)

    async def connect(self, path: Path) -> None:
        """Connects to one; to no avail where it is gone."""
        link: LinkT | None = None
        is_lost = False

        def lost() -> None:
            nonlocal is_lost
            is_lost = True
            if link is not None and self._links.get(path.name) is link:
                del self._links[path.name]

        try:
            link = await self._connect(path, pid_in(path.name), lost)
        except ConnectionRefusedError:  # its replica was killed
            clear_away(path)
        except OSError:  # it is gone since the folder was read
            return
        else:
            if is_lost or self._is_closed or path.name in self._links:
                link.hang_up()
            else:
                self._links[path.name] = link

    def close(self) -> list[LinkT]:
        """Finds no more from now on; those that there were, for the caller to end."""
        self._is_closed = True
        links = list(self._links.values())
        self._links.clear()
        return links
