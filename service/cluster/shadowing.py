"""Before new weights of a model are switched to: what they make of the last items of the old."""
# pyright: basic

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rewardplane.config.models import ModelConfig
from rewardplane.host.progress import Progress
from rewardplane.models.shadow import TIME_S

from .membership import ANSWER_S
from .names import Deployed, stem_of
from .status import running

_log = logging.getLogger(__name__)


class Shadows:
    """The last items of the models in whose place others come, as they were scored."""

    def __init__(self, fresh: Mapping[str, Deployed], up: Collection[str], membership: Any) -> None:
        """Asks the old ones; `fresh` are the applications that come, `up` those that are there."""
        self._membership = membership
        self._recent: dict[str, tuple[str, list[Any]]] = {}
        for app, model in fresh.items():
            if not isinstance(model, ModelConfig) or model.settings.runs == "endpoint":
                continue
            for old in (one for one in up if one != app and stem_of(one) == stem_of(app)):
                if not running().get(stem_of(old)):
                    continue  # it was stopped for want of work, and is not to start for this
                jobs = _asked(membership.recent.remote(old), ANSWER_S)
                if jobs:
                    self._recent[app] = model.name, jobs

    def tell(self, apps: Iterable[str], progress: Progress) -> None:
        """Has those that came score them, and tells what came of it.

        Whatever becomes of it is no reason not to switch.
        """
        for app in self._recent.keys() & set(apps):
            name, jobs = self._recent[app]
            progress.say(f"model {name}: the new one scores the last items of the old")
            for line in _asked(self._membership.shadow.remote(app, jobs), 1.5 * TIME_S):
                progress.note(f"model {name}, {line}")


def _asked(answer: Any, limit_s: float) -> list[Any]:
    import ray
    from ray.exceptions import RayError

    try:
        return ray.get(answer, timeout=limit_s)
    except RayError as error:
        _log.warning("no shadow scores: %s", error)
        return []
