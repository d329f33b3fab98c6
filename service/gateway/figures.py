"""What one reward did on a gateway, counted in plain arrays."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from rewardplane.replica.answers import OF_JOB

TIME_BITS = range(4, 30)
"""Times are binned by the bit length of their microseconds: 16 µs to 9 min."""
JOB = "training_job"
"""The label of a job. Prometheus has a label `job` of its own, and would rename ours."""
COUNTED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "cache_items": (
        "Items of deterministic rewards, by where their outcomes came from: run, shared, cached.",
        ("source",),
    ),
    "worker_restarts": ("Worker processes ended and replaced.", ("cause",)),
    "sandbox_runs": ("Runs of untrusted code, by verdict.", ("verdict",)),
    "sandbox_run_seconds": ("Time that runs of untrusted code took.", ()),
    "sandbox_wait_seconds": ("Time that runs of untrusted code waited for a slot.", ()),
    "sandbox_sessions": ("Sandboxed processes started that serve many items.", ()),
    "sandbox_faults": ("Faults of the sandbox; their runs were tried again.", ()),
    "sandbox_slot_restarts": ("Slots of the sandbox started anew.", ("cause",)),
    "judge_calls": ("Calls of judges.", ()),
    "judge_retries": ("Calls of judges that were sent again.", ()),
    "judge_repairs": ("Answers of judges that were asked for once more.", ()),
    "judge_unreadable": ("Answers of judges from which no verdict could be read.", ()),
    "judge_refusals": ("Questions that judges would not answer.", ()),
    "judge_clipped": ("Answers of judges that were clipped to the range of the question.", ()),
    "judge_model_changes": ("Answers of an endpoint that had become another model.", ()),
    "gemini_clipped": ("Rewards of Gemini members that were clipped.", ()),
    "cloud_run_calls": ("Calls of Cloud Run rewards.", ()),
    "cloud_run_retries": ("Calls of Cloud Run rewards that were sent again.", ()),
    "judge_prompt_tokens": ("Tokens that judges read.", ()),
    "judge_completion_tokens": ("Tokens that judges wrote.", ()),
    "model_calls": ("Questions asked of models.", ("model", JOB)),
    "model_shared": ("Questions answered by an equal one, under way or kept.", ("model", JOB)),
    "model_prompt_tokens": ("Tokens that models read.", ("model", JOB)),
    "model_completion_tokens": ("Tokens that models wrote.", ("model", JOB)),
}
"""What replicas and rewards may count, with its help and its labels; anything else is not shown."""


MAX_COUNTED = 400
"""Figures that are kept of a reward by the client's job: those of further jobs are one."""
OTHER = "other"
"""The name of all that have no label of their own."""


SCALED = {
    "replicas": "Replicas that run, in the whole cluster.",
    "replicas_wanted": "Replicas that should run, in the whole cluster.",
    "backlog_seconds": "What this gateway has to do, in seconds of one replica.",
}
"""What is told of rewards whose number of replicas follows their work."""


class TimeHistogram:
    """Times in bins of powers of two microseconds."""

    __slots__ = ("bins", "sum_us")

    def __init__(self) -> None:
        self.bins: Counter[int] = Counter()
        self.sum_us = 0

    def add(self, us: int, times: int = 1) -> None:
        """One time, so often."""
        self.bins[us.bit_length()] += times
        self.sum_us += us * times

    def add_all(self, column_us: Sequence[int]) -> None:
        """A column of times."""
        if len(column_us) == 1:
            self.add(column_us[0])
            return
        self.bins.update(map(int.bit_length, column_us))
        self.sum_us += sum(column_us)

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """As Prometheus wants it: cumulative counts by upper bound in seconds, and the sum."""
        out: list[tuple[str, float]] = []
        bins = dict(self.bins)  # at once: the loop goes on counting while a thread reads
        for bits in TIME_BITS:
            count = sum(n for b, n in bins.items() if b <= bits)
            out.append((repr(((1 << bits) - 1) / 1e6), count))
        out.append(("+Inf", sum(bins.values())))
        return out, self.sum_us / 1e6


class RewardFigures:
    """What one reward did on this gateway, all its versions together."""

    @property
    def judge_tokens_per_item(self) -> float:
        """What an item took of judges' tokens so far, in the mean; 0: no judge was asked."""
        tokens = self.counted.get("judge_prompt_tokens", 0.0)
        tokens += self.counted.get("judge_completion_tokens", 0.0)
        return tokens / max(1, self.items.total()) if tokens else 0.0

    def __init__(self) -> None:
        self.items: Counter[str] = Counter()
        self.noise: dict[str, float] = {}
        """`ModelFacts.noise` of the model that it asks, by the model's name."""
        self.groups = 0
        self.zero_variance_groups = 0
        self.rewards: Counter[int] = Counter()
        self.gain = 0.0
        """The sum of the positive rewards. Prometheus knows no sum that falls: a histogram with a
        bound below 0 has none."""
        self.loss = 0.0
        """The sum of the negative rewards, without its sign."""
        self.execution = TimeHistogram()
        self.queue = TimeHistogram()
        self.retries = 0
        self.counted: defaultdict[str, float] = defaultdict(float)
        """What replicas and rewards count: "metric" or "metric.label", those of `COUNTED`."""
        self.member_items: Counter[str] = Counter()
        """Of a composite: how many items reached each member, by its name there."""
        self.replicas: tuple[int, int] | None = None
        """How many run and how many should, where their number follows the work."""
        self.backlog_s = 0.0
        """What was to do at the last look, in seconds of one replica; only of those."""
        self.isolation = 0
        """The lowest that untrusted code ran under in the last call that ran any."""


def by_job(figures: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """The figures, those of one message under the name of the client's job that it is of."""
    named: dict[str, float] = {}
    for name, value in figures.items():
        full, found, index = name.partition(OF_JOB)
        if found:
            full = f"{full}{OF_JOB}{names[int(index)]}"
        named[full] = named.get(full, 0.0) + value
    return named


def noise_of(rewards: Mapping[str, RewardFigures]) -> dict[str, float]:
    """The noise of each model that a reward asks."""
    return {model: noise for each in rewards.values() for model, noise in each.noise.items()}
