"""One client object in many threads, event loops and processes, and after forks."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from rewardplane.client.client import RewardClient
from rewardplane.client.endpoint import Credentials
from rewardplane.client.sync_client import SyncRewardClient
from rewardplane.rewards.types import Example, Group, Response, Score, ScoreError
from rewardplane.wire.errors import DeadlineExceeded, UnknownReward

from ..support.fake_server import FakeService, fails, hangs, serving

SERVER = Path(__file__).parents[1] / "support" / "fake_server.py"


@contextmanager
def server(delay_s: float = 0) -> Iterator[str]:
    """A service in a process of its own; gives its target."""
    command = [sys.executable, SERVER, str(delay_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with server() as target:
        yield target


def run(script: str, *args: str, timeout_s: float = 30) -> list[str]:
    """The lines that a script prints in a process of its own, where warnings are errors."""
    prelude = """
        import asyncio, os, sys, threading, time
        from rewardplane.rewards.types import Example, Group, Response, Score
        from rewardplane.client.client import RewardClient
        from rewardplane.client.sync_client import SyncRewardClient
        from rewardplane.wire.errors import CallError
        def groups(*numbers):
            return [Group(Example(), [Response(str(n)) for n in numbers])]
        def rewards(scores):
            return [o.reward for g in scores for o in g]
        def child(work, leave=sys.exit):
            # It is ended in case it hangs. `sys.exit` runs finalizers, which might crash.
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                import signal
                signal.alarm(10)
                work()
                sys.stdout.flush()
                leave(0)
            print("child ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """
    code = textwrap.dedent(prelude) + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *args],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    noise = [line for line in done.stderr.splitlines() if "Error" in line or "Traceback" in line]
    assert not noise, done.stderr
    return done.stdout.splitlines()


# ---- forks ---------------------------------------------------------------------------------------


def test_a_client_that_was_used_works_on_both_sides_of_a_fork(target: str) -> None:
    lines = run(
        """
        client = RewardClient(sys.argv[1])
        async def ask(n):
            return rewards(await client.score("math", groups(n)))
        print("parent", asyncio.run(ask(1)))
        child(lambda: print("child", asyncio.run(ask(2))))
        print("parent", asyncio.run(ask(3)))
        """,
        target,
    )
    assert lines == ["parent [1.0]", "child [2.0]", "child ended with 0", "parent [3.0]"]


def test_a_fork_in_the_midst_of_an_idle_event_loop(target: str) -> None:
    lines = run(
        """
        client, sync = RewardClient(sys.argv[1]), SyncRewardClient(sys.argv[1])
        async def main():
            async with client:
                print(rewards(await client.score("math", groups(1))))
                print((await client.score_one("math", Example(), Response("2"))).reward)
                child(lambda: print("child", rewards(sync.score("math", groups(3)))), os._exit)
                print(rewards(await client.score("math", groups(4))))
        asyncio.run(main())
        """,
        target,
    )
    assert lines == ["[1.0]", "2.0", "child [3.0]", "child ended with 0", "[4.0]"]


def test_the_sync_client_works_on_both_sides_of_many_forks(target: str) -> None:
    lines = run(
        """
        client = SyncRewardClient(sys.argv[1])
        def work(depth):
            print(depth, rewards(client.score("math", groups(depth))))
            if depth < 3:
                child(lambda: work(depth + 1))
                print(depth, rewards(client.score("math", groups(depth))))
        work(0)
        """,
        target,
    )
    assert lines == [
        *("0 [0.0]", "1 [1.0]", "2 [2.0]", "3 [3.0]", "child ended with 0", "2 [2.0]"),
        *("child ended with 0", "1 [1.0]", "child ended with 0", "0 [0.0]"),
    ]


