"""The page of the HTTP port: `GET /ui`, which holds no data, and `GET /ui/status.json`, which does.

What stands in the status is what the caller may see: rewards by its grant, errors of its own calls,
jobs that are its alone, the load of the whole gateway only where it may name every reward.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import socket
import time
from collections import Counter
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from rewardplane.gateway.seen import Sights

from .exchange import Answer, Request, json_answer

if TYPE_CHECKING:
    from rewardplane.access.caller import Caller
    from rewardplane.gateway.metrics import Metrics
    from rewardplane.gateway.served import ServedReward, ServedRewards

MAX_ERRORS, MAX_JOBS = 60, 60
_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Ui:
    """Answers with the page and with what it shows."""

    def __init__(self, rewards: ServedRewards, metrics: Metrics) -> None:
        self._rewards = rewards
        self._metrics = metrics
        self._began_s = time.time()
        self._sights = metrics.sights = Sights()
        self._page = files("rewardplane.http").joinpath("ui.html").read_text("utf-8")
        self._policy = _policy(self._page)

    async def page(self, _request: Request) -> Answer:
        """The page itself: the same for all, with nothing of the service in it."""
        headers = {**_HEADERS, "content-security-policy": self._policy}
        return Answer(self._page.encode(), headers=headers, media_type="text/html; charset=utf-8")

    async def status(self, request: Request) -> Answer:
        """What the page shows. Counters grow from the gateway's start; the page makes rates."""
        caller = request.caller
        names = [n for n in self._rewards.names() if caller is None or caller.may_name(n)]
        calls = Counter[tuple[str, str]]()
        for (reward, _job, code), count in list(self._metrics.requests.items()):
            calls[reward, code] += count
        status = {
            "gateway": socket.gethostname(),
            "version": version("rewardplane"),
            "now_s": time.time(),
            "since_s": self._began_s,
            "generation": self._rewards.generation,
            "serving": self._metrics.ready(),
            "caller": None if caller is None else caller.name,
            "load": self._load(caller),
            "rewards": [self._reward(self._rewards.find(name, ""), calls) for name in names],
            "jobs": self._jobs(caller, set(names)),
            "errors": [
                asdict(seen) for seen in self._sights.errors(caller) if seen.reward in names
            ][:MAX_ERRORS],
        }
        return json_answer(status, headers=_HEADERS)

    def _load(self, caller: Caller | None) -> dict[str, float]:
        if caller is None or tuple(caller.grant.rewards) == ("*",):
            gauges = self._metrics.gauges
            return {
                name.removeprefix("rewardplane_"): float(read())
                for name, (_text, read) in list(gauges.items())
            }
        return {"in_flight_items": caller.in_flight_items}

    def _reward(self, served: ServedReward, calls: Counter[tuple[str, str]]) -> dict[str, Any]:
        figures = self._metrics.figures(served.name)
        times = self._metrics.request_times.get(served.name)
        model = served.config.model
        return {
            "name": served.name,
            "version": served.version,
            "digest": served.digest,
            "kind": served.settings.kind,
            "lane": served.lane,
            "replicas": 0 if served.lane == "composite" else served.replicas,
            "members": sorted(served.members),
            "model": "" if model is None else model.name,
            "items": dict(figures.items),
            "calls": {code: n for (name, code), n in calls.items() if name == served.name},
            "call_bins": {} if times is None else dict(times.bins),
            "queue_bins": dict(figures.queue.bins),
            "reward_sum": figures.gain - figures.loss,
            "waiting_items": served.pool.backlog_items,
            "in_flight_items": served.items,
            "backlog_s": served.backlog_s,
        }

    def _jobs(self, caller: Caller | None, names: set[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for reward, job, health in self._metrics.health.all():
            if reward in names and self._sights.may_see_job(caller, reward, job):
                told: dict[str, Any] = {"reward": reward, "job": job}
                told["advice"] = list(health.advice())
                for name in ("items", "error_ratio", "mean", "deviation", "alike_ratio"):
                    value = getattr(health, name)
                    told[name] = value if math.isfinite(value) else None
                found.append(told)
        return sorted(found, key=lambda told: (not told["advice"], -told["items"]))[:MAX_JOBS]


def _policy(page: str) -> str:
    """What the page may do: run what stands in it, and ask where it came from."""

    def allowed(tag: str) -> str:
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (hashlib.sha256(text.encode()).digest() for text in found)
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {allowed('script')}; style-src {allowed('style')}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
