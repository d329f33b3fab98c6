"""A campaign of faults on real Ray: processes are killed under load, and no item may be lost.

    python -m tests.load.faults [--scale 1.0] [--minutes 10] [--only replica,gateway,...]

Clients score all the time, each item a text of its own whose reward is known, and every
execution is written down. SIGKILL meets replicas (60), gateways (15), workers (30) and fork servers
(20); the configuration is reloaded (30 times, every other one broken); 5 % of 2,000 items in four
calls are poison. Services of their own lose a node (4 times), have a full disk and a full
/dev/shm (5), and a clock that jumps (10); see `hosts`: most of that is waiting, so it goes on
beside. While replicas are killed there are four of them, as a start takes longer than the time
between two kills. `--scale` makes all numbers smaller; a phase whose share of the minutes is over
ends early and says how far it came. Ends with 1 when an item was lost, doubled, wrong, or executed
more than twice (three times where a client had to send it again).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rewardplane.client.client import RewardClient
from rewardplane.rewards.types import Example, Group, Response, Score, ScoreError

from ..support.rig import FOLDER
from .hosts import Cramped, Jumping, Nodes, allowed
from .peer import Service

GROUP = 20
DEAD_S = 150.0
CLIENTS = 4
REPLICAS = 4
PAUSE_S = 0.02
"""How long a client rests between its calls: what was killed starts on the same few cores."""
CONFIG = """\
rewards:
  one: {{kind: python, function: "poison:one", python_path: [{folder}], replicas: {replicas},
        timeout_s: 2, memory_limit_mb: 1024, ray_actor_options: {{num_cpus: 0.2}},
        version: "{version}"}}
