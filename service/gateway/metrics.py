"""What the service counts, in plain arrays; a scrape turns them into Prometheus text.

Nothing here is touched per item on the hot path: a call's outcomes are counted as columns when it
ends (a `Histogram.observe` an item costs as much as the whole bare gRPC path). The only file that
knows prometheus_client.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from rewardplane.access.gate import Gate
from rewardplane.replica.answers import OF_JOB
from rewardplane.rewards.types import Reason

from .breath import Steps
from .call import Call, Piece
from .counting import REWARD_BOUNDS, count_piece, count_score
from .figures import COUNTED, JOB, OTHER, SCALED, RewardFigures, TimeHistogram, noise_of
from .health import Healths
from .job_waits import JobWaits
from .scrape_port import answering
from .seen import Sights

MAX_JOBS = 100
MAX_CALLERS = 100
MIXED = "(mixed)"
_SIZE_BITS = range(1, 18)


class Metrics:
    """The figures of one gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Scrape(self))
        self.rewards: dict[str, RewardFigures] = {}
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.request_times: dict[str, TimeHistogram] = {}
        self.batches: Counter[int] = Counter()
        self.batches_sum = 0
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.health = Healths()
        self.waits = JobWaits()
        self.sights: Sights | None = None
        """What the page of the HTTP port shows of calls; None: it is not served."""
        self.refusals: Counter[tuple[str, str]] = Counter()
        self.ready: Callable[[], bool] = lambda: True
        """Whether the gateway serves: for probes where the gRPC port wants a certificate."""
        self.gate: Gate | None = None
        """Whose callers and credentials are told."""
        self._jobs: set[str] = set()
        self._callers: set[str] = set()

    def serve(self, port: int, host: str) -> Callable[[], None]:
        """Answers scrapes on a port of its own, and `/healthz`; returns what ends it.

        Open to all who reach it: there is nothing in it that names an item.

        Raises:
            OSError: the port is taken.
        """
        scrape: Any = cast("Any", prometheus_client).make_wsgi_app(self.registry)

        def answer(environ: Any, start_response: Any) -> Any:
            if environ.get("PATH_INFO") != "/healthz":
                return scrape(environ, start_response)
            ready = self.ready()
            status = "200 OK" if ready else "503 Service Unavailable"
            start_response(status, [("content-type", "text/plain")])
            return [b"SERVING\n" if ready else b"NOT_SERVING\n"]

        return answering(answer, host, port)

    def figures(self, reward: str) -> RewardFigures:
        """The figures of one configured reward."""
        if reward not in self.rewards:
            self.rewards[reward] = RewardFigures()
        return self.rewards[reward]

    def call_ended(self, reward: str, job: str, code: str, elapsed_s: float) -> None:
        """Counts a call, answered or refused."""
        self.requests[reward, self.job_label(job), code] += 1
        times = self.request_times.get(reward)
        if times is None:
            times = self.request_times[reward] = TimeHistogram()
        times.add(int(elapsed_s * 1e6))

    def job_label(self, job: str) -> str:
        """The name of a job as a label: those after the first `MAX_JOBS` are one."""
        if job and job not in self._jobs:
            if len(self._jobs) >= MAX_JOBS:
                return OTHER
            self._jobs.add(job)
        return job

    def refused(self, reason: str, caller: str) -> None:
        """Counts a call that was refused as a whole, and why; `caller` empty: nobody is known."""
        if caller and caller not in self._callers:
            if len(self._callers) < MAX_CALLERS:
                self._callers.add(caller)
            else:
                caller = OTHER
        self.refusals[reason, caller] += 1

    def item_ended(self, call: Call) -> Mapping[Reason, int]:
        """As `items_ended`, of a call of one item: there may be thousands of them in a second."""
        self._ended(call)
        piece = Piece(call.served[0], _FIRST, 0, 1)
        failed = call.reasons() if call.extras else _NONE
        self.health.ended(call, piece, failed)
        if failed:
            count_piece(call, piece, failed)
        else:
            count_score(call, piece.served.figures)
        return failed

    def items_ended(self, call: Call) -> Steps[Mapping[Reason, int]]:
        """Counts the outcomes of a call that is over; the result is who failed for which reason."""
        self._ended(call)
        reasons: Counter[Reason] = Counter()
        for piece in call.pieces():
            if piece.first:  # what is short needs no turn to come
                yield
            failed = call.reasons(piece.first, piece.end) if call.extras else _NONE
            reasons.update(failed)
            self.health.ended(call, piece, failed)
            count_piece(call, piece, failed)
        return reasons

    def _ended(self, call: Call) -> None:
        if self.sights is not None:
            self.sights.call_ended(call)
        self.batches[call.n.bit_length()] += 1
        self.batches_sum += call.n

    def count(self, call: Call) -> None:
        """Counts what a composite's member made of its call, which is no batch of a client's.

        Items that were left out are not counted.
        """
        for piece in call.pieces():
            failed = call.reasons(piece.first, piece.end) if call.extras else {}
            count_piece(call, piece, failed)


