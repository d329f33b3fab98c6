"""Deterministic rewards run once for equal items: those in flight together, and those known still.

Items are equal when example and response are, byte by byte. Only scores are kept; an error is
shared with the equal items that wait for it, and of another call's only where it is final.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, cast

from rewardplane.replica.segment import FAILED, PENDING, SCORED
from rewardplane.rewards.types import RETRYABLE

from .call import Call
from .served import ServedReward
from .subcall import Groups, Layout

WORTH_S = 0.0002
"""What an item must cost, in seconds of a replica, to be looked up: many times the look-up."""
ENTRY_BYTES = 400
"""What a score takes beside its components and its words."""

_RETRYABLE = frozenset(reason.value for reason in RETRYABLE)
Submit = Callable[[Call, ServedReward, Groups], None]


@dataclass(slots=True, frozen=True)
class Entry:
    """The outcome of one execution. `extra` as in `Part`; `elapsed_us` of the execution."""

    state: int
    reward: float
    components: array[float]
    extra: list[Any] | None
    isolation: int
    elapsed_us: int


@dataclass(slots=True, eq=False)
class Flight:
    """An item that executes; `followers` are the equal items that wait: runs, and items of theirs.

    `name` is what they have in common: the key, and the longest that it may execute.
    """

    name: tuple[bytes, float]
    leader: ReuseRun
    followers: list[tuple[ReuseRun, int]] = field(default_factory=list["tuple[ReuseRun, int]"])


class Reuse:
    """The scores known on a gateway, least recently used first, and what executes."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` 0: nothing is known, nothing is shared."""
        self.max_bytes = max_bytes
        self.bytes = 0
        self.flights: dict[tuple[bytes, float], Flight] = {}
        self._known: dict[bytes, Entry] = {}

    def is_worth(self, served: ServedReward) -> bool:
        """Whether the items of a reward cost enough to be looked up."""
        return bool(self.max_bytes) and served.pool.item_s * served.side_by_side >= WORTH_S

    def get(self, key: bytes) -> Entry | None:
        """The score of an equal item."""
        entry = self._known.pop(key, None)
        if entry is not None:
            self._known[key] = entry
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        """Keeps a score, and forgets those that were not asked for the longest."""
        old = self._known.pop(key, None)
        self.bytes += _size(entry) - (_size(old) if old is not None else 0)
        self._known[key] = entry
        while self.bytes > self.max_bytes and self._known:
            oldest = next(iter(self._known))
            self.bytes -= _size(self._known.pop(oldest))


