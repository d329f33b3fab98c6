"""The URLs that open-instruct's code verifier calls (`--code_api_url`).

`POST /test_program` and `/test_program_stdio` with `program`, `tests` and `max_execution_time` (s,
of one test) are answered with `results` (0 or 1) and `runtimes` (CPU time in s; -1 of a test that
failed), a list each in the order of the tests (open-instruct e6c3044aa, ground_truth_utils.py,
CodeVerifier). `tests` is a list, or the JSON of one: assert statements, or objects with `input` and
`output`. Tests as base64 of a pickle are refused: no pickle is ever loaded here.

The verifier makes 0 of an HTTP error, without a second try. What fails here is in the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from rewardplane.rewards.types import Example, Outcome, Response, Score
from rewardplane.wire.errors import InvalidRequest

from .exchange import Answer, Request, json_answer
from .facade import Ask, Facade, switched_off
from .request import json_object
from .scoring import Asked, Asking

_NAME = "open_instruct"
_MARGIN_S = 2.0


class OpenInstruct(Facade):
    """Answers `POST /test_program` and `/test_program_stdio` by a reward of kind `code_tests`."""

    def routes(self) -> Mapping[str, Ask]:
        """See the base."""
        return {"/test_program": self.test_program, "/test_program_stdio": self.test_program}

    def test_program(self, _request: Request) -> Asking:  # noqa: PT019 - no test of ours
        """The result and the time of each test.

        Raises:
            Answered: the URL is not switched on.
        """
        settings = self.rewards.http.open_instruct
        if settings is None:
            raise switched_off(_NAME)
        count = 0

        def read(body: bytes) -> Asked:
            nonlocal count
            (reference,) = self.rewards.find(settings.reward, "").config.facts.reference_keys
            asked, count = asked_of(json_object(body), reference)
            return asked

        def written(outcomes: list[Outcome]) -> Answer:
            return json_answer(results_of(outcomes[0] if outcomes else None, count))

        return Asking(settings.reward, read, written, wants=("details",))


def asked_of(fields: Mapping[str, Any], reference: str) -> tuple[Asked, int]:
    """The item of a request, and how many tests it has; no item for no tests.

    Raises:
        InvalidRequest: it is none.
    """
    program, limit_s = fields.get("program"), fields.get("max_execution_time", 1.0)
    if not isinstance(program, str):
        raise InvalidRequest("program: want a text")
    if isinstance(limit_s, bool) or not isinstance(limit_s, int | float) or not limit_s > 0:
        raise InvalidRequest("max_execution_time: want seconds, more than 0")
    tests: object = fields.get("tests")
    if isinstance(tests, str):
        try:
            tests = json.loads(tests)
        except (ValueError, RecursionError):
            why = "want a list, or the JSON of one; packed tests (base64, pickle) are not read"
            raise InvalidRequest(f"tests: {why}") from None
    if not isinstance(tests, list):
        raise InvalidRequest("tests: want a list")
    count = len(cast("list[object]", tests))
    if not count:
        return Asked(()), 0
    told = {reference: json.dumps(tests), "time_limit": json.dumps(limit_s)}
    # As long as its client waits.
    answer_s = max(30.0, min(300.0, 10.0 * limit_s)) - _MARGIN_S
    return Asked([(Example(json_references=told), Response(program))], answer_s=answer_s), count


def results_of(outcome: Outcome | None, count: int) -> dict[str, list[Any]]:
    """The body of an answer. A program that was not run has failed all tests."""
    details = outcome.details_json if isinstance(outcome, Score) else ""
    told: dict[str, list[Any]] = {"passed": [False] * count, "cpu_s": [None] * count}
    if details:
        told = json.loads(details)
    passed = told["passed"]
    if len(passed) != count:
        raise InvalidRequest(f"the {count} tests are {len(passed)} by the shape that they have")
    times_s = zip(passed, told["cpu_s"], strict=True)
    return {
        "results": [int(one) for one in passed],
        "runtimes": [-1.0 if not one or cpu_s is None else cpu_s for one, cpu_s in times_s],
    }