"""
POISON = [
    *("exit 3", "segfault", "abort", "allocate", "systemexit", "string", "nan", "infinite"),
    *("keyboard", "raise it", "none", "huge", "close", "closeall", "stray 8", "signal SIGKILL"),
    *("recurse", "hang", "thread", "shout 1"),
]
AGAIN = ("UNAVAILABLE", "QUEUE_TIMEOUT", "DEADLINE", "CANCELLED", "RATE_LIMITED")


@dataclass
class Tally:
    """What came of a phase."""

    name: str
    wanted: int
    done: int = 0
    items: int = 0
    lost: int = 0
    wrong: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    failed_calls: Counter[str] = field(default_factory=Counter)
    recovery_s: list[float] = field(default_factory=list)
    executions: Counter[int] = field(default_factory=Counter)
    said: str = ""
    took_s: float = 0.0

    @property
    def bad(self) -> bool:
        """Whether a promise was broken."""
        most = 3 if self.name == "gateway" else 2
        return bool(self.lost or self.wrong or max(self.executions, default=0) > most)

    def row(self) -> str:
        """One row of the table."""
        times = sorted(self.recovery_s)
        recovery = f"{statistics.median(times):.1f} / {times[-1]:.1f} s" if times else "-"
        reasons = " ".join(f"{n} {name}" for name, n in sorted(self.reasons.items()))
        calls = " ".join(f"{n} {name}" for name, n in sorted(self.failed_calls.items()))
        runs = " ".join(f"{n}x{times}" for times, n in sorted(self.executions.items()))
        return (
            f"| {self.name} | {self.done} of {self.wanted} | {self.items} | {self.lost} "
            f"| {self.wrong} | {runs or '-'} | {recovery} | {reasons or '-'} "
            f"| {calls or '-'} | {self.took_s:.0f} s | {self.said} |"
        )


HEADER = (
    "| phase | faults | items | lost | doubled or wrong | items x executions "
    "| recovery, median / longest | item errors | failed calls | took | |\n"
    "|---|---|--:|--:|--:|---|---|---|---|--:|---|"
)


async def _scored(tally: Tally, items: int) -> None:
    """Returns when so many items more have their outcomes."""
    wanted, until_s = tally.items + items, time.monotonic() + DEAD_S
    while tally.items < wanted:
        if time.monotonic() > until_s:
            raise RuntimeError(f"{tally.name}: nothing is scored any more; {tally.row()}")
        await asyncio.sleep(0.02)


ON_HOSTS = {"node", "disk", "clock"}
"""The phases with services of their own."""

Fault = Callable[[], Awaitable[float | None]]
"""Does a fault; when it struck, if not at once, in terms of `time.monotonic()`."""


class Campaign:
    """One service under load; `does` stands before each item's text."""

    def __init__(self, service: Service, seed: int, does: str = "") -> None:
        self._does = does
        self._service = service
        self._chance = random.Random(seed)
        self._next = self._version = self._reloads = 0
        self._log = service.home / "executions"

    # ---- load -----------------------------------------------------------------------------------

    def _texts(self, count: int) -> list[str]:
        self._next += count
        return [repr(i / 7) for i in range(self._next - count, self._next)]

    async def _load(self, client: RewardClient, tally: Tally, over: asyncio.Event) -> None:
        while not over.is_set():
            texts = self._texts(GROUP)
            example = Example(references={"log": str(self._log)})
            group = Group(example, [Response(self._does + text) for text in texts])
            try:
                (outcomes,) = await client.score("one", [group], timeout_s=90)
            except Exception as error:  # noqa: BLE001 - counted
                tally.failed_calls[type(error).__name__] += 1
                tally.lost += GROUP
                continue
            self._judge(tally, texts, list(outcomes))
            await asyncio.sleep(PAUSE_S)

    def _judge(self, tally: Tally, texts: list[str], outcomes: list[Score | ScoreError]) -> None:
        tally.items += len(texts)
        tally.lost += len(texts) - len(outcomes)
        for text, outcome in zip(texts, outcomes, strict=False):
            if isinstance(outcome, Score):
                tally.wrong += outcome.reward != float(text)
            else:
                tally.reasons[outcome.reason.name] += 1

    async def under_load(
        self, tally: Tally, seconds: float, fault: Fault, settle_s: float
    ) -> Tally:
        """Does a fault again and again, and measures how long nothing is scored after each."""
        self._log.unlink(missing_ok=True)
        over = asyncio.Event()
        start_s = time.monotonic()
        until_s = start_s + seconds
        async with RewardClient(self._service.address) as client, asyncio.TaskGroup() as loads:
            for _ in range(CLIENTS):
                loads.create_task(self._load(client, tally, over))
            try:
                while tally.done < tally.wanted and time.monotonic() < until_s:
                    await _scored(tally, 2 * GROUP)
                    begin_s = time.monotonic()
                    begin_s = await fault() or begin_s
                    tally.done += 1
                    await _scored(tally, 3 * CLIENTS * GROUP)
                    tally.recovery_s.append(time.monotonic() - begin_s)
                    await asyncio.sleep(settle_s)
            finally:
                over.set()
        tally.took_s = time.monotonic() - start_s
        if self._log.exists():
            counted = Counter(self._log.read_text().splitlines())
            tally.executions = Counter(counted.values())
        return tally

    # ---- faults ---------------------------------------------------------------------------------

    def _processes(self, wanted: Callable[[psutil.Process, str], bool]) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for process in self._service.running.processes():
            with suppress(psutil.Error):
                if wanted(process, " ".join(process.cmdline())):
                    found.append(process)
        return found

    async def kill(self, kind: str) -> None:
        """SIGKILL to one process of a kind."""

        def wanted(process: psutil.Process, line: str) -> bool:
            if kind == "gateway":
                return "ServeReplica:rewardplane-gateway" in line
            if kind == "replica":
                return _is_replica(process, line)
            is_fork_server = "fork_server_main" in line
            parent = process.parent()
            forked = parent is not None and "fork_server_main" in " ".join(parent.cmdline())
            return is_fork_server and forked is (kind == "worker")

        for _ in range(200):
            found = await asyncio.to_thread(self._processes, wanted)
            if found:
                with suppress(psutil.Error):
                    self._chance.choice(found).send_signal(signal.SIGKILL)
                    return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"there is no {kind}")

    async def settled(self, replicas: int) -> None:
        """Returns when so many replicas run, and none of an old version does."""
        for _ in range(300):
            if len(await asyncio.to_thread(self._processes, _is_replica)) == replicas:
                return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"there are not {replicas} replicas")

    async def reload(self) -> None:
        """A new version, or every other time a broken file, which must change nothing."""
        self._reloads += 1
        await self.serve(1, broken=self._reloads % 2 == 1)

    async def serve(self, replicas: int, *, broken: bool = False) -> None:
        """Has the service take up a new version with so many replicas, or refuse a broken file."""
        self._version += 1
        path = self._service.home / "rewards.yaml"
        text = CONFIG.format(folder=FOLDER, replicas=replicas, version=f"v{self._version}")
        path.write_text(text.replace("kind: python", "kind: pythn") if broken else text)
        command = [str(Path(sys.executable).with_name("rewardplane")), "reload"]
        command += ["--port", str(self._service.port)]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=200)
        if (done.returncode == 0) is broken:
            raise RuntimeError(f"reload ended with {done.returncode}: {done.stderr[-500:]!r}")

    async def poison(self, tally: Tally) -> Tally:
        """2,000 items in four calls, 5 % of them poison; the others as in a clean run."""
        total = tally.wanted
        texts = self._texts(total)
        poisoned = {i: POISON[i // 20 % len(POISON)] for i in range(7, total, 20)}
        sent = [poisoned.get(i, text) for i, text in enumerate(texts)]
        self._log.unlink(missing_ok=True)
        example = Example(references={"log": str(self._log)})

        async def call(client: RewardClient, part: list[str]) -> list[Score | ScoreError]:
            groups = [
                Group(example, [Response(text) for text in part[at : at + 10]])
                for at in range(0, len(part), 10)
            ]
            outcomes = await client.score("one", groups, timeout_s=120)
            return [outcome for group in outcomes for outcome in group]

        begin_s = time.monotonic()
        async with RewardClient(self._service.address) as client:
            quarter = -(-total // 40) * 10
            parts = [sent[at : at + quarter] for at in range(0, total, quarter)]
            outcomes = [
                o for part in await asyncio.gather(*(call(client, p) for p in parts)) for o in part
            ]
        tally.took_s = time.monotonic() - begin_s
        tally.recovery_s = [tally.took_s]
        tally.done = len(poisoned)
        tally.items = total
        for index, (text, outcome) in enumerate(zip(texts, outcomes, strict=True)):
            if index in poisoned:
                continue
            if isinstance(outcome, ScoreError):
                tally.lost += 1
                tally.reasons[outcome.reason.name] += 1
            else:
                tally.wrong += outcome.reward != float(text)
        bad = set(poisoned.values())
        counted = Counter(self._log.read_text().splitlines())
        tally.executions = Counter(n for text, n in counted.items() if text not in bad)
        tally.said = "of the clean items; equal to a clean run"
        return tally


async def run(service: Service, scale: float, minutes: float, only: set[str]) -> list[Tally]:
    """All phases."""
    campaign = Campaign(service, seed=1)
    share_s = 60 * minutes
    tallies: list[Tally] = []

    def times(count: int) -> int:
        return max(1, round(count * scale))

    for name, count, part, settle_s in (
        ("worker", 30, 0.1, 0.2),
        ("template", 20, 0.1, 0.5),
        ("replica", 60, 0.4, 0.2),
        ("gateway", 15, 0.25, 0.5),
    ):
        if name in only:
            if name == "replica":
                await campaign.serve(REPLICAS)
                await campaign.settled(REPLICAS)
            tally = Tally(name, times(count))

            async def fault(kind: str = name) -> None:
                await campaign.kill(kind)

            tallies.append(await campaign.under_load(tally, part * share_s, fault, settle_s))
            print(tallies[-1].row(), flush=True)
    if "reload" in only:
        tally = Tally("reload", times(30))
        tallies.append(await campaign.under_load(tally, 0.25 * share_s, campaign.reload, 0.2))
        print(tallies[-1].row(), flush=True)
    if "poison" in only:
        tallies.append(await campaign.poison(Tally("poison", max(80, times(2000)))))
        print(tallies[-1].row(), flush=True)
    return tallies


def _is_replica(process: psutil.Process, line: str) -> bool:
    """Whether it is one that has started: then it has a fork server."""
    return "ServeReplica:rewardplane-one" in line and any(
        "fork_server_main" in " ".join(child.cmdline()) for child in process.children()
    )


@contextmanager
def started(service: Service) -> Iterator[float]:
    """A running service, and the seconds that it took to come up."""
    begin_s = time.monotonic()
    service.start()
    try:
        yield time.monotonic() - begin_s
    except BaseException:
        print(service.running.log_tail, file=sys.stderr)
        raise
    finally:
        service.stop()


def on_hosts(scale: float, minutes: float, only: set[str]) -> Iterator[Tally]:
    """The phases that have a service of their own, those for which this user has the rights."""
    config = CONFIG.format(folder=FOLDER, replicas=2, version="v0")
    nodes = Nodes("nodes", config=config.replace("num_cpus: 0.2", "num_cpus: 0.8"))
    ahead = "; its clock is 10 days ahead" if nodes.clocks_differ else ""
    cramped, jumping = Cramped("cramped", config=config), Jumping("jumping", config=config)
    phases: list[tuple[str, Service, Fault, int, float, str]] = [
        ("node", nodes, nodes.lose, 4, 2.0, f"the second node's raylet{ahead}"),
        ("disk", cramped, cramped.fill, 5, 0.5, "full for 2 s: TMPDIR and /dev/shm"),
        ("clock", jumping, jumping.jump, 10, 1.0, "the wall clock, by hours and days"),
    ]
    for name, service, fault, count, settle_s, said in phases:
        if name not in only:
            continue
        tally = Tally(name, max(1, round(count * scale)), said=said)
        if name == "disk" and not allowed("--mount"):
            tally.said = "left out: it wants the right to mount"
            yield tally
            continue
        if name == "clock" and shutil.which("cc") is None:
            tally.said = "left out: it wants a C compiler"
            yield tally
            continue
        with started(service):
            # Of what is cheap, one replica has it all.
            campaign = Campaign(service, seed=2, does="sleep 0.004 " if name == "node" else "")
            yield asyncio.run(campaign.under_load(tally, 60 * minutes / 3, fault, settle_s))


def _beside(scale: float, minutes: float, only: set[str]) -> subprocess.Popen[str]:
    """Phases with services of their own, in a process of their own."""
    command = [sys.executable, "-m", "tests.load.faults", "--only", ",".join(only)]
    command += ["--scale", str(scale), "--minutes", str(minutes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main() -> None:
    """The command."""
    phases = ["worker", "template", "replica", "gateway", "reload", "poison"]
    phases += ["node", "disk", "clock"]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", default=",".join(phases))
    args = parser.parse_args()
    only = set(args.only.split(","))
    begin_s = time.monotonic()
    print(HEADER, flush=True)
    tallies: list[Tally] = []
    bad: list[str] = []
    if only <= ON_HOSTS:
        for tally in on_hosts(args.scale, 0.8 * args.minutes, only):
            tallies.append(tally)
            print(tally.row(), flush=True)
    else:
        beside = [
            _beside(args.scale, args.minutes, part & only)
            for part in ({"node"}, {"disk", "clock"})
            if part & only
        ]
        config = CONFIG.format(folder=FOLDER, replicas=2, version="v0")
        service = Service("service", config=config)
        with started(service) as up_s:
            left = args.minutes - up_s / 60
            tallies += asyncio.run(run(service, args.scale, left, only))
        for process in beside:
            told, _ = process.communicate(timeout=60 * args.minutes)
            lines = told.splitlines()[2:]
            print("\n".join(line for line in lines if line.startswith("| ")), flush=True)
            summary = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
            bad += summary.get("broken", ["a phase with a service of its own did not end"])
    bad += [tally.name for tally in tallies if tally.bad]
    print(json.dumps({"minutes": round((time.monotonic() - begin_s) / 60, 1), "broken": bad}))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
