"""What the processes of a cluster write, as Ray brings it to the driver: our lines as they are.

Ray would put its own name, colours and counts of repetitions around each line.
"""
# pyright: basic

from __future__ import annotations

import json
import os
import re
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from rewardplane.host.logs import FORMAT_ENV, LogFormat

_OURS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ |\{\"time\": ")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def take() -> None:
    """Prints them here from now on, in the place of Ray's own printer."""
    from ray._private.ray_logging import global_worker_stdstream_dispatcher as dispatcher

    lock = threading.Lock()
    is_json = os.environ.get(FORMAT_ENV) == LogFormat.JSON

    def show(data: dict[str, Any]) -> None:
        if data.get("pid") == "autoscaler":
            return  # its table, each five seconds: `ray status` has it
        who = _who(data)
        lines = [_line(_ANSI.sub("", line), who, is_json) for line in data.get("lines", [])]
        with lock:
            print(*(line for line in lines if line), sep="\n", file=sys.__stderr__, flush=True)

    dispatcher.remove_handler("ray_print_logs")
    dispatcher.add_handler("rewardplane", show)


def _line(line: str, who: str, is_json: bool) -> str:
    if _OURS.match(line) or not line.strip():
        return line.strip()
    if not is_json:
        return f"{who}: {line}"
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, "level": "info", "logger": who, "message": line})


def _who(data: dict[str, Any]) -> str:
    name = str(data.get("actor_name") or data.get("task_name") or data.get("pid"))
    name = name.removeprefix("ServeReplica:")
    return f"{name} pid {data.get('pid')} on {data.get('ip')}"
