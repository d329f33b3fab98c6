"""The memory between owner and worker: whatever a worker does to it, its owner reads outcomes."""

from __future__ import annotations

import os
import random
import time
from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.replica.job import Job, Part, ranges_in
from rewardplane.replica.segment import (
    FAILED,
    PENDING,
    RUNNING,
    SCORED,
    SLOT_BYTES,
    SLOTS,
    Ring,
    Segment,
)
from rewardplane.replica.work import Work
from rewardplane.rewards.types import JudgementRecord, Reason, ScoreError, Usage
from rewardplane.v1 import frame_pb2 as frames


@pytest.mark.parametrize(("n", "k"), [(0, 0), (1, 0), (7, 3), (8, 1), (4096, 2)])
def test_both_ends_see_the_same(n: int, k: int) -> None:
    payload = os.urandom(10_001)
    owner = Segment.create(n, k, payload)
    worker = Segment.attach(os.dup(owner.fd))
    assert (worker.n, worker.k) == (n, k)
    assert bytes(worker.payload()) == payload
    for i in range(n):
        worker.rewards[i] = i / 3
        worker.started_ns[i] = 2**63 + i
        worker.elapsed_us[i] = i
        for c in range(k):
            worker.components[i * k + c] = i + c / 10
        worker.states[i] = SCORED
    assert owner.read_states() == bytes([SCORED]) * n
    assert owner.rewards.tolist() == [i / 3 for i in range(n)]
    assert owner.started_ns.tolist() == [2**63 + i for i in range(n)]
    assert owner.components.tolist() == [i + c / 10 for i in range(n) for c in range(k)]
    assert bytes(owner.payload()) == payload
    owner.stop[0] = 1
    assert worker.stop[0] == 1
    for end in (owner, worker):
        end.close()
        end.close()


def set_end(segment: Segment) -> None:
    """The extras end where the file does."""
    size = os.fstat(segment.fd).st_size - segment.payload_at - segment.payload_bytes
    segment._extras_end[0] = size


def test_judgements_are_read_with_what_a_score_says() -> None:
    owner = Segment.create(1, 0, b"payload")
    worker = Segment.attach(os.dup(owner.fd))
    said = JudgementRecord("good?", 0.5, {"Yes": 0.5, "No": 0.5}, None, "text", Usage(1, 2, 3, 4))
    worker.append_words(0, "why", [], "", "", [said.as_list()])
    *words, judgements = owner.extras()[0]
    assert words == ["why", [], "", ""]
    assert [JudgementRecord.from_list(told) for told in judgements] == [said]


def test_extras_are_read_by_item() -> None:
    owner = Segment.create(3, 0, b"payload")
    worker = Segment.attach(os.dup(owner.fd))
    assert owner.extras() == {}
    worker.append_error(0, 4, "a\nb\0c 'd' \u2028 😀")
    worker.append_words(2, "because", [0.5, 1.0], "read", "{}")
    worker.append_error(1, 14, "silent", [100, 20, 7, 2])
    assert owner.extras() == {
        0: [4, "a\nb\0c 'd' \u2028 😀"],
        1: [14, "silent", [100, 20, 7, 2]],
        2: ["because", [0.5, 1.0], "read", "{}"],
    }
    os.pwrite(worker.fd, b'[1,4,"torn', os.fstat(worker.fd).st_size)
    assert set(owner.extras()) == {0, 1, 2}
    set_end(worker)
    assert set(owner.extras()) == {0, 1, 2}
    worker.append_error(1, 14, "no usage", [-1, 20, 7, 2])
    worker.append_error(1, 14, "nor this", [1 << 80, 20, 7, 2])
    assert owner.extras()[1] == [14, "silent", [100, 20, 7, 2]]
    for end in (owner, worker):
        end.close()