class ReuseRun:
    """Runs what is new of the items of a call; the others get what equal ones got."""

    def __init__(
        self, call: Call, served: ServedReward, groups: Groups, submit: Submit, reuse: Reuse
    ) -> None:
        self._call = call
        self._served = served
        self._layout = Layout(call, groups)
        self._submit = submit
        self._reuse = reuse
        # What one call does not want, an equal item of another may.
        self._options = replace(call.options, components=True, explanations=True, step_rewards=True)
        self._executions: list[_Execution] = []

    def start(self) -> None:
        """Looks the items up and starts what is new."""
        call, layout = self._call, self._layout
        call.plans.append(self)
        seed = self._served.digest.encode()
        # They may be large: they are made and kept only for calls that want them.
        person = b"details" * call.options.details + b"judged" * call.options.judgements
        leads: dict[int, Flight] = {}
        known: list[int] = []
        try:
            shared = self._look_up(leads, known, seed, person)
            counted = self._served.figures.counted
            counted["cache_items.run"] += len(leads)
            counted["cache_items.shared"] += shared
            counted["cache_items.cached"] += len(known)
            if leads:
                self._execute(layout, leads)
        except BaseException:
            for flight in leads.values():
                self._hand_on(flight, flight.followers)
            raise
        finally:
            if known:
                call.settle(known)

    def _look_up(
        self, leads: dict[int, Flight], known: list[int], seed: bytes, person: bytes
    ) -> int:
        """Finds what must be executed, and what is known; returns how many wait for others."""
        call, layout, reuse = self._call, self._layout, self._reuse
        shared = 0
        for group, frame in enumerate(layout.frames):
            example = blake2b(frame.example, digest_size=32, key=seed).digest()
            for offset, response in enumerate(frame.responses):
                item = layout.offsets[group] + offset
                at = layout.in_parent(item, group)
                if call.states[at] != PENDING:
                    continue
                key = blake2b(response, digest_size=16, key=example, person=person).digest()
                entry = reuse.get(key)
                if entry is not None:
                    self._place(at, entry, 0)
                    known.append(at)
                    continue
                name = key, call.options.item_timeout_s
                flight = reuse.flights.get(name)
                if flight is None:
                    leads[item] = reuse.flights[name] = Flight(name, self)
                else:
                    flight.followers.append((self, at))
                    shared += 1
        return shared

    def expire(self) -> None:
        """What executes ends with what it has."""
        for execution in list(self._executions):
            execution.call.expire()

    def close(self) -> None:
        """Stops what executes; others that wait for it execute it themselves."""
        for execution in self._executions:
            execution.call.on_items = None
            execution.call.close()
            for flight in execution.leads.values():
                self._hand_on(flight, flight.followers)
        self._executions.clear()

    def _execute(self, layout: Layout, leads: dict[int, Flight]) -> None:
        """Runs those items of `layout` that lead flights."""
        execution = _Execution(layout, layout.call(self._options, self._served), leads)
        call = execution.call
        for item in range(call.n):
            if item not in leads:
                call.leave_out(item, item + 1)
        if not call.pending:
            return
        call.on_items = lambda items: self._told(execution, items)
        self._executions.append(execution)
        chosen = [
            group
            for group in range(len(layout.groups))
            if PENDING in call.states[layout.offsets[group] : layout.offsets[group + 1]]
        ]
        self._submit(call, self._served, layout.with_frames(chosen))

    def _told(self, execution: _Execution, items: Sequence[int]) -> None:
        """Items that were executed have their outcomes: so have those that are equal.

        Nothing is raised into the lane that tells it.
        """
        to_settle: dict[ReuseRun, list[int]] = {self: []}
        handed_on: list[tuple[Flight, list[tuple[ReuseRun, int]]]] = []
        fault: Exception | None = None
        for item in items:
            flight = execution.leads.pop(item)
            try:
                if waiting := self._share(execution, item, flight, to_settle):
                    handed_on.append((flight, waiting))
            except Exception as error:  # noqa: BLE001 - our fault: no item may wait for it
                fault = error
                self._reuse.flights.pop(flight.name, None)
                handed_on.append((flight, flight.followers))
        # Only now: a call that is over closes its run, which looks at what executes.
        for flight, waiting in handed_on:
            self._hand_on(flight, waiting)
        for run, places in to_settle.items():
            if places:
                run._call.settle(places)
        if fault is not None:
            self._call.failed_here(self._served, fault)

    def _share(
        self,
        execution: _Execution,
        item: int,
        flight: Flight,
        to_settle: dict[ReuseRun, list[int]],
    ) -> list[tuple[ReuseRun, int]]:
        """Places an outcome wherever it is waited for; returns who must execute the item anew."""
        layout = execution.layout
        group = bisect_right(layout.offsets, item) - 1
        entry = execution.entry(item, group)
        self._reuse.flights.pop(flight.name, None)
        if entry.state == SCORED:
            self._reuse.put(flight.name[0], entry)
        is_final = entry.state == SCORED or (entry.extra or [0])[0] not in _RETRYABLE
        at = layout.in_parent(item, group)
        number = layout.groups[group]
        queue_us = execution.call.queue_us[group]
        self._call.queue_us[number] = max(self._call.queue_us[number], queue_us)
        if self._place(at, entry, entry.elapsed_us):
            to_settle[self].append(at)
        shared = entry
        if entry.state == FAILED and entry.extra is not None:
            # What judges took in vain is told once.
            shared = replace(entry, extra=entry.extra[:2])
        waiting: list[tuple[ReuseRun, int]] = []
        for run, place in flight.followers:
            if run is not self and not is_final:
                waiting.append((run, place))
            elif run._place(place, shared, 0):
                to_settle.setdefault(run, []).append(place)
        return waiting

    def _hand_on(self, flight: Flight, waiting: Sequence[tuple[ReuseRun, int]]) -> None:
        """The first of those that wait, of a call that is not over, executes the item itself."""
        self._reuse.flights.pop(flight.name, None)
        flights = self._reuse.flights
        live = [(run, at) for run, at in waiting if run is not self and run._is_pending(at)]
        while live and flight.name not in flights:
            leader, at = live[0]
            again = flights[flight.name] = Flight(flight.name, leader, live[1:])
            try:
                leader._lead(at, again)
            except Exception as error:  # noqa: BLE001 - our fault: the others must not wait for it
                if flights.get(flight.name) is again:
                    del flights[flight.name]
                leader._call.failed_here(leader._served, error)
                live = [(run, at) for run, at in live[1:] if run._is_pending(at)]
            else:
                return

    def _lead(self, at: int, flight: Flight) -> None:
        """Executes an item of the call that waited for another one's outcome."""
        number = bisect_right(self._call.offsets, at) - 1
        frame = self._layout.frames[self._layout.groups.index(number)]
        layout = Layout(self._call, [(number, frame)])
        item = at if layout.is_all else at - self._call.offsets[number]
        self._served.figures.counted["cache_items.run"] += 1
        self._execute(layout, {item: flight})

    def _is_pending(self, at: int) -> bool:
        return not self._call.closed and self._call.states[at] == PENDING

    def _place(self, at: int, entry: Entry, elapsed_us: int) -> bool:
        """Gives an item of the call its outcome; whether it had none."""
        call = self._call
        if not self._is_pending(at):
            return False
        call.elapsed_us[at] = elapsed_us
        call.rewards[at] = entry.reward
        if call.stride and entry.components:
            begin = at * call.stride
            call.components[begin : begin + len(entry.components)] = entry.components
        if entry.extra is not None and (entry.state == FAILED or call.options.words):
            call.extras[at] = entry.extra
        if entry.isolation:
            number = bisect_right(call.offsets, at) - 1
            level = call.isolation[number] or entry.isolation
            call.isolation[number] = min(level, entry.isolation)
        call.states[at] = entry.state
        return True


@dataclass(slots=True)
class _Execution:
    """A call of items that lead flights, by item."""

    layout: Layout
    call: Call
    leads: dict[int, Flight]

    def entry(self, item: int, group: int) -> Entry:
        call = self.call
        k = call.stride
        return Entry(
            call.states[item],
            call.rewards[item],
            call.components[item * k : item * k + k],
            call.extras.get(item),
            call.isolation[group],
            call.elapsed_us[item],
        )


def _size(entry: Entry) -> int:
    words = 0
    if entry.extra is not None:
        words = 200 + sum(map(_length, entry.extra))
    return ENTRY_BYTES + 8 * len(entry.components) + words


def _length(told: Any) -> int:
    """Bytes of an extra's part, about."""
    if isinstance(told, str):
        return len(told)
    if isinstance(told, list):
        return sum(32 + _length(one) for one in cast("list[Any]", told))
    return 64 * len(cast("dict[str, Any]", told)) if isinstance(told, dict) else 0
