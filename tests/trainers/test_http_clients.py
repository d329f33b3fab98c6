"""The clients of the contracts that the HTTP port serves: each peer's own code, unmodified."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from .conftest import Service
from .installed import module

pytestmark = pytest.mark.filterwarnings("ignore")


# ---- SandboxFusion -------------------------------------------------------------------------------


async def test_sandbox_fusions_client_runs_code(service: Service) -> None:
    fusion = module("sandbox-fusion", "sandbox_fusion")
    request = fusion.RunCodeRequest(
        code="print(open('n.txt').read() + input())\nopen('out', 'w').write('x')",
        language="python",
        stdin="b",
        files={"n.txt": "YQ=="},
        fetch_files=["out"],
        run_timeout=5,
    )
    for answer in (
        fusion.run_code(request, endpoint=service.url),
        await fusion.run_code_async(request, endpoint=service.url),
    ):
        assert answer.status is fusion.RunStatus.Success
        assert (answer.run_result.stdout, answer.run_result.return_code) == ("ab\n", 0)
        assert answer.files == {"out": "eA=="}
    mapping = fusion.SummaryMapping(RunTimeout="timeout")
    for code, summary in (("1/0", "Failed"), ("while True: pass", "timeout"), ("1", "Success")):
        request = fusion.RunCodeRequest(code=code, language="python", run_timeout=0.5)
        answer = fusion.run_code(request, endpoint=service.url)
        assert fusion.summary_run_code_result(answer, mapping) == summary
    request = fusion.RunCodeRequest(code="int main() {}", language="cpp")
    with pytest.raises(Exception, match="language 'cpp': this sandbox runs python"):
        fusion.run_code(request, endpoint=service.url, max_attempts=1)


@pytest.fixture
def verl_sandbox(monkeypatch: pytest.MonkeyPatch) -> Any:
    """verl's client, without the package around it, which wants tensors at import."""
    try:
        found = importlib.metadata.distribution("verl")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("make test-trainers installs verl")
    path = Path(str(found.locate_file("verl/utils/reward_score/sandbox_fusion/utils.py")))
    spec = importlib.util.spec_from_file_location("verl_sandbox_utils", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_verls_client_checks_correctness(verl_sandbox: Any, service: Service) -> None:
    url = f"{service.url}/run_code"
    cases = {"inputs": ["2\n", "3\n", "0\n"], "outputs": ["4\n", "10\n", "0\n"]}
    program = "n = int(input())\nprint(n * n if n else 1 / 0)"
    results, metadata = verl_sandbox.check_correctness(url, cases, program, timeout=5)
    assert results == [True, False, -2]  # right, wrong, raised
    assert "ZeroDivisionError" in metadata[2]["stderr"]
    assert metadata[0]["status"] == "success"
    calls = {"fn_name": "add", "inputs": ["1\n2"], "outputs": ["3"]}
    results, _ = verl_sandbox.check_correctness(url, calls, "def add(a, b):\n    return a + b")
    assert results == [True]
    results, _ = verl_sandbox.check_correctness(url, cases, "while True: pass", timeout=1)
    assert results == [-3] * 3
    answer, error = verl_sandbox.call_sandbox_api(url, "x", "", 1, 1, 1024, "cpp")
    assert answer is None
    assert "400" in error


# ---- eval-protocol -------------------------------------------------------------------------------


@pytest.fixture
def eval_protocol(monkeypatch: pytest.MonkeyPatch) -> Any:
    try:
        found = importlib.metadata.distribution("eval-protocol")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("make test-trainers installs eval-protocol")
    # Its package imports litellm and much else; the client does not.
    package = types.ModuleType("eval_protocol")
    package.__path__ = [str(found.locate_file("eval_protocol"))]
    monkeypatch.setitem(sys.modules, "eval_protocol", package)
    return importlib.import_module("eval_protocol.reward_function")


def test_eval_protocols_client_evaluates(eval_protocol: Any, service: Service) -> None:
    remote = eval_protocol.RewardFunction(mode="remote", endpoint=f"{service.url}/evaluate")
    messages = [
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "The answer is $4$."},
    ]
    for result in (remote(messages, "4"), remote(messages, answer="4")):
        assert (result.score, result.metrics["parsed"].score) == (1.0, 1.0)
        assert result.metrics["parsed"].is_score_valid
    assert remote(messages, "5").score == 0.0
    with pytest.raises(Exception, match="500 Server Error"):
        remote(messages)  # no gold: no number


# ---- open-instruct -------------------------------------------------------------------------------


def test_open_instructs_request(service: Service) -> None:
    # Not on PyPI: open_instruct/ground_truth_utils.py at e6c3044aa, CodeVerifier.async_call.
    requests = module("requests", "requests")
    tests = ["assert add(1, 2) == 3", "assert add(1, 1) == 3"]
    program = "def add(a, b):\n    return a + b"
    payload = {"program": program, "tests": tests, "max_execution_time": 1.0}
    headers = {"Content-Type": "application/json"}
    url = f"{service.url}/test_program"
    response = requests.Session().post(url, json=payload, headers=headers, timeout=30)
    response.raise_for_status()
    result = response.json()
    assert result["results"] == [1, 0]
    assert 0 <= result["runtimes"][0] < 1
    assert result["runtimes"][1] == -1