def test_what_a_reward_counted_is_a_number_by_name() -> None:
    owner = Segment.create(1, 0, b"")
    worker = Segment.attach(os.dup(owner.fd))
    assert owner.figures() == {}
    worker.append_error(0, 4, "raised")
    worker.append_figures({"runs.ok": 2, "run_seconds": 0.5})
    odd = b'[-1,{"a":"1","b":-1,"c":1e999,"d":[],"e":NaN}]\n[-1,3]\n[-1]\n[-1,{\n'
    os.pwrite(worker.fd, odd, os.fstat(worker.fd).st_size)
    set_end(worker)
    assert owner.figures() == {"runs.ok": 2.0, "run_seconds": 0.5}
    assert set(owner.extras()) == {0}
    for end in (owner, worker):
        end.close()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe",
        b"[",
        b"{}",
        b"5",
        b"[]",
        b"[1]",
        b'["1", 2, "x"]',
        b'[-1, 2, "x"]',
        b'[3, 2, "x"]',
        b"[1, [], {}]",
        b'[1, 2, "x", 4]',
        b"[" * 100_000,
        b'[1e999, 2, "x"]',
        b"null",
    ],
)
def test_nonsense_of_a_worker_is_passed_over(line: bytes) -> None:
    owner = Segment.create(3, 0, b"")
    worker = Segment.attach(os.dup(owner.fd))
    worker.append_error(0, 4, "before")
    os.pwrite(worker.fd, line + b"\n", os.fstat(worker.fd).st_size)
    set_end(worker)
    worker.append_error(2, 4, "after")
    assert owner.extras() == {0: [4, "before"], 2: [4, "after"]}
    for end in (owner, worker):
        end.close()


def test_errors_have_room_when_explanations_have_none_left() -> None:
    owner = Segment.create(3, 0, b"")
    worker = Segment.attach(os.dup(owner.fd))
    for _ in range(9):
        worker.append_words(0, "x" * (8 << 20), [], "", "")
    worker.append_words(1, "x" * (9 << 20), [], "", "")
    worker.append_error(2, 4, "still told")
    extras = owner.extras()
    assert 1 not in extras
    assert extras[2] == [4, "still told"]
    for end in (owner, worker):
        end.close()


def test_a_worker_cannot_cut_the_memory_away() -> None:
    owner = Segment.create(100, 0, b"x" * 10_000)
    with pytest.raises(PermissionError):
        os.ftruncate(owner.fd, 0)
    assert owner.read_states() == bytes(100)
    owner.close()


