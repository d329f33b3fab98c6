"""The URL that SandboxFusion's clients call for a raw run, verl's and the Tinker cookbook's too.

`POST /run_code` (sandbox-fusion 0.3.7, sandbox_fusion/models.py; verl 0.9.1, utils/reward_score/
sandbox_fusion) is answered by a reward of kind `program_run`. Only Python runs here. Whatever else
a request asks for that there is not, is refused by its name: a language, arguments, limits above
those of the reward.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from rewardplane.rewards.kinds.program_run import LANGUAGES
from rewardplane.rewards.types import Example, Outcome, Response, Score
from rewardplane.wire.errors import Internal, InvalidRequest

from .exchange import Request, json_answer
from .facade import Ask, Facade, switched_off
from .request import json_object
from .scoring import Asked, Asking

_NAME = "sandbox_fusion"
_KNOWN = frozenset(
    {
        *("code", "language", "stdin", "files", "fetch_files", "compile_timeout", "run_timeout"),
        *("memory_limit_MB", "args"),
    }
)
_CLIENT_SLACK_S = 10.0
"""What verl's client waits beyond the two limits."""
_MARGIN_S = 2.0


class SandboxFusion(Facade):
    """Answers `POST /run_code`."""

    passing_status: ClassVar[int | None] = 504  # the one that verl's client tries again

    def routes(self) -> Mapping[str, Ask]:
        """See the base."""
        return {"/run_code": self.run_code}

    def run_code(self, _request: Request) -> Asking:
        """What the program did.

        Raises:
            Answered: the URL is not switched on.
        """
        settings = self.rewards.http.sandbox_fusion
        if settings is None:
            raise switched_off(_NAME)
        return Asking(
            settings.reward,
            lambda body: asked_of(json_object(body)),
            lambda outcomes: json_answer(answer_of(outcomes[0])),
            wants=("details",),
        )


def asked_of(fields: Mapping[str, Any]) -> Asked:
    """The item of a request.

    Raises:
        InvalidRequest: it is none, or asks for what there is not.
    """
    code, language = fields.get("code"), fields.get("language")
    if not isinstance(code, str):
        raise InvalidRequest("code: want a text")
    if language not in LANGUAGES:
        raise InvalidRequest(f"language {language!r}: this sandbox runs {', '.join(LANGUAGES)}")
    lacking = [name for name in fields if name not in _KNOWN and fields[name] is not None]
    if fields.get("args"):
        lacking.append("args")
    if lacking:
        raise InvalidRequest(f"{', '.join(lacking)}: there is no such thing here")
    run_s = _number(fields, "run_timeout", 10.0)
    compile_s = _number(fields, "compile_timeout", 10.0)
    memory_mb = _number(fields, "memory_limit_MB", -1.0)
    given = cast("Mapping[str, Any]", fields.get("files") or {})
    files = {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given
    columns = {
        "files": files or None,
        "fetch_files": fields.get("fetch_files") or None,
        "stdin": fields.get("stdin"),
        "time_limit": run_s,
        "memory_limit": memory_mb if memory_mb > 0 else None,
    }
    told = {name: json.dumps(value) for name, value in columns.items() if value is not None}
    answer_s = compile_s + run_s + _CLIENT_SLACK_S - _MARGIN_S
    return Asked([(Example(json_references=told), Response(code))], answer_s=answer_s)


def answer_of(outcome: Outcome) -> dict[str, Any]:
    """The body of an answer."""
    details = outcome.details_json if isinstance(outcome, Score) else ""
    if not details:
        raise Internal("the reward told nothing of the run")
    told = json.loads(details)
    return_code: int | None = told["return_code"]
    return {
        "status": "Success" if return_code == 0 else "Failed",
        "message": "",
        "compile_result": None,
        "run_result": {
            "status": "TimeLimitExceeded" if return_code is None else "Finished",
            "execution_time": told["wall_s"],
            "return_code": return_code,
            "stdout": told["stdout"],
            "stderr": told["stderr"],
        },
        "executor_pod_name": None,
        "files": told["files"],
    }


def _number(fields: Mapping[str, Any], name: str, default: float) -> float:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"{name}: want a number")
    return float(value)
