"""The order in which batches are served: by deadline, by what is left, and fair between jobs."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.gateway import batch_queue
from rewardplane.gateway.batch_queue import HALF_S, MAX_GOT, MAX_JOBS, STARVED_S, BatchQueue
from rewardplane.gateway.breath import at_once
from rewardplane.gateway.shard import Shard


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Asked:
    """A call as the queue sees it."""

    def __init__(self, job: str, answer_by_s: float) -> None:
        self.options = SimpleNamespace(job=job, answer_by_s=answer_by_s)


def call(job: str = "", due_s: float = 60.0, now_s: float = 1000.0) -> Any:
    """A call that is to be answered in so long."""
    return Asked(job, now_s + due_s)


def shards(of: Any, *sizes: int, at_s: float = 1000.0) -> list[Shard]:
    """Shards of one call."""
    return [Shard(of, cast("Any", None), [], [], n, 10 * n, at_s) for n in sizes]


def served(queue: BatchQueue) -> list[Shard]:
    """All, in the order in which they are served."""
    order: list[Shard] = []
    while queue:
        first = queue.first()
        assert queue.pop() is first
        order.append(first)
    assert (queue.items, queue.bytes) == (0, 0)
    return order


def filled(*batches: list[Shard]) -> BatchQueue:
    """A queue to which batches came in this order."""
    queue = BatchQueue(Clock())
    for batch in batches:
        for shard in batch:
            queue.add(shard)
    return queue


def test_one_batch_after_the_other_as_they_came() -> None:
    first, second = shards(call(), 4, 4), shards(call(), 4, 4)
    assert served(filled(first, second)) == [*first, *second]


def test_the_earliest_deadline_is_first() -> None:
    late, soon = shards(call(due_s=300), 1, 1), shards(call(due_s=5), 50, 50)
    assert served(filled(late, soon)) == [*soon, *late]


def test_of_deadlines_about_equal_the_batch_nearest_to_its_end_is_first() -> None:
    large, small = shards(call(due_s=60.1), 8, 8, 8), shards(call(due_s=60.9), 8)
    assert served(filled(large, small)) == [*small, *large]
    # One of which most is done goes before one that is smaller as a whole.
    queue = filled(large)
    assert [queue.pop(), queue.pop()] == large[:2]
    middle = shards(call(due_s=60.5), 5, 5)
    for shard in middle:
        queue.add(shard)
    assert served(queue) == [large[2], *middle]


def test_a_job_that_floods_does_not_delay_the_others() -> None:
    flood = [shards(call("flood", due_s=50 + k), 64) for k in range(100)]
    a, b = shards(call("a", due_s=90), 32, 32), shards(call("b", due_s=80), 64)
    queue = filled(*flood, a, b)
    assert queue.items_before("a", 0) == 128
    assert queue.items_before("new", 10) == 10 - 10 + 0 * 128
    assert served(queue)[:3] == [*b, *a]


def test_jobs_of_like_size_are_served_by_deadline() -> None:
    a, b = shards(call("a", due_s=20), 64), shards(call("b", due_s=10), 100)
    assert served(filled(a, b)) == [*b, *a]


def test_a_job_that_starves_is_served() -> None:
    clock = Clock()
    queue = BatchQueue(clock)
    large = shards(call("large"), *([100] * 40))
    for shard in large:
        queue.add(shard)
    got: list[str] = []
    for _ in range(400):
        small = shards(call("small", now_s=clock.now_s), 100, at_s=clock.now_s)
        queue.add(small[0])
        got.append(queue.pop().call.options.job)
        clock.now_s += 0.1
    waited = int(STARVED_S / 0.1)
    assert set(got[: waited - 1]) == {"small"}
    share = got[waited:].count("large") / len(got[waited:])
    assert 0.1 <= share <= 0.3, "half of its fair half, about"
    assert HALF_S > STARVED_S


def test_what_a_job_got_long_ago_does_not_count_against_it() -> None:
    """Alone for hours, a job is served as it comes; it may starve all the same afterwards."""
    clock = Clock()
    queue = BatchQueue(clock)
    for _ in range(1000):
        queue.add(shards(call("large", now_s=clock.now_s), 1000, at_s=clock.now_s)[0])
        queue.pop()
        clock.now_s += 3.6
    for shard in shards(call("large", now_s=clock.now_s), *([100] * 40), at_s=clock.now_s):
        queue.add(shard)
    got: list[str] = []
    for _ in range(600):
        queue.add(shards(call("small", now_s=clock.now_s), 100, at_s=clock.now_s)[0])
        got.append(queue.pop().call.options.job)
        clock.now_s += 0.1
    assert "large" in got


def test_a_job_for_each_call_fills_no_memory() -> None:
    queue = BatchQueue(Clock())
    for k in range(5000):
        queue.add(shards(call(f"job{k}"), 64)[0])
        queue.pop()
    assert len(queue._got) <= MAX_GOT


def test_what_was_sent_in_vain_goes_first() -> None:
    waiting, again = shards(call(due_s=1), 4), shards(call(due_s=100), 4, 4)
    queue = filled(waiting)
    for shard in reversed(again):
        queue.add_again(shard)
    assert served(queue) == [*again, *waiting]


def test_more_jobs_than_are_told_apart_share_a_place() -> None:
    batches = [shards(call(f"job{k}", due_s=10 + k), 4) for k in range(3 * MAX_JOBS)]
    queue = filled(*batches)
    assert {shard for batch in batches for shard in map(id, batch)} == {
        id(shard) for shard in served(queue)
    }


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from([0.0, 0.01, 5.0, 60.0, -3.0]),
            st.lists(st.integers(1, 9), min_size=1, max_size=4),
        ),
        max_size=12,
    ),
    st.data(),
)
@settings(deadline=None)
def test_each_shard_is_served_once_whatever_is_dropped(
    batches: list[tuple[str, float, list[int]]], data: st.DataObject
) -> None:
    queue = BatchQueue(Clock())
    left: dict[int, Shard] = {}
    for job, due_s, sizes in batches:
        for shard in shards(call(job, due_s), *sizes):
            queue.add(shard)
            left[id(shard)] = shard
        what = data.draw(st.sampled_from(["pop", "drop", "again", ""]))
        if what == "pop" and queue:
            del left[id(queue.pop())]
        elif what == "again" and queue:
            queue.add_again(queue.pop())
        elif what == "drop":
            # Of each call the oldest ones; that a call is dropped may bring another.
            dead: set[int] = {id(s.call) for s in left.values() if data.draw(st.booleans())}
            gone = {key for key, shard in left.items() if id(shard.call) in dead}
            more = shards(call("c"), 2, 3) if gone and data.draw(st.booleans()) else []
            left = {key: shard for key, shard in left.items() if key not in gone}
            left |= {id(shard): shard for shard in more}

            def stale(shard: Shard, gone: set[int] = gone, more: list[Shard] = more) -> bool:
                while more and id(shard) in gone:
                    queue.add(more.pop())
                return id(shard) in gone

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(batch_queue, "PIECE", 1)
                for _ in queue.dropping(stale):
                    if queue and data.draw(st.booleans()):
                        left.pop(id(queue.pop()), None)
            for shard in more:  # what would have brought it was taken in a pause
                del left[id(shard)]
        assert queue.items == sum(shard.n for shard in left.values())
        assert queue.bytes == sum(shard.bytes for shard in left.values())
        assert {id(shard) for shard in queue} == set(left)
    assert {id(shard) for shard in served(queue)} == set(left)


def test_of_a_batch_what_is_stale_goes_and_the_order_stays() -> None:
    first, second = shards(call(due_s=60.1), 8, 8, 8), shards(call(due_s=60.9), 9)
    queue = filled(first, second)
    assert queue.first() is second[0]
    asked: list[Shard] = []

    def stale(shard: Shard) -> bool:
        asked.append(shard)
        return any(shard is one for one in first[:2])

    at_once(queue.dropping(stale))
    assert [id(shard) for shard in asked] == [id(shard) for shard in (*first, *second)]
    assert (queue.items, queue.bytes) == (17, 170)
    assert served(queue) == [first[2], *second], "it is the nearest to its end now"
    large = filled(shards(call(), *([1] * 1000)))
    asked.clear()
    at_once(large.dropping(stale))
    assert len(asked) == 1, "where its first is not stale, no other is looked at"


def test_very_many_batches_are_dropped_in_pieces() -> None:
    """In CPU time of the thread; what is left is served in its order."""
    batches = [shards(call(due_s=1.0 + k), 1) for k in range(20_000)]
    queue = filled(*batches)
    steps = queue.dropping(lambda shard: shard.call.options.answer_by_s % 3 > 0)
    pieces_s: list[float] = []
    begin_s = time.thread_time()
    for _ in steps:
        pieces_s.append(time.thread_time() - begin_s)
        begin_s = time.thread_time()
    assert len(pieces_s) == 20_000 // batch_queue.PIECE
    assert sorted(pieces_s)[-3] < 0.02
    left = [batch for batch in batches if batch[0].call.options.answer_by_s % 3 == 0]
    assert len(left) in (6666, 6667)
    assert list(map(id, served(queue))) == list(map(id, served(filled(*left))))


@pytest.mark.parametrize("left_s", [0.5, 4.0, 60.0, 300.0, 3600.0])
def test_deadlines_are_rounded_by_a_sixteenth_at_most(left_s: float) -> None:
    soon, later = shards(call(due_s=0.93 * left_s), 9, 9), shards(call(due_s=left_s), 1)
    assert served(filled(later, soon)) == [*soon, *later]
