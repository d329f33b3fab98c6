"""What a scrape says, over real HTTP, is what was sent."""

from __future__ import annotations

import asyncio
import math
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families
from rewardplane.access.gate import Gate
from rewardplane.gateway.breath import Steps
from rewardplane.gateway.call import Call
from rewardplane.gateway.metrics import MAX_CALLERS, MAX_JOBS, Metrics, TimeHistogram
from rewardplane.rewards.types import Reason

from ..support.rig import Rig, poison, request_of, rewards, rig

pytestmark = pytest.mark.asyncio(loop_scope="module")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def it() -> AsyncIterator[Rig]:
    served = {"exact": {"kind": "exact"}, "one": poison(), "group": poison("group")}
    async with rig(served) as made:
        yield made


async def scraped(metrics: Metrics, port: int) -> Samples:
    """A scrape, parsed as Prometheus does."""
    stop = metrics.serve(port, "127.0.0.1")

    def read() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return answer.read().decode()

    try:
        text = await asyncio.to_thread(read)
    finally:
        await asyncio.to_thread(stop)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


async def test_a_scrape_counts_what_was_sent(it: Rig, free_port: int) -> None:
    await it.score("exact", ["1", "1"], ["1", "2"], references={"answer": "1"}, job="a")
    await it.score("exact", ["1"] * 3, references={"answer": "1"}, job="a")
    await it.score("one", ["0.5", "nan", "raise it", "none", "exit 3", "-2"], job="b")
    await it.score("group", ["1", "2"], ["3", "3"])
    async for _ in it.stream(request_of("one", ["7", "8"])):
        pass
    for reward, code in (("nobody", "NOT_FOUND"), ("", "INVALID_ARGUMENT")):
        with pytest.raises(grpc.aio.AioRpcError):
            await it.score(reward, ["1"])
        assert it.metrics.requests["", "", code] == 1
    mixed = request_of("one", ["1"], ["1"])
    mixed.groups[1].reward = "exact"
    await it.answer(mixed)

    samples = await scraped(it.metrics, free_port)
    items = "rewardplane_items_total"
    assert of(samples, items, reward="exact", reason="SCORED") == 7
    assert of(samples, items, reward="exact", reason="INVALID_REFERENCE") == 1
    assert of(samples, items, reward="one", reason="SCORED") == 5
    for reason in ("INVALID_RESULT", "RAISED", "NOT_APPLICABLE", "CRASHED"):
        assert of(samples, items, reward="one", reason=reason) == 1
    assert of(samples, items, reward="group", reason="SCORED") == 4
    requests = "rewardplane_requests_total"
    assert of(samples, requests, reward="exact", training_job="a", code="OK") == 2
    assert of(samples, requests, reward="one", training_job="b", code="OK") == 1
    assert of(samples, requests, reward="one", training_job="", code="OK") == 1
    assert of(samples, requests, reward="(mixed)", training_job="", code="OK") == 1
    assert of(samples, requests, reward="", training_job="", code="NOT_FOUND") == 1
    assert of(samples, "rewardplane_groups_total", reward="exact") == 4
    # The group of three alike, and of ["1", "1"]; not the one with a score and a half.
    assert of(samples, "rewardplane_zero_variance_groups_total", reward="exact") == 2
    assert of(samples, "rewardplane_zero_variance_groups_total", reward="group") == 1
    assert of(samples, "rewardplane_zero_variance_groups_total", reward="one") == 0
    assert of(samples, "rewardplane_worker_restarts_total", reward="one", cause="crashed") == 1
    assert of(samples, "rewardplane_retries_total", reward="one") == 0
    assert of(samples, "rewardplane_reward_gain_total", reward="one") == 0.5 + 7 + 8 + 1
    assert of(samples, "rewardplane_reward_loss_total", reward="one") == 2
    assert of(samples, "rewardplane_batch_items_count") == 6
    assert of(samples, "rewardplane_batch_items_sum") == 4 + 3 + 6 + 4 + 2 + 2


async def test_histograms_are_sound(it: Rig, free_port: int) -> None:
    await it.score("one", ["-3", "0", "0.5", "1", "100", "sleep 0.2"])
    samples = await scraped(it.metrics, free_port)
    found: dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = {}
    for (name, labels), value in samples.items():
        if name.endswith("_bucket"):
            bound = float(dict(labels)["le"])
            rest = frozenset(label for label in labels if label[0] != "le")
            found.setdefault((name.removesuffix("_bucket"), rest), []).append((bound, value))
    assert {name for name, _ in found} == {
        "rewardplane_request_seconds",
        "rewardplane_batch_items",
        "rewardplane_reward",
        "rewardplane_queue_seconds",
        "rewardplane_execution_seconds",
    }
    for (name, labels), buckets in found.items():
        buckets.sort()
        counts = [count for _, count in buckets]
        assert counts == sorted(counts), name
        assert buckets[-1][0] == math.inf
        if name != "rewardplane_reward":  # it has bounds below 0, and so no sum and no count
            assert counts[-1] == samples[f"{name}_count", labels]
    one = frozenset({("reward", "one")})
    assert samples["rewardplane_execution_seconds_sum", one] >= 0.2
    buckets = dict(found["rewardplane_reward", one])
    scored = samples[
        "rewardplane_items_total", frozenset({("reward", "one"), ("reason", "SCORED")})
    ]
    assert buckets[math.inf] == scored
    assert samples["rewardplane_execution_seconds_count", one] >= scored


