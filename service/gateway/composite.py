"""A composite on its way: its members' calls, in one wave or two, and what is made of them.

The members run side by side, each in its own lane, on the bytes that the request brought. Gates are
a first wave: a group goes on to the other members as soon as its gates are known, with the items
that they let through. Outcomes are combined by columns where every member has a reward.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from rewardplane.replica.job import Range, ranges_in
from rewardplane.replica.segment import FAILED, PENDING, SCORED, fault_of
from rewardplane.rewards.compose.combining import Combined, MemberOutcome
from rewardplane.rewards.types import MAX_DETAILS_CHARS, Reason, ScoreError, Usage
from rewardplane.wire.item_errors import CANCELLED, NEVER_STARTED

from .call import LEFT_OUT, Call
from .served import ServedReward
from .subcall import Groups, Layout

_log = logging.getLogger(__name__)

Start = Callable[[Call, ServedReward, Groups], None]
"""Hands groups of a call to the lane of a reward."""


class CompositeRun:
    """Runs the members of a reward on groups of a call, and gives the items their outcomes."""

    def __init__(
        self,
        call: Call,
        served: ServedReward,
        groups: Groups,
        start: Start,
        count: Callable[[Call], None],
    ) -> None:
        """`count` gets each member's call when it is over."""
        if served.combining is None:
            raise ValueError(f"reward {served.name!r} is not made of others")
        self._call = call
        self._served = served
        self._combining = served.combining
        self._layout = Layout(call, groups)
        self._start = start
        self._count = count
        self._calls = {
            name: self._layout.call(call.options, member) for name, member in served.members.items()
        }
        gates = self._combining.gates
        self._first = list(gates or self._calls)
        self._later = [name for name in self._calls if name not in self._first]
        self._shut = bytearray(self._layout.offsets[-1])
        """1: a gate does not let the item through."""
        self._in_later_wave = bytearray(len(groups))
        self._left = [0] * len(groups)
        """Of each group, how many outcomes of its members its wave waits for."""
        self._all_left = 0
        self._ready: list[int] = []
        """Groups whose wave is over."""
        self._flushes = False
        self._expired = False
        self._closed = False
        self._low, self._high = served.config.clip

    def start(self) -> None:
        """Starts the first wave; items may have their outcomes then."""
        call, layout = self._call, self._layout
        for member in self._served.members.values():
            member.calls += 1
        call.plans.append(self)
        if call.sparse:
            for group in range(len(layout.groups)):
                self._leave_out(self._decided(group), self._calls)
        for child in self._calls.values():
            child.on_items = self._told
        self._run(self._first, range(len(layout.groups)))

    def _failed(self, error: Exception) -> None:
        self._call.failed_here(self._served, error)

    def expire(self) -> None:
        """The members' calls end with what they have; no wave starts any more."""
        self._expired = True
        for names in (self._first, self._later):
            for name in names:
                if not self._closed and self._calls[name].pending:
                    self._calls[name].expire()
            self._flush()

    def close(self) -> None:
        """Stops what still runs, and counts what the members did."""
        self._closed = True
        for name, child in self._calls.items():
            child.on_items = None
            if child.pending:
                child.fail([(0, child.n)], CANCELLED)
            child.close()
            try:
                self._count(child)
            except Exception:  # noqa: BLE001 - our fault, not the call's: it has its outcomes
                _log.exception("reward %s: its member %s was not counted", self._served.name, name)
            reached = child.n - child.states.count(LEFT_OUT)
            self._served.figures.member_items[name] += reached
            self._served.members[name].calls -= 1

    def _run(self, names: Sequence[str], groups: Sequence[int]) -> None:
        """Starts a wave of some groups."""
        offsets, left = self._layout.offsets, self._left
        for group in groups:
            first, end = offsets[group], offsets[group + 1]
            for name in names:
                left[group] += self._calls[name].states.count(PENDING, first, end)
            self._all_left += left[group]
        chosen = self._layout.with_frames(groups)
        members = self._served.members
        # What goes to other processes is on its way before anything runs in this one.
        for name in sorted(names, key=lambda name: members[name].lane == "inline"):
            if not self._closed:
                self._start(self._calls[name], members[name], chosen)

    def _told(self, items: Sequence[int]) -> None:
        """Items of a member's call have their outcomes. Nothing is raised into its lane."""
        try:
            self._note(items)
        except Exception as error:  # noqa: BLE001 - our fault: the items must not wait
            self._failed(error)

    def _note(self, items: Sequence[int]) -> None:
        offsets, left, ready = self._layout.offsets, self._left, self._ready
        group = bisect_right(offsets, items[0]) - 1
        if isinstance(items, range):
            at, end = items.start, items.stop
            while at < end:
                stop = min(end, offsets[group + 1])
                left[group] -= stop - at
                if not left[group]:
                    ready.append(group)
                at = stop
                group += 1
        else:
            for item in items:
                if not offsets[group] <= item < offsets[group + 1]:
                    group = bisect_right(offsets, item) - 1
                left[group] -= 1
                if not left[group]:
                    ready.append(group)
        self._all_left -= len(items)
        if not self._all_left:
            self._flush()
        elif ready and not self._flushes:
            # With what else ends in this turn of the loop.
            self._flushes = True
            asyncio.get_running_loop().call_soon(self._flush_later)

    def _flush_later(self) -> None:
        try:
            self._flush()
        except Exception as error:  # noqa: BLE001 - our fault: the items must not wait
            self._failed(error)

    def _flush(self) -> None:
        """Takes the groups whose wave is over a wave further, or combines their outcomes."""
        self._flushes = False
        if self._closed or not self._ready:
            return
        ready, self._ready = sorted(self._ready), []
        final = ready
        if self._later:
            onward = [g for g in ready if not self._in_later_wave[g] and self._goes_on(g)]
            passed = set(onward)
            final = [group for group in ready if group not in passed]
            if onward:
                self._run_later(onward)
        if final and not self._closed:
            self._combine(final)

    def _goes_on(self, group: int) -> bool:
        """Whether any item of a group passes its gates; the others are left out."""
        first, end = self._layout.offsets[group], self._layout.offsets[group + 1]
        shut: list[int] = []
        decided = self._decided(group)
        passing = 0
        for item in range(first, end):
            if item in decided:
                continue
            if self._combining.opens({name: self._outcome(name, item) for name in self._first}):
                passing += 1
            else:
                shut.append(item)
                self._shut[item] = 1
        if passing:
            members = self._served.members
            # A group is never split: who compares its responses gets all of them.
            self._leave_out(shut, [n for n in self._later if not members[n].whole_group])
            return True
        for name in self._later:
            child = self._calls[name]
            for begin, stop in ranges_in(child.states, PENDING, [(first, end)]):
                child.leave_out(begin, stop)
        return False

    def _run_later(self, groups: Sequence[int]) -> None:
        for group in groups:
            self._in_later_wave[group] = 1
        if not self._expired:
            self._run(self._later, groups)
            return
        offsets = self._layout.offsets
        for group in groups:
            place = offsets[group], offsets[group + 1]
            counts = [self._calls[n].states.count(PENDING, *place) for n in self._later]
            self._left[group] = sum(counts)
            self._all_left += sum(counts)
        for group in groups:
            for name in self._later:
                if not self._closed:
                    self._calls[name].fail([(offsets[group], offsets[group + 1])], NEVER_STARTED)

    def _leave_out(self, items: Sequence[int], names: Iterable[str]) -> None:
        for name in names:
            for item in items:
                self._calls[name].leave_out(item, item + 1)

    def _decided(self, group: int) -> list[int]:
        """The items of a group that are not to run at all: they have their outcome."""
        if not self._call.sparse:
            return []
        layout, states = self._layout, self._call.states
        items = range(layout.offsets[group], layout.offsets[group + 1])
        return [i for i in items if states[layout.in_parent(i, group)] != PENDING]

    def _outcome(self, name: str, item: int) -> MemberOutcome:
        child = self._calls[name]
        state = child.states[item]
        if state == SCORED:
            return child.rewards[item]
        if state == FAILED:
            number, message, *spent = child.extras[item]
            return ScoreError(Reason(number), message, Usage(*spent[0]) if spent else None)
        return None

    # ---- outcomes ----------------------------------------------------------------------------

    def _combine(self, groups: Sequence[int]) -> None:
        call, layout = self._call, self._layout
        for group in groups:
            self._note_group(group)
        told: list[int] = []
        try:
            for place, in_call in layout.runs(groups):
                if self._blend(place, in_call):
                    told += range(*in_call)
                    continue
                first = bisect_right(layout.offsets, place[0]) - 1
                while layout.offsets[first] < place[1]:
                    self._combine_group(first, told)
                    first += 1
        finally:
            if told:
                # Whole runs are told as such: who is told looks at groups, not at items.
                whole = told[-1] - told[0] == len(told) - 1
                call.settle(range(told[0], told[-1] + 1) if whole else told)

    def _blend(self, place: Range, in_call: Range) -> bool:
        """Combines items, if all have their gates held and a reward of each member."""
        (first, end), (begin, stop) = place, in_call
        call, children = self._call, list(self._calls.values())
        count = end - first
        if (
            any(call.states[begin:stop])
            or any(self._shut[first:end])
            or any(child.states.count(SCORED, first, end) != count for child in children)
        ):
            return False
        made = self._combining.blend([child.rewards[first:end] for child in children])
        if made is None:
            return False
        rewards, own = made
        if not math.isfinite(sum(rewards)):
            return False
        low, high = self._low, self._high
        if min(rewards) < low or max(rewards) > high:
            rewards = [min(max(reward, low), high) for reward in rewards]
        call.rewards[begin:stop] = array("d", rewards)
        columns = [child.elapsed_us[first:end] for child in children]
        call.elapsed_us[begin:stop] = array("Q", map(sum, zip(*columns, strict=True)))
        if call.stride:
            self._place_columns(place, in_call, own)
        if call.options.words and any(child.extras for child in children):
            for item in range(first, end):
                self._place_words(item, begin + item - first)
        call.states[begin:stop] = bytes((SCORED,)) * count
        return True

    def _place_columns(self, place: Range, in_call: Range, own: Sequence[Sequence[float]]) -> None:
        call, stride = self._call, self._call.stride
        (first, end), (begin, stop) = place, in_call
        at = 0
        for child in self._calls.values():
            k = child.stride
            columns = [child.rewards[first:end]]
            columns += [child.components[first * k + j : end * k : k] for j in range(k)]
            for column in columns:
                call.components[begin * stride + at : stop * stride : stride] = column
                at += 1
        for column in own:
            call.components[begin * stride + at : stop * stride : stride] = array("d", column)
            at += 1

    def _combine_group(self, group: int, told: list[int]) -> None:
        """Combines a group's items one by one; `told` gets those of the call that were pending."""
        layout, call = self._layout, self._call
        numbers = range(layout.offsets[group], layout.offsets[group + 1])
        places = [(i, at) for i in numbers if not call.states[at := layout.in_parent(i, group)]]
        names = list(self._calls)
        outcomes_G = [{name: self._outcome(name, item) for name in names} for item, _ in places]  # noqa: N806
        made_G = self._combining.combine_group(outcomes_G)  # noqa: N806
        for (item, at), outcomes, made in zip(places, outcomes_G, made_G, strict=True):
            call.elapsed_us[at] = sum(child.elapsed_us[item] for child in self._calls.values())
            if isinstance(made, Combined):
                call.rewards[at] = min(max(made.reward, self._low), self._high)
                if call.stride:
                    self._place_components(item, at, made.own)
                if call.options.words:
                    self._place_words(item, at)
                call.states[at] = SCORED
            else:
                call.extras[at] = fault_of(replace(made, usage=_usage(outcomes.values())))
                call.states[at] = FAILED
            told.append(at)

    def _place_components(self, item: int, at: int, own: Sequence[float]) -> None:
        """Each member's reward and components; NaN where it has none."""
        call = self._call
        values: list[float] = []
        for child in self._calls.values():
            k = child.stride
            if child.states[item] == SCORED:
                values.append(child.rewards[item])
                values += child.components[item * k : item * k + k]
            else:
                values += [math.nan] * (k + 1)
        values += own
        values += [math.nan] * (self._served.component_count - len(values))
        begin = at * call.stride
        call.components[begin : begin + len(values)] = array("d", values)

    def _place_words(self, item: int, at: int) -> None:
        """What the members say, each under its name; the answer that all who read one agree on.

        Details are one document too: those of a member that no longer fit in it are left out.
        """
        said: list[str] = []
        details: list[str] = []
        judgements: list[list[Any]] = []
        room = MAX_DETAILS_CHARS - 2
        answers: dict[str, None] = {}
        for name, child in self._calls.items():
            words = child.extras.get(item)
            if words is None or child.states[item] != SCORED:
                continue
            if words[0]:
                said.append(f"{name}: {words[0]}")
            if words[2]:
                answers[words[2]] = None
            if words[3]:
                told = f"{json.dumps(name)}:{words[3]}"
                if len(told) < room:
                    details.append(told)
                    room -= len(told) + 1
            for question, *answered in words[4] if len(words) > 4 else ():
                judgements.append([f"{name}.{question}" if question else name, *answered])
        answer = next(iter(answers)) if len(answers) == 1 else ""
        if said or answer or details or judgements:
            document = f"{{{','.join(details)}}}" if details else ""
            spoken: list[Any] = ["\n".join(said), [], answer, document]
            self._call.extras[at] = [*spoken, judgements] if judgements else spoken

    def _note_group(self, group: int) -> None:
        call, number = self._call, self._layout.groups[group]
        for child in self._calls.values():
            call.queue_us[number] = max(call.queue_us[number], child.queue_us[group])
            if level := child.isolation[group]:
                call.isolation[number] = min(call.isolation[number] or level, level)


def _usage(outcomes: Iterable[MemberOutcome]) -> Usage | None:
    """What judges took in vain, for all members that failed."""
    spent = [o.usage for o in outcomes if isinstance(o, ScoreError) and o.usage is not None]
    return sum(spent[1:], spent[0]) if spent else None
