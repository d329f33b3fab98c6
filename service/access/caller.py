"""A caller: what it may, and what it has in use. All in one event loop."""

from __future__ import annotations

import time
from fnmatch import fnmatchcase

from rewardplane.wire.errors import InvalidRequest, PermissionDenied, QuotaExceeded

from .settings import Grant, Quota

MAX_JOBS = 256
"""Jobs of one caller that are counted apart; those beyond share one count."""
MAX_RETRY_S = 60.0
MIN_RETRY_S = 0.1
MAX_KNOWN_NAMES = 1024
_ANY = ("*",)


class Debt:
    """A rate that is kept in the mean: what is taken may exceed it and is then owed.

    `rate` is per second; `slack_s` seconds' worth may be taken before anything is owed.
    """

    __slots__ = ("_at_s", "_left", "_most", "_rate")

    def __init__(self, rate: float, slack_s: float) -> None:
        self._rate = rate
        self._most = self._left = rate * slack_s
        self._at_s = time.monotonic()

    def wait_s(self) -> float:
        """The seconds until nothing is owed."""
        now_s = time.monotonic()
        self._left = min(self._most, self._left + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        return max(0.0, -self._left / self._rate)

    def take(self, count: float) -> None:
        """Takes so much, whatever is left."""
        self._left -= count

    def keep_from(self, old: Debt) -> None:
        """Takes over what was owed under another rate."""
        self._left = min(self._most, old._left)
        self._at_s = old._at_s


class Usage:
    """What is in use of one quota."""

    __slots__ = ("_debts", "items", "quota")

    def __init__(self, quota: Quota) -> None:
        self.items = 0
        self.quota = quota
        self._debts: dict[str, Debt] = {}
        self.set(quota)

    def set(self, quota: Quota) -> None:
        """The quota is another from now on; what is in use stays so."""
        self.quota = quota
        fresh: dict[str, Debt] = {}
        if quota.items_per_s is not None:
            fresh["items_per_s"] = Debt(quota.items_per_s, 1.0)
        if quota.judge_tokens_per_minute is not None:
            fresh["judge_tokens_per_minute"] = Debt(quota.judge_tokens_per_minute / 60, 60.0)
        for name, debt in fresh.items():
            if name in self._debts:
                debt.keep_from(self._debts[name])
        self._debts = fresh

    def check(self, whose: object) -> None:
        """Refuses a call before it is read.

        Raises:
            QuotaExceeded: something is owed.
        """
        for name, debt in self._debts.items():
            if wait_s := debt.wait_s():
                limit = getattr(self.quota, name)
                raise _exceeded(f"{whose} has used its {name} of {limit:g}", name, wait_s)

    def check_items(self, whose: object, items: int) -> None:
        """Refuses a call that has no room.

        Raises:
            QuotaExceeded: there is none now.
            InvalidRequest: there never is.
        """
        most = self.quota.in_flight_items
        if most is None or self.items + items <= most:
            return
        if items > most:
            raise InvalidRequest(
                f"the call has {items} items, and {whose} may have {most} in flight; send smaller "
                "calls",
                violations=[("groups", f"{items} items; at most {most}")],
            )
        why = f"{self.items} of {most} items of {whose} are in flight"
        raise _exceeded(why, "in_flight_items", 1.0)

    def take(self, items: int, judge_tokens: float) -> None:
        """Counts a call that is let in."""
        self.items += items
        for name, debt in self._debts.items():
            debt.take(items if name == "items_per_s" else judge_tokens)

    def leave(self, items: int) -> None:
        """Gives the places of a call back."""
        self.items -= items

    @property
    def idle(self) -> bool:
        """Whether nothing is in use and nothing owed."""
        return not self.items and not any(debt.wait_s() for debt in self._debts.values())


class Caller:
    """Who calls. One object for each name for as long as it has something in use or a grant.

    A quota of jobs is kept for the first 256 that are not idle; others share one.
    """

    __slots__ = ("_jobs", "_may", "_usage", "grant", "name")

    def __init__(self, name: str, grant: Grant) -> None:
        self.name = name
        """Empty: nobody that is known."""
        self.grant = grant
        self._may: dict[str, bool] = {}
        self._usage = Usage(grant.quota)
        self._jobs: dict[str, Usage] = {}

    def __str__(self) -> str:
        return f"caller {self.name!r}" if self.name else "a caller without credentials"

    def set(self, grant: Grant) -> None:
        """The grant is another from now on."""
        if grant != self.grant:
            self.grant = grant
            self._may = {}
            self._usage.set(grant.quota)
            for usage in self._jobs.values():
                usage.set(grant.job_quota)

    @property
    def has_quotas(self) -> bool:
        """Whether what it has in use is bounded."""
        return self.grant.quota != _NO_QUOTA or self.grant.job_quota != _NO_QUOTA

    @property
    def limits_judges(self) -> bool:
        """Whether judges' tokens count."""
        quotas = (self.grant.quota, self.grant.job_quota)
        return any(quota.judge_tokens_per_minute is not None for quota in quotas)

    @property
    def in_flight_items(self) -> int:
        """Items admitted and not yet answered."""
        return self._usage.items

    @property
    def idle(self) -> bool:
        """Whether nothing is in use and nothing owed."""
        return self._usage.idle and all(usage.idle for usage in self._jobs.values())

    def may_name(self, reward: str) -> bool:
        """Whether it may name a reward."""
        may = self._may.get(reward)
        if may is None:
            patterns = self.grant.rewards
            may = patterns == _ANY or any(fnmatchcase(reward, p) for p in patterns)
            if len(self._may) >= MAX_KNOWN_NAMES:  # names that requests made up
                self._may.clear()
            self._may[reward] = may
        return may

    def check_reward(self, reward: str) -> None:
        """Refuses a reward that it may not name, whether or not there is one.

        Raises:
            PermissionDenied: it may not.
        """
        if not self.may_name(reward):
            shown = reward[:128]
            raise PermissionDenied(
                f"{self} may not use reward {shown!r}", {"why": "REWARD", "reward": shown}
            )

    def check_inline(self) -> None:
        """Refuses configurations that requests bring.

        Raises:
            PermissionDenied: it may not bring any.
        """
        if not self.grant.inline_configs:
            raise PermissionDenied(
                f"{self} may not bring reward configurations: configure the reward in the "
                "service's file, or set `inline_configs: true` for the caller",
                {"why": "INLINE_CONFIG"},
            )

    def check_rates(self) -> None:
        """Refuses a call before it is read.

        Raises:
            QuotaExceeded: it is over one of its rates.
        """
        self._usage.check(self)

    def enter(self, job: str, items: int, judge_tokens: float) -> tuple[Usage, ...]:
        """Takes the places of a call, all or nothing; `leave` them when it has ended.

        Raises:
            QuotaExceeded: they are not there now.
            InvalidRequest: they never are.
        """
        usage = self._usage
        usage.check_items(self, items)
        taken = (usage,)
        if self.grant.job_quota != _NO_QUOTA:
            own = self._of_job(job)
            whose = f"job {job[:64]!r} of {self}" if job else f"{self} without a job"
            own.check(whose)
            own.check_items(whose, items)
            taken = (usage, own)
        for places in taken:
            places.take(items, judge_tokens)
        return taken

    def _of_job(self, job: str) -> Usage:
        usage = self._jobs.get(job)
        if usage is None:
            if len(self._jobs) >= MAX_JOBS:
                self._jobs = {name: used for name, used in self._jobs.items() if not used.idle}
            name = job if len(self._jobs) < MAX_JOBS else _OTHERS
            usage = self._jobs.get(name)
            if usage is None:
                usage = self._jobs[name] = Usage(self.grant.job_quota)
        return usage


_OTHERS = "\0others"
_NO_QUOTA = Quota()


def _exceeded(why: str, quota: str, wait_s: float) -> QuotaExceeded:
    retry_s = min(MAX_RETRY_S, max(MIN_RETRY_S, wait_s))
    return QuotaExceeded(
        f"over the quota: {why}; try again in {retry_s:.1f} s", {"quota": quota}, retry_s
    )
