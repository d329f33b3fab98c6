"""The one folder that code may write to: empty before each run, and one for each session."""

from __future__ import annotations

import os

from . import kernel, landlock, namespaces
from .child import Confinement
from .places import DEVICES


class Scratch:
    """The tmpfs of a zygote with a private root, and the rules of Landlock that open it."""

    def __init__(
        self, path: str, abi: int, size_mb: int, files: int, confinement: Confinement
    ) -> None:
        """Mounts it. Raises OSError as it failed."""
        self._path = path
        self._abi = abi
        self._size = size_mb, files
        self._confinement = confinement
        self._rules = -1
        confinement.own_scratch = self._enter_own
        self._mount()

    def clear(self) -> None:
        """Makes it empty. Raises OSError as it failed."""
        if self._use() != self._empty:
            # Unmounted, not emptied: its names are not for the zygote to read.
            kernel.unmount(self._path)
            self._mount()

    def _enter_own(self) -> kernel.Prepared:
        """In a session's process: a folder of its own over that of the runs beside it."""
        kernel.unshare(kernel.CLONE_NEWNS)
        namespaces.mount_scratch(self._path, *self._size)
        return landlock.restrict(self._rules_now())

    def _mount(self) -> None:
        namespaces.mount_scratch(self._path, *self._size)
        self._empty = self._use()
        if self._rules >= 0:
            os.close(self._rules)
        # Anew, as a rule is for one mount and does not outlive it.
        self._rules = self._rules_now()
        self._confinement.landlock_with_scratch = landlock.restrict(self._rules)

    def _rules_now(self) -> int:
        return landlock.ruleset(self._abi, ["/"], writable=[self._path], devices=DEVICES)

    def _use(self) -> tuple[int, int]:
        state = os.statvfs(self._path)
        return state.f_bfree, state.f_ffree
