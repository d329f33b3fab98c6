"""`rewardplane top`: what a service does now, from what its gateways tell Prometheus."""

from __future__ import annotations

import math
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

TIMEOUT_S = 5.0
Labels = frozenset[tuple[str, str]]


class NotScraped(ConnectionError):
    """A gateway's metrics cannot be read; the message says where and why."""


@dataclass(slots=True)
class Snapshot:
    """All samples of all gateways at one moment; those of equal name and labels are added up."""

    at_s: float
    values: dict[str, dict[Labels, float]] = field(default_factory=dict[str, dict[Labels, float]])

    def add(self, text: str) -> None:
        """Takes in what one gateway told.

        Raises:
            ValueError: it is no Prometheus text.
        """
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                known = self.values.setdefault(sample.name, {})
                labels = frozenset(sample.labels.items())
                mean = sample.name.startswith("rewardplane_health_")
                old = known.get(labels)
                # Gateways that share a job's calls each know a part of it: their means are near.
                if mean and old is not None and not math.isnan(old):
                    value = old if math.isnan(sample.value) else (old + sample.value) / 2
                else:
                    value = sample.value if mean or old is None else old + sample.value
                known[labels] = value

    def by(self, name: str, label: str, **fixed: str) -> dict[str, float]:
        """Sums of the samples of a name by one label, of those that have the fixed labels."""
        sums: dict[str, float] = {}
        for labels, value in self.values.get(name, {}).items():
            known = dict(labels)
            if all(known.get(key) == wanted for key, wanted in fixed.items()) and label in known:
                sums[known[label]] = sums.get(known[label], 0.0) + value
        return sums


def scrape(urls: Sequence[str]) -> Snapshot:
    """The metrics of some gateways now.

    Raises:
        NotScraped: one cannot be read.
    """
    taken = Snapshot(time.monotonic())

    def read(url: str) -> str:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the user's
                return answer.read().decode()
        except ValueError:
            raise NotScraped(f"{url}: want a URL, as http://127.0.0.1:9464/metrics") from None
        except OSError as error:
            why = getattr(error, "reason", error)
            told = getattr(why, "strerror", None) or why
            raise NotScraped(
                f"{url}: {told}; is `rewardplane serve` running there, with that --metrics-port?"
            ) from None

    with ThreadPoolExecutor(len(urls)) as threads:
        for url, text in zip(urls, threads.map(read, urls), strict=True):
            try:
                taken.add(text)
            except ValueError as error:
                raise NotScraped(f"{url}: not the metrics of a gateway: {error}") from None
    return taken


@dataclass(slots=True, frozen=True)
class Row:
    """What one reward did between two moments; NaN where it did nothing."""

    reward: str
    calls_s: float
    items_s: float
    error_ratio: float
    errors: str
    p50_s: float
    p99_s: float
    queue_p99_s: float
    mean: float


def rows(old: Snapshot, new: Snapshot) -> Iterator[Row]:
    """One for each reward that either knows, in the order of their names."""
    span_s = max(new.at_s - old.at_s, 1e-9)
    for reward in sorted(new.by("rewardplane_groups_total", "reward")):
        reasons = _growth(old, new, "rewardplane_items_total", "reason", reward)
        items = sum(reasons.values())
        scored = reasons.pop("SCORED", 0.0)
        told = sorted(reasons.items(), key=lambda each: -each[1])
        calls = _growth(old, new, "rewardplane_requests_total", "code", reward)
        gain, loss = (
            sum(_growth(old, new, f"rewardplane_reward_{way}_total", "reward", reward).values())
            for way in ("gain", "loss")
        )
        yield Row(
            reward,
            sum(calls.values()) / span_s,
            items / span_s,
            (items - scored) / items if items else math.nan,
            ", ".join(f"{count:.0f} {name}" for name, count in told[:2] if count),
            _quantile(old, new, "rewardplane_request_seconds_bucket", reward, 0.5),
            _quantile(old, new, "rewardplane_request_seconds_bucket", reward, 0.99),
            _quantile(old, new, "rewardplane_queue_seconds_bucket", reward, 0.99),
            (gain - loss) / scored if scored else math.nan,
        )


def _growth(old: Snapshot, new: Snapshot, name: str, label: str, reward: str) -> dict[str, float]:
    before = old.by(name, label, reward=reward)
    after = new.by(name, label, reward=reward)
    # A gateway that was started anew counts from 0.
    return {key: max(value - before.get(key, 0.0), 0.0) for key, value in after.items()}


def _quantile(old: Snapshot, new: Snapshot, name: str, reward: str, share: float) -> float:
    """The upper bound of the bin that the quantile lies in."""
    bins = _growth(old, new, name, "le", reward)
    ordered = sorted((float(bound), count) for bound, count in bins.items())
    total = ordered[-1][1] if ordered else 0.0
    return next((b for b, n in ordered if total and n >= share * total), math.nan)


def screen(old: Snapshot, new: Snapshot) -> Group:
    """What is shown: the service in a line, its rewards, and the health of jobs."""
    in_flight = {
        what: sum(new.values.get(f"rewardplane_in_flight_{what}", {}).values())
        for what in ("calls", "items", "bytes")
    }
    head = (
        f"in flight: {in_flight['calls']:.0f} calls, {in_flight['items']:.0f} items, "
        f"{in_flight['bytes'] / 2**20:.1f} MiB"
    )
    columns = ("reward", "calls/s", "items/s", "errors", "p50", "p99", "queue p99", "mean reward")
    table = Table(*columns)
    for row in rows(old, new):
        errors = _percent(row.error_ratio) + (f" {row.errors}" if row.errors else "")
        numbers = (_number(row.calls_s), _number(row.items_s), errors)
        times = (_time(row.p50_s), _time(row.p99_s), _time(row.queue_p99_s))
        table.add_row(row.reward, *numbers, *times, _number(row.mean))
    return Group(head, table, _health(new))


def _health(new: Snapshot) -> Table:
    names = ("error_ratio", "mean", "deviation", "alike_ratio", "saturation", "length_correlation")
    heads = ("errors", "mean", "deviation", "equal groups", "saturation", "length")
    table = Table("job", "reward", *heads, title="the last ten minutes")
    found = {name: new.values.get(f"rewardplane_health_{name}", {}) for name in names}
    for labels in sorted(found["error_ratio"], key=lambda labels: sorted(labels)):
        known: Mapping[str, str] = dict(labels)
        values = {name: found[name].get(labels, math.nan) for name in names}
        ratios = ("error_ratio", "alike_ratio", "saturation")
        shown = (_percent(v) if n in ratios else _number(v) for n, v in values.items())
        table.add_row(known.get("training_job", ""), known.get("reward", ""), *shown)
    return table


def watch(urls: Sequence[str], every_s: float, console: Console, *, once: bool = False) -> None:
    """Shows the screen until it is interrupted, or `once`.

    Raises:
        NotScraped: a gateway cannot be read.
    """
    old = scrape(urls)
    time.sleep(every_s)
    new = scrape(urls)
    if once:
        console.print(screen(old, new))
        return
    with Live(screen(old, new), console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(every_s)
            old, new = new, scrape(urls)
            live.update(screen(old, new), refresh=True)


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


def _time(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
