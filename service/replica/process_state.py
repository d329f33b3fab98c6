"""What a trusted function may change of its process, put back so that later items do not see it.

Put back are: working directory, environment, umask, signal handlers and `alarm`, soft resource
limits, locale, decimal context, recursion limit, whether the garbage collector runs; and generators
of `random` and `numpy.random` that were seeded get fresh entropy. After each shard, and after each
call that took `CALL_NS` or more: looking costs some microseconds.

Not put back: modules and what they hold, `sys.path`, builtins that were replaced, threads and child
processes, open descriptors, hard limits (only root may raise them), credentials. Nor anything of
async functions, whose calls run side by side.
"""

from __future__ import annotations

import contextlib
import decimal
import gc
import locale
import os
import random
import resource
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

CALL_NS = 1_000_000

_SIGNALS = tuple(number for number in range(1, 32) if number not in (9, 19))  # KILL, STOP
_LIMITS = (
    *(resource.RLIMIT_NOFILE, resource.RLIMIT_DATA, resource.RLIMIT_AS),
    *(resource.RLIMIT_CPU, resource.RLIMIT_FSIZE),
)
# `signal.getsignal` without the enumerations around it, in a fiftieth of the time.
_handler_of: Callable[[int], Any] = import_module("_signal").getsignal


class ProcessState:
    """The state of this process when it is made, to go back to. Its main thread's only."""

    def __init__(self) -> None:
        self._folder = os.getcwd()  # noqa: PTH109 - compared as text, after each shard
        # The mapping behind `os.environ`: comparing that decodes every value.
        self._variables: Any = getattr(os.environ, "_data")  # noqa: B009 - it is private
        self._environment = dict(self._variables)
        self._umask = os.umask(0)
        os.umask(self._umask)
        self._handlers = list(map(_handler_of, _SIGNALS))
        self._limits = [resource.getrlimit(limit) for limit in _LIMITS]
        self._locale = locale.setlocale(locale.LC_ALL)
        self._decimal = decimal.getcontext().copy()
        self._recursion = sys.getrecursionlimit()
        self._collects = gc.isenabled()
        self._seeded: set[Callable[[], Any]] = set()
        self._note_seeds(random)
        numpy: Any = sys.modules.get("numpy")
        if numpy is not None:
            self._note_seeds(numpy.random)

    def _note_seeds(self, module: Any) -> None:
        seed = module.seed
        seeded = self._seeded

        def noted(*args: Any, **kwargs: Any) -> Any:
            seeded.add(seed)
            return seed(*args, **kwargs)

        module.seed = noted

    def restore(self) -> None:
        """Puts back what was changed."""
        self._restore_folder()
        if self._variables != self._environment:
            os.environ.clear()
            os.environ.update(
                {os.fsdecode(k): os.fsdecode(v) for k, v in self._environment.items()}
            )
        os.umask(self._umask)
        if list(map(_handler_of, _SIGNALS)) != self._handlers:
            self._restore_handlers()
        if signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if [resource.getrlimit(limit) for limit in _LIMITS] != self._limits:
            self._restore_limits()
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)
        self._restore_decimal()
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        if gc.isenabled() is not self._collects:
            (gc.enable if self._collects else gc.disable)()
        while self._seeded:
            self._seeded.pop()()

    def _restore_folder(self) -> None:
        try:
            changed = os.getcwd() != self._folder  # noqa: PTH109
        except OSError:  # it was removed
            changed = True
        if changed:
            with contextlib.suppress(OSError):
                os.chdir(self._folder)

    def _restore_handlers(self) -> None:
        for number, handler in zip(_SIGNALS, self._handlers, strict=True):
            if handler is not None and _handler_of(number) is not handler:
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, handler)

    def _restore_limits(self) -> None:
        for limit, (soft, _hard) in zip(_LIMITS, self._limits, strict=True):
            now, hard = resource.getrlimit(limit)
            if now != soft:
                if hard != resource.RLIM_INFINITY:
                    soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
                with contextlib.suppress(OSError, ValueError):
                    resource.setrlimit(limit, (soft, hard))

    def _restore_decimal(self) -> None:
        now, then = decimal.getcontext(), self._decimal
        same = now.prec == then.prec and now.rounding == then.rounding and now.traps == then.traps
        same = same and (now.Emin, now.Emax, now.capitals, now.clamp) == (
            *(then.Emin, then.Emax),
            *(then.capitals, then.clamp),
        )
        if not same:
            decimal.setcontext(then.copy())