async def test_gauges_are_read_when_scraped(free_port: int) -> None:
    metrics = Metrics()
    level = 3.0
    metrics.gauges["rewardplane_in_flight_items"] = ("Items.", lambda: level)
    assert of(await scraped(metrics, free_port), "rewardplane_in_flight_items") == 3
    level = 5.0
    assert of(await scraped(metrics, free_port), "rewardplane_in_flight_items") == 5


async def test_jobs_are_of_bounded_number() -> None:
    metrics = Metrics()
    for k in range(3 * MAX_JOBS):
        metrics.call_ended("r", f"job {k}", "OK", 0.001)
    jobs = {job for _, job, _ in metrics.requests}
    assert len(jobs) == MAX_JOBS + 1
    assert metrics.requests["r", "other", "OK"] == 2 * MAX_JOBS
    metrics.call_ended("r", "job 5", "OK", 0.001)
    assert metrics.requests["r", "job 5", "OK"] == 2


async def test_odd_labels_survive_the_scrape(free_port: int) -> None:
    metrics = Metrics()
    job = 'a"b\\c\nd {}'
    metrics.call_ended("r", job, "OK", 0.001)
    samples = await scraped(metrics, free_port)
    assert of(samples, "rewardplane_requests_total", reward="r", training_job=job, code="OK") == 1


async def test_times_fall_in_their_bins() -> None:
    histogram = TimeHistogram()
    for us in (0, 1, 15, 16, 1000, 10**6, 10**12):
        histogram.add(us)
    histogram.add_all([5, 7])
    buckets, total_s = histogram.buckets()
    assert total_s == pytest.approx(sum((0, 1, 15, 16, 1000, 10**6, 10**12, 5, 7)) / 1e6)
    by_bound = {float(bound): count for bound, count in buckets}
    assert by_bound[math.inf] == 9
    for bound, count in by_bound.items():
        exact = sum(us <= bound * 1e6 for us in (0, 1, 15, 16, 1000, 10**6, 10**12, 5, 7))
        assert count == exact


async def test_a_taken_port_is_an_error(free_port: int) -> None:
    stop = Metrics().serve(free_port, "127.0.0.1")
    try:
        with pytest.raises(OSError, match="in use"):
            Metrics().serve(free_port, "127.0.0.1")
    finally:
        await asyncio.to_thread(stop)


async def test_reasons_are_the_labels(it: Rig) -> None:
    names = {reason.name for reason in Reason} | {"SCORED"}
    for figures in it.metrics.rewards.values():
        assert set(figures.items) <= names


async def test_health_is_open_on_the_port_of_the_metrics(free_port: int) -> None:
    metrics = Metrics()
    stop = metrics.serve(free_port, "127.0.0.1")

    def status() -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/healthz") as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    try:
        assert await asyncio.to_thread(status) == 200
        metrics.ready = lambda: False
        assert await asyncio.to_thread(status) == 503
    finally:
        await asyncio.to_thread(stop)


async def test_callers_are_labels_of_few_values_and_credentials_tell_their_end(
    free_port: int, tmp_path: Path
) -> None:
    (tmp_path / "tokens").write_text(f"{'a' * 64} one until=2100-01-01\n{'b' * 64} two\n")
    (tmp_path / "access.yaml").write_text("tokens_file: tokens\ncallers: {one: {}}\n")
    metrics = Metrics()
    metrics.gate = Gate(tmp_path / "access.yaml")
    for number in range(2 * MAX_CALLERS):
        metrics.refused("REWARD", f"caller-{number}")
    metrics.refused("NO_CREDENTIALS", "")
    samples = await scraped(metrics, free_port)
    found = {dict(labels)["caller"] for name, labels in samples if "refusals_total" in name}
    assert len(found) == MAX_CALLERS + 2
    assert of(samples, "rewardplane_refusals_total", reason="REWARD", caller="other") == MAX_CALLERS
    expiry = "rewardplane_credential_expiry_timestamp_seconds"
    assert of(samples, expiry, credential="token") == 4_102_444_800
    assert of(samples, "rewardplane_access_fault", what="files") == 0


async def test_a_call_that_cannot_be_counted_is_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig({"exact": {"kind": "exact"}}) as made:

        def fails(_call: Call) -> Steps[Counter[Reason]]:
            yield
            raise ArithmeticError("by our own fault")

        monkeypatch.setattr(made.metrics, "items_ended", fails)
        for count in (1, 3000):
            outcomes = await made.score("exact", *[["5"]] * count, references={"answer": "5"})
            assert rewards(outcomes) == [1.0] * count
        assert made.admission.items == 0
    assert "could not be counted" in caplog.text