def test_a_failed_call_that_is_still_held_hinders_no_fork(target: str) -> None:
    lines = run(
        """
        client = SyncRewardClient(sys.argv[1])
        held = []
        for ask in (lambda: client.get_reward("none"), lambda: client.score("math", [])):
            try:
                ask()
            except CallError as error:
                held.append(error)
        child(lambda: print("child", rewards(client.score("math", groups(2)))))
        print(len(held), rewards(client.score("math", groups(3))))
        """,
        target,
    )
    assert lines == ["child [2.0]", "child ended with 0", "2 [3.0]"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_get_the_client_by_pickle(target: str, method: str) -> None:
    lines = run(
        """
        import multiprocessing, pathlib, tempfile
        # Workers that are spawned import what they run: it needs a file.
        folder = tempfile.mkdtemp()
        pathlib.Path(folder, "workers.py").write_text(
            "def ask(job):\\n"
            "    client, group = job\\n"
            "    return [o.reward for g in client.score('math', [group]) for o in g]\\n"
        )
        sys.path.insert(0, folder)
        from workers import ask
        client = SyncRewardClient(sys.argv[1])
        ask((client, groups(0)[0]))
        with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
            print(pool.map(ask, [(client, groups(n)[0]) for n in range(6)]))
        """,
        target,
        method,
        timeout_s=60,
    )
    assert lines == [str([[float(n)] for n in range(6)])]


def test_pickled_clients_keep_their_configuration() -> None:
    how = Credentials("token", tls=False)
    client = RewardClient("a:1", credentials=how, channels=3, options=[("grpc.x", 1)])
    again = pickle.loads(pickle.dumps(client))  # noqa: S301 - our own bytes
    assert again._endpoint == client._endpoint
    sync = pickle.loads(pickle.dumps(SyncRewardClient("a:1", channels=2)))  # noqa: S301
    assert sync._client._endpoint.channels == 2
    assert repr(sync) == "SyncRewardClient('a:1')"


async def test_a_client_in_use_can_be_pickled(target: str) -> None:
    async with RewardClient(target) as client:
        await client.score_one("math", Example(), Response("1"))
        again = pickle.loads(pickle.dumps(client))  # noqa: S301 - our own bytes
    async with again:
        assert await again.score_one("math", Example(), Response("2")) == Score(2.0)


# ---- event loops and threads ---------------------------------------------------------------------


def test_one_client_in_one_event_loop_after_the_other(target: str) -> None:
    client = RewardClient(target)

    async def ask(n: int) -> Score | ScoreError:
        return await client.score_one("math", Example(), Response(str(n)))

    for n in range(5):
        assert asyncio.run(ask(n)) == Score(float(n))
    # Those of the loops that are gone are gone too.
    assert len(client._sessions) == 1


def test_one_client_in_many_event_loops_at_once(target: str) -> None:
    client = RewardClient(target)
    together = threading.Barrier(4)

    async def ask(base: int) -> list[float]:
        scores = await asyncio.gather(
            *(
                client.score("math", [Group(Example(), [Response(str(base + i))])])
                for i in range(50)
            )
        )
        together.wait(10)
        return [o.reward for s in scores for g in s for o in g if isinstance(o, Score)]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda base: asyncio.run(ask(base)), range(0, 400, 100)))
    assert answers == [[float(base + i) for i in range(50)] for base in range(0, 400, 100)]