def test_a_segment_leaves_nothing_behind() -> None:
    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("rewardplane-shard")

    before, files = mapped(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(50):
        segment = Segment.create(10, 1, b"x")
        segment.rewards[0] = 1.0
        segment.close()
        del segment
    assert mapped() == before
    assert len(os.listdir("/proc/self/fd")) == files  # noqa: PTH208


# ---- jobs ---------------------------------------------------------------------------------------


def segment_of(work: Work, n: int) -> Segment:
    return Segment.with_payload(n, 0, work.size, work.write)


def job_of(n: int, told: list[Part], **times: float) -> Job:
    now_s = time.monotonic()
    deadline_s, start_by_s = now_s + times.get("left", 60), now_s + times.get("start", 60)
    return Job([b""], n, [(0, n)], 5.0, deadline_s, start_by_s, "test", True, told.append)


def finish(segment: Segment, index: int, reward: float | None) -> None:
    segment.elapsed_us[index] = 1000 + index
    if reward is None:
        segment.append_error(index, Reason.RAISED.value, f"item {index}")
        segment.states[index] = FAILED
    else:
        segment.rewards[index] = reward
        segment.states[index] = SCORED


@given(
    n=st.integers(1, 12),
    order=st.randoms(use_true_random=False),
    without=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_each_item_is_told_once_in_whatever_order(
    n: int, order: random.Random, without: bool
) -> None:
    parts: list[Part] = []
    job = job_of(n, parts)
    segment = segment_of(job.work([(0, n)]), n)
    indices = list(range(n))
    order.shuffle(indices)
    held = [(i, i + 1) for i in indices[: n // 3]] if without else []
    for position, index in enumerate(indices):
        segment.states[index] = RUNNING
        if order.random() < 0.3:
            job.tell(segment, held)
        finish(segment, index, None if index % 3 == 0 else float(index))
        if order.random() < 0.5:
            job.tell(segment, held)
        if order.random() < 0.2 and position + 1 < n:
            job.fail([(index, n)], ScoreError(Reason.CRASHED, "gone"))
    job.tell(segment, held)
    job.fail([(0, n)], ScoreError(Reason.DEADLINE, "late"))
    segment.close()
    told: dict[int, tuple[int, float]] = {}
    for part in parts:
        assert part.cost()[1] == sum(1 for state in part.states if state)
        for index, state in enumerate(part.states):
            elapsed = array("Q", part.elapsed_us)[index]
            if state == PENDING:
                assert elapsed == 0, "its time would count twice"
                continue
            assert state in (SCORED, FAILED)
            assert index not in told
            told[index] = state, array("d", part.rewards)[index]
            if state == FAILED:
                assert part.extras[index][0] in {reason.value for reason in Reason}
            else:
                assert told[index][1] == float(index)
                assert elapsed == 1000 + index
    assert sorted(told) == list(range(n))


def test_a_failed_item_whose_reason_is_lost_has_one_all_the_same() -> None:
    parts: list[Part] = []
    job = job_of(3, parts)
    segment = segment_of(job.work([(0, 3)]), 3)
    segment.states[0] = FAILED
    segment.append_error(1, 99, "no such reason")
    segment.states[1] = FAILED
    segment.append_words(2, "because", [], "", "")
    segment.states[2] = FAILED
    job.tell(segment)
    segment.close()
    assert [parts[0].extras[i][0] for i in range(3)] == [Reason.RAISED.value] * 3


def test_states_that_are_none_are_not_told() -> None:
    parts: list[Part] = []
    job = job_of(4, parts)
    segment = segment_of(job.work([(0, 4)]), 4)
    segment.states[:] = bytes([7, 255, SCORED, RUNNING])
    job.tell(segment)
    segment.close()
    assert parts[0].states == bytes([PENDING, PENDING, SCORED, PENDING])


def test_who_never_ran_and_who_did_are_told_apart() -> None:
    parts: list[Part] = []
    job = job_of(4, parts, start=-1.0)
    job.note_run((1, 3))
    assert job.expire([(0, 4)]) == [(1, 3)]
    assert job.start_within_s([(1, 3)]) > 10
    job.deadline_s = time.monotonic() - 1
    assert job.expire([(1, 3)]) == []
    reasons = {i: part.extras[i][0] for part in parts for i in part.extras}
    late, never = Reason.DEADLINE.value, Reason.QUEUE_TIMEOUT.value
    assert reasons == {0: never, 1: late, 2: late, 3: never}


def test_a_second_run_has_until_the_deadline() -> None:
    job = job_of(6, [], left=50, start=10)
    job.note_run((2, 4))
    segment = segment_of(job.work([(0, 6)]), 6)
    work = Work.load(segment.payload())
    segment.close()
    assert [(first, end) for first, end, _ in work.ranges] == [(0, 2), (2, 4), (4, 6)]
    first, second, third = (start_by_ns for _, _, start_by_ns in work.ranges)
    assert first == third < second == work.deadline_ns


def test_parts_are_cut_like_the_items() -> None:
    n, k = 6, 2
    part = Part(
        bytes([2, 3, 2, 0, 2, 3]),
        array("d", range(n)).tobytes(),
        array("d", range(n * k)).tobytes(),
        array("Q", range(n)).tobytes(),
        {1: [4, "one"], 5: [4, "five"]},
        3,
    )
    piece = part.slice(1, 4, k)
    assert piece.states == bytes([3, 2, 0])
    assert array("d", piece.rewards).tolist() == [1, 2, 3]
    assert array("d", piece.components).tolist() == [2, 3, 4, 5, 6, 7]
    assert piece.extras == {0: [4, "one"]}
    assert piece.cost() == (6, 2)
    assert piece.isolation == 3


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 3))
def test_ranges_are_the_runs_of_a_state(states: list[int], wanted: int) -> None:
    data = bytes(states)
    middle = len(data) // 2
    found = ranges_in(data, wanted, [(0, middle), (middle, len(data))])
    indices = [i for first, end in found for i in range(first, end)]
    assert indices == [i for i, state in enumerate(states) if state == wanted]
    assert all(first < end for first, end in found)


def test_many_small_ranges_cost_what_one_large_one_does() -> None:
    states = bytearray(65_536)
    begin_s = time.thread_time()
    for item in range(len(states)):
        assert ranges_in(states, 0, [(item, item + 1)]) == [(item, item + 1)]
        states[item] = 3
    # 0.05 s; where each looks at all states, 1.4 s.
    assert time.thread_time() - begin_s < 0.5


def test_payloads_are_data() -> None:
    request = frames.RequestFrame(groups=[frames.GroupFrame(example=b"e", responses=[b"r"])])
    data = request.SerializeToString()
    work = Work([data, memoryview(data)], [(0, 1, 17), (1, 2, 18)], 2.5, 99)
    memory = memoryview(bytearray(work.size))
    work.write(memory)
    loaded = Work.load(memory)
    assert (loaded.ranges, loaded.timeout_s, loaded.deadline_ns) == (
        [(0, 1, 17), (1, 2, 18)],
        2.5,
        99,
    )
    assert loaded.size == work.size
    assert [(g.example, list(g.responses)) for g in loaded.groups()] == [(b"e", [b"r"])] * 2
    assert not loaded.is_whole(2)
    assert Work([data], [(0, 1, 17)], 1.0, 9).is_whole(1)


# ---- the cursor: states that are written once a group --------------------------------------------


@given(st.integers(1, 9), st.data())
def test_a_cursor_says_what_ended_and_what_runs(n: int, data: st.DataObject) -> None:
    base = data.draw(st.integers(0, n - 1))
    current = data.draw(st.integers(base, n - 1))
    failed = data.draw(st.sets(st.integers(base, n - 1)))
    owner = Segment.create(n, 0, b"")
    worker = Segment.attach(os.dup(owner.fd))
    worker.states[:base] = bytes([SCORED]) * base
    for index in failed:
        if index < current:
            worker.states[index] = FAILED
    worker.base[0], worker.cursor[0] = base, current + 1
    states = owner.read_states()
    assert states[:base] == bytes([SCORED]) * base
    assert list(states[base:current]) == [
        FAILED if i in failed else SCORED for i in range(base, current)
    ]
    assert states[current] == RUNNING
    assert states[current + 1 :] == bytes(n - current - 1)
    for end in (owner, worker):
        end.close()


@pytest.mark.parametrize(("base", "cursor"), [(0, 99), (2**63, 2), (5, 1), (2**64 - 1, 2**64 - 1)])
def test_a_cursor_that_is_none_does_no_harm(base: int, cursor: int) -> None:
    owner = Segment.create(4, 0, b"")
    owner.base[0], owner.cursor[0] = base, cursor
    assert len(owner.read_states()) == 4
    assert SCORED not in owner.read_states()
    owner.close()


# ---- rings ---------------------------------------------------------------------------------------


def test_the_slots_of_a_ring_are_used_again() -> None:
    owner = Ring.create()
    worker = Ring(tuple(map(os.dup, owner.fds)))
    for turn in range(3):
        work = Work([b"", bytes([turn]) * 100], [(0, 5, 1)], 1.0, 1)
        for slot in range(SLOTS):
            segment = owner.segment(slot, 5, 2, work.size, work.write)
            assert segment.read_states() == bytes(5)
            assert segment.started_ns.tolist() == segment.elapsed_us.tolist() == [0] * 5
            assert not segment.has_extras
            assert segment.cursor[0] == segment.stop[0] == segment.spent[0] == 0
            other = worker.attach(slot)
            assert other.payload() == segment.payload()
            other.append_error(1, 4, f"{turn} {slot} " + "x" * (2 << 20) * (turn == 1))
            other.rewards[4], other.components[9] = 0.5, 0.25
            other.started_ns[2] = other.elapsed_us[3] = 7
            other.states[4] = SCORED
            other.cursor[0] = other.stop[0] = other.spent[0] = 1
            assert segment.extras()[1][1].startswith(f"{turn} {slot} ")
            assert (segment.rewards[4], segment.components[9]) == (0.5, 0.25)
            owner.free(segment)
    assert all(os.fstat(fd).st_size < 1 << 20 for fd in owner.fds[1:])
    for ring in (owner, worker):
        ring.close()


def test_what_is_too_large_for_a_slot_has_a_file() -> None:
    assert Ring.fits(4096, 0, 1 << 20)
    assert not Ring.fits(1, 0, SLOT_BYTES)
    assert not Ring.fits(1 << 18, 0, 0)


def test_judgements_that_are_none_are_not_told() -> None:
    good = JudgementRecord("?", 1.0, {"Yes": 1.0}, None, "text", Usage(1, 2, 3, 4)).as_list()
    wrong: list[Any] = [
        "x",
        [],
        [*good, 1],
        [*good[:1], "1", *good[2:]],
        [*good[:2], {"Yes": "1"}, *good[3:]],
        [*good[:5], [1, 2, 3, -4], ""],
        [*good[:5], [1, 2, 3, 2**40], ""],
    ]
    parts: list[Part] = []
    job = job_of(1 + len(wrong), parts)
    segment = segment_of(job.work([(0, 1 + len(wrong))]), 1 + len(wrong))
    for index, told in enumerate([good, *wrong]):
        segment.append_words(index, "because", [], "", "", [told])
        segment.states[index] = SCORED
    job.tell(segment)
    segment.close()
    assert parts[0].extras == {0: ["because", [], "", "", [good]]}
