"""What Serve tells of our applications, in words for an operator."""
# pyright: basic

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Generator, Mapping
from typing import Any

from rewardplane.config.models import ModelConfig
from rewardplane.config.replicas import first_of
from rewardplane.host.progress import DeployFailed, Stopped

from .names import GATEWAY, GATEWAY_APP, MODEL, POOL, SAID, Deployed, entry_of, stem_of
from .placement import shortage

_log = logging.getLogger(__name__)

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Failed|Exit|Interrupt))\b:? ?(.*)$")


def what_lacks(apps: Mapping[str, Deployed]) -> str:
    """What is not there yet of these applications; empty when all run.

    Raises:
        DeployFailed: one of them has failed.
    """
    from ray import serve

    known = serve.status().applications
    lacking: list[str] = []
    for app, part in apps.items():
        state = known.get(app)
        if state is None:
            lacking.append(f"{part.name}: not deployed yet")
        elif state.status in ("DEPLOY_FAILED", "UNHEALTHY"):
            raise DeployFailed(f"{entry_of(part)}: {_why(state)}")
        elif state.status != "RUNNING":
            up = _running(state, MODEL if isinstance(part, ModelConfig) else POOL)
            short = shortage(part)
            lacking.append(
                f"{part.name}: {up} of {first_of(part.settings.replicas)} replicas run"
                + (f" ({short})" if short else "")
            )
    return "; ".join(lacking)


def running() -> dict[str, int]:
    """How many replicas run of each reward and model, by `stem_of` their applications."""
    from ray import serve

    found: dict[str, int] = {}
    for app, state in serve.status().applications.items():
        up = max((_running(state, name) for name in (POOL, MODEL)), default=0)
        found[stem_of(app)] = max(up, found.get(stem_of(app), 0))
    return found


def gateways_up() -> int:
    """How many gateways run.

    Raises:
        DeployFailed: they cannot start.
    """
    from ray import serve

    state = serve.status().applications.get(GATEWAY_APP)
    if state is None:
        return 0
    up = _running(state, GATEWAY)
    if state.status == "DEPLOY_FAILED" and not up:
        raise DeployFailed(f"the gateway: {_why(state)}")
    return up


@contextlib.contextmanager
def deploying() -> Generator[None, None, None]:
    """Whatever a deployment raises is a fault of the file or of the cluster, and not our end."""
    try:
        yield
    except (DeployFailed, Stopped):
        raise
    except Exception as error:
        _log.debug("a deployment failed", exc_info=error)
        raise DeployFailed(told_why(f"{type(error).__name__}: {error}")) from error


def told_why(text: str) -> str:
    """The reason in what Ray tells: of a traceback the last error, else the text as it is."""
    text = _ANSI.sub("", text).strip()
    at = text.rfind(SAID)
    if at >= 0:
        return text[at + len(SAID) :].strip()
    if "Traceback" not in text and '  File "' not in text:
        return text
    # pydantic's pointer to its documents tells an operator nothing.
    lines = [line for line in text.splitlines() if "For further information" not in line]
    found = [number for number, line in enumerate(lines) if _ERROR.match(line.strip())]
    return "\n".join(line.strip() for line in lines[found[-1] :]) if found else text[-2000:]


def _running(state: Any, deployment: str) -> int:
    of = state.deployments.get(deployment)
    return of.replica_states.get("RUNNING", 0) if of is not None else 0


def _why(state: Any) -> str:
    texts = [state.message, *(d.message for d in state.deployments.values())]
    return told_why("\n".join(text for text in texts if text))