def test_uvloop(target: str) -> None:
    uvloop = pytest.importorskip("uvloop")
    client = RewardClient(target)

    async def main() -> Score | ScoreError:
        async with client:
            return await client.score_one("math", Example(), Response("3"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == Score(3.0)


def test_a_script_that_closes_nothing_ends_quietly(target: str) -> None:
    lines = run(
        """
        client, sync = RewardClient(sys.argv[1]), SyncRewardClient(sys.argv[1])
        print(rewards(asyncio.run(client.score("math", groups(1)))))
        print(rewards(sync.score("math", groups(2))))
        """,
        target,
    )
    assert lines == ["[1.0]", "[2.0]"]


# ---- the sync client -----------------------------------------------------------------------------


def test_the_sync_client_has_the_methods_of_the_async_one(target: str) -> None:
    with SyncRewardClient(target) as client:
        groups = [Group(Example(), [Response("1"), Response("2")])]
        assert list(client.score("math", groups)) == [[Score(1.0), Score(2.0)]]
        assert client.score_one("math", Example(), Response("3")) == Score(3.0)
        assert {o.outcome.reward for o in client.stream("math", groups)} == {1.0, 2.0}  # type: ignore[union-attr]
        assert [info.name for info in client.list_rewards()] == ["math", "math2"]
        assert client.get_reward("math").name == "math"
        with pytest.raises(UnknownReward):
            client.get_reward("maht")
        tried = client.validate(Example(), Response("4"), reward="math")
        assert isinstance(tried.outcome, Score)
    public = {name for name in dir(RewardClient) if not name.startswith("_")}
    assert public == {name for name in dir(SyncRewardClient) if not name.startswith("_")}


def test_a_sync_stream_may_be_left_early(target: str) -> None:
    client = SyncRewardClient(target)
    stream = client.stream("math", [Group(Example(), [Response(str(i)) for i in range(10)])])
    assert next(stream).response_index == 9
    stream.close()
    assert client.score_one("math", Example(), Response("1")) == Score(1.0)


async def test_single_calls_of_many_threads_travel_together() -> None:
    service = FakeService(delay_s=0.05)
    async with serving(service) as target:
        client = SyncRewardClient(target)

        def ask(i: int) -> Score | ScoreError:
            return client.score_one("math", Example(), Response(str(i)))

        def all_at_once() -> list[Score | ScoreError]:
            with ThreadPoolExecutor(50) as pool:
                return list(pool.map(ask, range(200)))

        outcomes = await asyncio.to_thread(all_at_once)
        await asyncio.to_thread(client.close)
    assert outcomes == [Score(float(i)) for i in range(200)]
    assert len(service.calls) < 100


async def test_a_sync_call_within_an_event_loop_blocks_and_works(target: str) -> None:
    assert SyncRewardClient(target).score_one("math", Example(), Response("3")) == Score(3.0)


async def test_sync_errors_and_deadlines() -> None:
    service = FakeService([fails(UnknownReward("no")), hangs])
    async with serving(service) as target:
        client = SyncRewardClient(target)
        groups = [Group(Example(), [Response("1")])]
        with pytest.raises(UnknownReward):
            await asyncio.to_thread(client.score, "math", groups)
        start_s = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await asyncio.to_thread(client.score, "math", groups, timeout_s=0.3)
        assert time.monotonic() - start_s < 5
        await asyncio.to_thread(client.close)


def test_an_interrupt_ends_a_sync_call() -> None:
    with server(30) as target:
        lines = run(
            """
            import signal
            client = SyncRewardClient(sys.argv[1])
            threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            start = time.monotonic()
            try:
                client.score("math", groups(1))
            except KeyboardInterrupt:
                print("interrupted", time.monotonic() - start < 5)
            """,
            target,
        )
    assert lines == ["interrupted True"]


# ---- services that die ---------------------------------------------------------------------------


def test_calls_of_a_service_that_is_killed_go_to_another() -> None:
    async def main(first: subprocess.Popen[str], target: str) -> list[list[Score | ScoreError]]:
        async with RewardClient(target) as client:
            groups = [[Group(Example(), [Response(str(i))])] for i in range(20)]
            calls = [asyncio.create_task(client.score("math", group)) for group in groups]
            await asyncio.sleep(0.15)
            assert not any(call.done() for call in calls)
            first.kill()
            return [scores[0] for scores in await asyncio.gather(*calls)]

    with server(0.3) as second:
        command = [sys.executable, SERVER, "0.3"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
            assert first.stdout is not None
            try:
                target = f"{first.stdout.readline().strip()},{second}"
                answers = asyncio.run(main(first, target))
            finally:
                first.kill()
    assert answers == [[Score(float(i))] for i in range(20)]


# ---- what an import costs ------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["client", "client.sync_client", "integrations.trl"])
def test_importing_the_client_loads_the_base_install_alone(module: str) -> None:
    lines = run(
        f"""
        import rewardplane.{module}
        print(*sorted(name for name in sys.modules if "." not in name))
        """
    )
    loaded = set(lines[-1].split())
    assert not loaded & {"ray", "pydantic", "prometheus_client", "numpy", "torch", "yaml", "uvloop"}
    # gRPC looks for its own extras, whether we need them or not.
    third_party = {name for name in loaded if not name.startswith(("_", "grpc_"))} - set(
        sys.stdlib_module_names
    )
    assert third_party <= {"rewardplane", "grpc", "google", "cython_runtime", "typing_extensions"}


def test_importing_the_client_starts_nothing() -> None:
    lines = run("print(threading.active_count(), len(os.listdir('/proc/self/task')))")
    assert lines == ["1 1"]