_NONE: Mapping[Reason, int] = {}
_FIRST = range(1)


class _Scrape(Collector):
    """Turns the arrays into Prometheus families."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        m = self._metrics
        requests = CounterMetricFamily(
            "rewardplane_requests", "Calls by outcome.", labels=("reward", JOB, "code")
        )
        for labels, count in list(m.requests.items()):
            requests.add_metric(labels, count)
        yield requests
        yield _times("rewardplane_request_seconds", "Calls, end to end.", m.request_times)
        batch = HistogramMetricFamily("rewardplane_batch_items", "Items of a call.")
        batch.add_metric((), *_sizes(m.batches, m.batches_sum))
        yield batch
        for name, (text, read) in m.gauges.items():
            yield GaugeMetricFamily(name, text, value=read())
        yield from _waits(m.waits)
        yield from self._access()
        yield from self._by_reward(dict(m.rewards))
        yield from _health(m.health)

    def _access(self) -> Iterator[Metric]:
        refusals = CounterMetricFamily(
            "rewardplane_refusals", "Calls refused as a whole.", labels=("reason", "caller")
        )
        for labels, count in list(self._metrics.refusals.items()):
            refusals.add_metric(labels, count)
        yield refusals
        gate = self._metrics.gate
        items, expiries, faults = (
            ({}, {}, {})
            if gate is None
            else (gate.in_flight_items(), gate.expiries_s(), gate.faults())
        )
        for name, text, label, values in (
            ("caller_in_flight_items", "Items admitted, of listed callers.", "caller", items),
            (
                "credential_expiry_timestamp_seconds",
                "When the first of its sort expires: the certificate, or a static token.",
                "credential",
                expiries,
            ),
            (
                "access_fault",
                "1 where what changed could not be taken up: the access files, or issuers' keys.",
                "what",
                faults,
            ),
        ):
            family = GaugeMetricFamily(f"rewardplane_{name}", text, labels=(label,))
            for key, value in list(values.items())[:MAX_CALLERS]:
                family.add_metric((key,), float(value))
            yield family

    def _by_reward(self, rewards: Mapping[str, RewardFigures]) -> Iterator[Metric]:
        items = CounterMetricFamily(
            "rewardplane_items", "Items by outcome.", labels=("reward", "reason")
        )
        values = HistogramMetricFamily("rewardplane_reward", "Rewards.", labels=("reward",))
        for name, figures in rewards.items():
            for reason, count in list(figures.items.items()):
                items.add_metric((name, reason), count)
            values.add_metric((name,), _rewards(figures), None)
        yield items
        yield values
        yield from _counted(rewards)
        for key, text, attribute in (
            ("retries", "Shards sent again after a replica was lost.", "retries"),
            ("groups", "Groups.", "groups"),
            ("reward_gain", "Sum of the positive rewards.", "gain"),
            ("reward_loss", "Sum of the negative rewards, without its sign.", "loss"),
            ("zero_variance_groups", "Groups whose rewards are all alike.", "zero_variance_groups"),
        ):
            family = CounterMetricFamily(f"rewardplane_{key}", text, labels=("reward",))
            for name, figures in rewards.items():
                family.add_metric((name,), getattr(figures, attribute))
            yield family
        scaled = {name: (*f.replicas, f.backlog_s) for name, f in rewards.items() if f.replicas}
        for index, (key, text) in enumerate(SCALED.items()):
            family = GaugeMetricFamily(f"rewardplane_{key}", text, labels=("reward",))
            for name, of in scaled.items():
                family.add_metric((name,), of[index])
            yield family
        isolation = GaugeMetricFamily(
            "rewardplane_sandbox_level",
            "Isolation of untrusted code: 1 process, 2 confined, 3 namespaced, 4 guest kernel.",
            labels=("reward",),
        )
        for name, figures in rewards.items():
            if figures.isolation:
                isolation.add_metric((name,), figures.isolation)
        yield isolation
        text = "How far two readings of one item were apart when the model was tested at its start."
        noise = GaugeMetricFamily("rewardplane_model_noise", text, labels=("model",))
        for name, value in noise_of(rewards).items():
            noise.add_metric((name,), value)
        yield noise
        queue = {name: figures.queue for name, figures in rewards.items()}
        yield _times("rewardplane_queue_seconds", "Items, wait for execution.", queue)
        execution = {name: figures.execution for name, figures in rewards.items()}
        yield _times("rewardplane_execution_seconds", "Items, execution.", execution)


def _waits(waits: JobWaits) -> Iterator[Metric]:
    jobs = CounterMetricFamily(
        "rewardplane_job_waiting_seconds",
        "Time in which a job has calls in flight.",
        labels=(JOB,),
    )
    for job, seconds in waits.by_job():
        jobs.add_metric((job,), seconds)
    yield jobs
    rewards = CounterMetricFamily(
        "rewardplane_job_reward_waiting_seconds",
        "Time in which a job has calls to a reward in flight.",
        labels=(JOB, "reward"),
    )
    for job, reward, seconds in waits.by_reward():
        rewards.add_metric((job, reward), seconds)
    yield rewards


_HEALTH = {
    "error_ratio": "Items without a reward, of all.",
    "mean": "Mean of the rewards.",
    "deviation": "Standard deviation of the rewards.",
    "alike_ratio": "Groups whose rewards are all equal, of all.",
    "saturation": "Rewards that are equal to the lowest or to the highest, the larger share.",
    "clip_ratio": "Rewards at an end of the range that they are clipped to.",
    "length_correlation": "Correlation of the reward and the length of the response.",
}


def _health(healths: Healths) -> Iterator[Metric]:
    known = list(healths.all())
    labels = ("reward", JOB)
    for name, text in _HEALTH.items():
        told = f"{text} Of the last 10 minutes, sampled."
        family = GaugeMetricFamily(f"rewardplane_health_{name}", told, labels=labels)
        for reward, job, health in known:
            family.add_metric((reward, job), getattr(health, name))
        yield family
    told = "Percentiles of the rewards. Of the last 10 minutes, sampled."
    family = GaugeMetricFamily("rewardplane_health_reward", told, labels=(*labels, "quantile"))
    for reward, job, health in known:
        for quantile, value in (("0.1", health.p10), ("0.5", health.p50), ("0.9", health.p90)):
            family.add_metric((reward, job, quantile), value)
    yield family


def _counted(rewards: Mapping[str, RewardFigures]) -> Iterator[Metric]:
    for key, (text, more) in COUNTED.items():
        labels = ("reward", *more)
        family = CounterMetricFamily(f"rewardplane_{key}", text, labels=labels)
        for name, figures in rewards.items():
            for full, value in list(figures.counted.items()):
                metric, _dot, of = full.partition(".")
                if metric == key:
                    model, _tab, job = of.partition(OF_JOB)
                    family.add_metric((name, model, job)[: len(labels)], value)
        yield family


def _times(name: str, text: str, times: Mapping[str, TimeHistogram]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=("reward",))
    for reward, histogram in list(times.items()):
        family.add_metric((reward,), *histogram.buckets())
    return family


def _rewards(figures: RewardFigures) -> list[tuple[str, float]]:
    out: list[tuple[str, float]] = []
    count = 0
    counts = dict(figures.rewards)
    for index, bound in enumerate(REWARD_BOUNDS):
        count += counts.get(index, 0)
        out.append((repr(bound), count))
    out.append(("+Inf", sum(counts.values())))
    return out


def _sizes(bins: Counter[int], total: int) -> tuple[list[tuple[str, float]], float]:
    out: list[tuple[str, float]] = []
    counts = dict(bins)
    for bits in _SIZE_BITS:
        count = sum(n for b, n in counts.items() if b <= bits)
        out.append((repr(float((1 << bits) - 1)), count))
    out.append(("+Inf", sum(counts.values())))
    return out, total
