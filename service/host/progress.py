"""The waits of a start or a reload: told while they last, ended by a signal or by their limit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

_log = logging.getLogger(__name__)

POLL_S, PATIENT_POLL_S = 0.05, 0.5
"""How often is asked: what takes long is asked less often, for an answer costs both sides CPU."""
TELL_AFTER_S = 1.0
"""What is over sooner is not worth a word."""


class DeployFailed(Exception):
    """The configuration could not be brought up; the message says why and what is missing."""


class Stopped(Exception):
    """A signal asks the process to end: whatever it waits for is given up."""


class Progress:
    """Tells what is waited for, each text once.

    `stopped` says whether to end, `superseded` whether the next reload is asked for.
    """

    def __init__(
        self,
        tell: Callable[[str], None] | None = None,
        stopped: Callable[[], bool] | None = None,
        superseded: Callable[[], bool] | None = None,
    ) -> None:
        self._tell = tell or _ignore
        self._stopped = stopped or _never
        self._superseded = superseded or _never
        self._last = ""
        self.notes: list[str] = []
        """What is worth knowing when it is over."""

    def note(self, text: str) -> None:
        """Tells a text that is worth knowing when it is over, too.

        Raises:
            Stopped: a signal has come.
        """
        self.notes.append(text)
        self.say(text)

    def say(self, text: str) -> None:
        """Tells a text, unless it is the one told before.

        Raises:
            Stopped: a signal has come.
        """
        if text != self._last:
            self._last = text
            self._tell(text)
        self.check()

    def check(self) -> None:
        """Raises Stopped where a signal has come."""
        if self._stopped():
            raise Stopped

    def give_way(self) -> None:
        """Raises DeployFailed where the next reload is asked for: this one is of yesterday."""
        if self._superseded():
            raise DeployFailed("given up, as another reload was asked for meanwhile")

    def wait(self, lacking: Callable[[], str], limit_s: float) -> str:
        """Waits until `lacking` has nothing to tell; returns what is missing after `limit_s`.

        Raises:
            Stopped: a signal has come.
        """
        begin_s = time.monotonic()
        while text := lacking():
            waited_s = time.monotonic() - begin_s
            if waited_s >= limit_s:
                return text
            if waited_s >= TELL_AFTER_S:
                self.say(text)
            self.check()
            time.sleep(min(max(POLL_S, waited_s / 20), PATIENT_POLL_S))
        return ""

    def expect(self, lacking: Callable[[], str], limit_s: float) -> None:
        """Waits until `lacking` has nothing to tell.

        Raises:
            DeployFailed: with what it tells after `limit_s`.
            Stopped: a signal has come.
        """
        if left := self.wait(lacking, limit_s):
            raise DeployFailed(f"after {limit_s:g} s: {left}")


@contextmanager
def way_back(error: BaseException) -> Generator[None]:
    """The way back to what was served, after `error`.

    Raises:
        DeployFailed: it fails too; the message tells both. After `Stopped` only the log has it.
    """
    try:
        yield
    except Exception as another:  # noqa: BLE001 - told, or logged, beside the first
        if isinstance(error, Stopped) or not isinstance(error, Exception):
            _log.exception("the way back to what was served failed")
            return
        raise DeployFailed(
            f"{_said(error)}; and the way back to what was served failed: {_said(another)}; "
            "reload once more"
        ) from error


def _said(error: Exception) -> str:
    kind = "" if isinstance(error, DeployFailed) else f"{type(error).__name__}: "
    return f"{kind}{error}"


def _ignore(_text: str) -> None:
    pass


def _never() -> bool:
    return False
