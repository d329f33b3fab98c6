"""A service of a configuration for as long as one command runs, in this process and without Ray."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from rewardplane.config.load import load
from rewardplane.host import logs
from rewardplane.host.local import LocalService
from rewardplane.host.options import Options
from rewardplane.host.progress import Progress


@contextmanager
def serving(config: Path, tell: Callable[[str], None]) -> Generator[str, None, None]:
    """Serves a file of rewards on a free port of loopback; yields the address.

    Raises:
        ConfigError: the file cannot be served.
        DeployFailed: a reward cannot be set up.
    """
    served = load(config)
    logs.to_stderr()
    service = LocalService(Options(port=0, metrics_port=0))
    service.start(served, Progress(tell))
    try:
        (address,) = service.addresses()
        yield address
    finally:
        service.stop()
