"""The URLs that run programs, over real HTTP, called as open-instruct's and SandboxFusion's clients
do. The latter's own code, and verl's, is in `tests/trainers`."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from rewardplane.config.load import ConfigError, parse

from ..support.rig import FOLDER
from .facing import facing

pytestmark = pytest.mark.asyncio(loop_scope="module")

REWARDS = {
    "code": {"kind": "code_tests", "program": "none", "cpu_s": 2, "lane": "pool"},
    "fenced": {"kind": "code_tests"},
    "run": {"kind": "program_run", "cpu_s": 3, "memory_mb": 256},
}
HTTP = {"open_instruct": {"reward": "code"}, "sandbox_fusion": {"reward": "run"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with facing({k: REWARDS[k] for k in ("code", "run")}, HTTP) as (_, made):
        yield made


async def posted(client: aiohttp.ClientSession, path: str, body: Any) -> tuple[int, Any]:
    async with client.post(path, json=body) as answer:
        return answer.status, await answer.json()


# ---- open-instruct -------------------------------------------------------------------------------
# CodeVerifier.async_call, open_instruct/ground_truth_utils.py at e6c3044aa.


def verifier_payload(program: str, tests: Any) -> dict[str, Any]:
    return {"program": program, "tests": tests, "max_execution_time": 1.0}


def verifier_score(result: dict[str, Any], *, penalty: bool = False) -> float:
    """What the verifier makes of an answer, with a threshold of 0."""
    passes = result["results"]
    score = sum(passes) / len(passes) if passes else 0.0
    if penalty and score > 0:
        multipliers = [(1.0 - runtime) / 1.0 for runtime in result["runtimes"]]
        score = sum(p * m for p, m in zip(passes, multipliers, strict=True)) / len(passes)
    return score


ADD = "def add(a, b):\n    return a + b if a != 5 else 0"
ADD_TESTS = ["assert add(1, 2) == 3", "assert add(5, 1) == 6", "assert add(0, 0) == 0"]
NEXT = "import sys\nfor line in sys.stdin:\n    print(int(line) + 1)"
NEXT_TESTS = [{"input": "1\n", "output": "2\n"}, {"input": "5\n", "output": "7\n"}]


@pytest.mark.parametrize(
    ("path", "program", "tests", "results"),
    [
        ("/test_program", ADD, ADD_TESTS, [1, 0, 1]),
        ("/test_program", ADD, json.dumps(ADD_TESTS), [1, 0, 1]),
        ("/test_program", "def add(:", ADD_TESTS, [0, 0, 0]),
        ("/test_program", "x = '```'\n" + ADD, ADD_TESTS, [1, 0, 1]),
        ("/test_program", "", ADD_TESTS, [0, 0, 0]),
        ("/test_program", ADD, [], []),
        ("/test_program_stdio", NEXT, NEXT_TESTS, [1, 0]),
        ("/test_program_stdio", "while True: pass", NEXT_TESTS, [0, 0]),
        (
            "/test_program_stdio",  # call-based tests, as its newer data sets have them
            ADD,
            [{"input": "1\n2", "output": "3", "fn_name": "add"}],
            [1],
        ),
    ],
)
async def test_open_instruct_gets_each_tests_result(
    client: aiohttp.ClientSession, path: str, program: str, tests: Any, results: list[int]
) -> None:
    status, answer = await posted(client, path, verifier_payload(program, tests))
    assert (status, answer["results"]) == (200, results)
    assert set(answer) == {"results", "runtimes"}
    for passed, runtime in zip(results, answer["runtimes"], strict=True):
        assert 0 <= runtime < 1 if passed else runtime == -1
    share = sum(results) / len(results) if results else 0
    assert verifier_score(answer) == share
    assert 0.5 * share <= verifier_score(answer, penalty=True) <= share


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"program": 3, "tests": []}, 400, "program: want a text"),
        ({"program": "", "tests": 3}, 400, "tests: want a list"),
        ({"program": "", "tests": "eJxrYJmqxwAABQ"}, 400, "packed tests"),
        ({"program": "", "tests": ["x"], "max_execution_time": 0}, 400, "max_execution_time"),
        ({"program": ADD, "tests": ["assert add("]}, 500, "INVALID_REFERENCE"),
        ({"program": ADD, "tests": [3]}, 500, "INVALID_REFERENCE"),
    ],
)
async def test_what_open_instruct_cannot_have_is_no_zero(
    client: aiohttp.ClientSession, body: Any, status: int, message: str
) -> None:
    got, answer = await posted(client, "/test_program", body)
    assert got == status
    assert message in json.dumps(answer)


# ---- SandboxFusion -------------------------------------------------------------------------------
# _call_sandbox_api, verl/utils/reward_score/sandbox_fusion/utils.py (0.9.1).


def run_payload(code: str, **more: Any) -> dict[str, Any]:
    asked = {"compile_timeout": 3, "run_timeout": 3, "code": code, "stdin": None}
    return {**asked, "memory_limit_MB": 200, "language": "python", "files": {}, **more}


async def test_a_run_is_told_as_it_was(client: aiohttp.ClientSession) -> None:
    encoded = base64.b64encode(b"7").decode()
    more = {"stdin": "2\n", "files": {"n.txt": encoded, "no": None}, "fetch_files": ["out.txt"]}
    program = (
        "n = int(open('n.txt').read()) * int(input())\nprint(n)\nopen('out.txt', 'w').write('x')"
    )
    status, answer = await posted(client, "/run_code", run_payload(program, **more))
    run = answer["run_result"]
    assert run.pop("execution_time") > 0
    assert (status, answer) == (
        200,
        {
            "status": "Success",
            "message": "",
            "compile_result": None,
            "run_result": {
                "status": "Finished",
                "return_code": 0,
                "stdout": "14\n",
                "stderr": "",
            },
            "executor_pod_name": None,
            "files": {"out.txt": base64.b64encode(b"x").decode()},
        },
    )


@pytest.mark.parametrize(
    ("code", "status", "return_code"),
    [
        ("raise SystemExit(3)", "Finished", 3),
        ("1 / 0", "Finished", 1),
        ("import time\ntime.sleep(9)", "TimeLimitExceeded", None),
        ("bytearray(10**9)", "Finished", 1),
    ],
)
async def test_a_failed_run_is_told_as_it_was(
    client: aiohttp.ClientSession, code: str, status: str, return_code: int | None
) -> None:
    _, answer = await posted(client, "/run_code", run_payload(code, run_timeout=0.5))
    assert answer["status"] == "Failed"
    assert (answer["run_result"]["status"], answer["run_result"]["return_code"]) == (
        status,
        return_code,
    )


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        ({"language": "cpp"}, 400, "language 'cpp': this sandbox runs python"),
        ({"language": None}, 400, "language None"),
        ({"args": ["-x"]}, 400, "args: there is no such thing here"),
        ({"gpus": 2}, 400, "gpus: there is no such thing here"),
        ({"run_timeout": 60}, 500, "at most 3 s"),
        ({"memory_limit_MB": 4096}, 500, "at most 256 MB"),
        ({"files": {"/etc/x": ""}}, 500, "within the working directory"),
        ({"run_timeout": "3"}, 400, "run_timeout: want a number"),
    ],
)
async def test_what_the_sandbox_lacks_is_refused_by_name(
    client: aiohttp.ClientSession, more: Any, status: int, message: str
) -> None:
    got, answer = await posted(client, "/run_code", run_payload("print(1)", **more))
    assert (got, message in answer["error"]["message"]) == (status, True), answer


async def test_runs_do_not_see_each_other(client: aiohttp.ClientSession) -> None:
    code = "import os\nprint(os.listdir(), input())\nopen('left', 'w').write('x')"
    runs = [posted(client, "/run_code", run_payload(code, stdin=f"{i}\n")) for i in range(32)]
    answers = await asyncio.gather(*runs)
    assert [a["run_result"]["stdout"] for _, a in answers] == [f"[] {i}\n" for i in range(32)]


# ---- both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("http", "fault"),
    [
        ({"open_instruct": {"reward": "run"}}, "'run' is of kind program_run; want code_tests"),
        ({"open_instruct": {"reward": "fenced"}}, "want program: none"),
        ({"sandbox_fusion": {"reward": "code"}}, "is of kind code_tests; want program_run"),
        ({"sandbox_fusion": {"reward": "rum"}}, "no reward is named 'rum'"),
        ({"sandbox_fusion": {"reward": "run", "on_error": {"value": 0}}}, "on_error: unknown"),
        ({"nemo_gym": {"reward": "code", "on_error": "none"}}, r"http\.nemo_gym\.on_error"),
    ],
)
async def test_a_url_of_the_wrong_reward_is_refused_early(http: Any, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        parse({"rewards": REWARDS, "http": http}, FOLDER)
