"""The manifests on several hosts, under load: nodes lost, changed one by one, a head killed.

    python -m tests.load.two_nodes [--only reload,worker,silent,rolling,head,blue_green]
                                   [--storage redis|rocksdb] [--keep]

Wants root, iproute2, dnsmasq and redis-server; makes no connection beyond the machine. Each host is
a set of namespaces with an address of its own (`network.py`), and runs what the RayCluster of
deploy/ with the component `redis` (or `rocksdb`) runs: its commands, environment, user and
read-only root, completed as KubeRay completes them (`pods.py`). Trainers call the headless
Service's name with RewardClient, without a pause, texts whose rewards are known. A row for each
event: calls and items, calls that failed, items without or with a wrong score, the longest call,
the longest time without an answer, and the seconds in which less than half as many calls as before
were answered. Ends with 1 when a call failed or an item was lost or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from rewardplane.client.client import RewardClient
from rewardplane.client.endpoint import Credentials
from rewardplane.rewards.types import Example, Group, Response, Score
from rewardplane.wire.errors import CallError

from ..support.rendered import DEPLOY, overlaid
from .network import OUTSIDE, Network, alone
from .pods import Names, Pod, RayCluster

SERVICE = "rewardplane.rewardplane.svc.cluster.local"
TARGET = f"dns:///{SERVICE}:50051"
CALLERS = 4
ITEMS = 16
PAUSE_S = 0.1
CALL_S = 300.0
"""RewardClient's own default: how long it tries."""
CALM_S = 6.0
EVENTS = ("reload", "worker", "silent", "rolling", "head", "blue_green")
REWARDS: dict[str, Any] = {
    "rewards": {"math": {"kind": "math", "replicas": 2, "ray_actor_options": {"num_cpus": 0.5}}}
}


# ---- the trainers ------------------------------------------------------------------------------


async def trainer(client: RewardClient, rank: int, out: Any) -> None:
    """Scores without an end; a line for each call."""
    call = 0
    while True:
        call += 1
        wanted = [float((call + i) % 3 > 0) for i in range(ITEMS)]
        golds = [f"{rank}{call:06d}{i:02d}" for i in range(ITEMS)]
        groups = [
            Group(Example(references={"answer": gold}), [Response(f"A: {gold if w else 7}")])
            for gold, w in zip(golds, wanted, strict=True)
        ]
        line: dict[str, Any] = {"begin_s": time.monotonic(), "fault": ""}
        try:
            scores = await client.score("math", groups, timeout_s=CALL_S)
            found = [outcome for group in scores for outcome in group]
            line["lost"] = ITEMS - sum(isinstance(o, Score) for o in found)
            line["wrong"] = sum(
                isinstance(o, Score) and o.reward != w for o, w in zip(found, wanted, strict=True)
            )
        except CallError as error:
            line |= {"fault": str(error)[:300], "lost": ITEMS, "wrong": 0}
        line["end_s"] = time.monotonic()
        out.write(json.dumps(line) + "\n")
        out.flush()
        await asyncio.sleep(PAUSE_S)


async def load(file: str, token_file: str) -> None:
    """All trainers of this process; until it is ended."""
    credentials = Credentials(token_file=token_file, tls=False)
    with Path(file).open("w") as out:  # noqa: ASYNC230 - a file of this machine
        async with RewardClient(TARGET, credentials=credentials) as client:
            await asyncio.gather(*(trainer(client, rank, out) for rank in range(CALLERS)))


# ---- what came of it ---------------------------------------------------------------------------


@dataclass
class Row:
    """What the trainers saw of one event."""

    event: str
    calls: int
    failed: int
    lost: int
    wrong: int
    longest_s: float
    silence_s: float
    degraded_s: int
    took_s: float
    note: str

    @property
    def bad(self) -> bool:
        """Whether something was lost."""
        return bool(self.failed or self.lost or self.wrong or not self.calls)

    def told(self) -> str:
        """One row of a Markdown table."""
        return (
            f"| {self.event} | {self.calls} | {self.calls * ITEMS} | {self.failed} | {self.lost} "
            f"| {self.wrong} | {self.longest_s:.1f} | {self.silence_s:.1f} | {self.degraded_s} "
            f"| {self.took_s:.0f} | {self.note} |"
        )


HEADER = (
    "| event | calls | items | calls failed | items lost | wrong | longest call, s "
    "| longest without an answer, s | seconds below half | took, s | |\n|" + "---|" * 11
)


def seen(lines: list[dict[str, Any]], event: str, begin_s: float, end_s: float, note: str) -> Row:
    """What the trainers saw between two times; `lines` in the order of their ends."""
    calm = [x["end_s"] for x in lines if begin_s - CALM_S <= x["end_s"] < begin_s]
    usual = len(calm) / CALM_S
    within = [x for x in lines if begin_s <= x["end_s"] <= end_s]
    ends = [begin_s, *(x["end_s"] for x in within), end_s]
    seconds = [0] * max(1, math.floor(end_s - begin_s))
    for line in within:
        second = int(line["end_s"] - begin_s)
        if second < len(seconds):
            seconds[second] += 1
    return Row(
        event,
        len(within),
        sum(bool(x["fault"]) for x in within),
        sum(x["lost"] for x in within),
        sum(x["wrong"] for x in within),
        max((x["end_s"] - x["begin_s"] for x in within), default=math.inf),
        max(b - a for a, b in itertools.pairwise(ends)),
        sum(count < usual / 2 for count in seconds),
        end_s - begin_s,
        note,
    )


# ---- the events --------------------------------------------------------------------------------


class Campaign:
    """The hosts, the trainers, and what is done to them."""

    def __init__(self, network: Network, folder: Path, storage: str) -> None:
        self.network, self.folder = network, folder
        self.files = folder / "files"
        self._write_files()
        self.spec = cluster_spec(storage)
        self.blue = RayCluster(network, self.spec, "rewardplane", self.files)
        self.names = Names(network, [self.blue], SERVICE)
        self.calls = folder / "calls.jsonl"
        self.rows: list[Row] = []
        self._trainers: subprocess.Popen[bytes] | None = None

    def _write_files(self) -> None:
        config, access = self.files / "config", self.files / "access"
        for path in (config, access):
            path.mkdir(parents=True)
        (config / "head.sh").write_text((DEPLOY / "base" / "head.sh").read_text())
        (config / "rewards.yaml").write_text(yaml.safe_dump(REWARDS))
        token = hashlib.sha256(os.urandom(16)).hexdigest()
        (self.folder / "token").write_text(token)
        hashed = hashlib.sha256(token.encode()).hexdigest()
        (access / "tokens").write_text(f"{hashed} trainers\n")
        (access / "access.yaml").write_text("tokens_file: tokens\n")

    def start(self) -> None:
        """Head, two workers, trainers."""
        self.names.start()
        begin_s = time.monotonic()
        self._bring_up(self.blue, 2)
        say(f"three pods ready after {time.monotonic() - begin_s:.0f} s")
        command = [sys.executable, "-m", "tests.load.two_nodes", "--load", str(self.calls)]
        self._trainers = subprocess.Popen([*command, str(self.folder / "token")])
        self._calm()

    def _bring_up(self, cluster: RayCluster, workers: int) -> list[Pod]:
        pods = [cluster.start("head")]
        pods += [cluster.start("pool") for _ in range(workers)]
        cluster.wait_ready(*pods)
        return pods

    def stop(self) -> None:
        """Ends the trainers and the names; the hosts end with the network."""
        if self._trainers is not None:
            self._trainers.terminate()
            self._trainers.wait()
        self.names.done.set()
        self.names.join()

    def lines(self) -> list[dict[str, Any]]:
        """The calls so far, by their ends."""
        if not self.calls.exists():
            return []
        text = self.calls.read_text()
        whole = text[: text.rfind("\n") + 1]
        return sorted((json.loads(x) for x in whole.splitlines()), key=lambda x: x["end_s"])

    def _calm(self) -> None:
        """Until the trainers have been answered steadily for some seconds."""
        until_s = time.monotonic() + 120
        while time.monotonic() < until_s:
            time.sleep(1)
            now_s = time.monotonic()
            recent = [x["end_s"] for x in self.lines() if x["end_s"] > now_s - CALM_S]
            if len({int(now_s - t) for t in recent}) >= CALM_S:
                return
        raise AssertionError("the trainers are not answered steadily")

    def event(self, name: str, act: Callable[[], str]) -> None:
        """Does something, waits until all is calm again, and adds a row."""
        self._calm()
        begin_s = time.monotonic()
        note = act()
        self._calm()
        # Calls that were under way when it ended count to it.
        end_s = time.monotonic()
        row = seen(self.lines(), name, begin_s, end_s, note)
        self.rows.append(row)
        say(row.told())

    @property
    def head(self) -> Pod:
        """The head pod that serves."""
        return [p for p in self.blue.pods if p.group == "head" and not p.ending][-1]

    @property
    def workers(self) -> list[Pod]:
        """The worker pods that run."""
        return [p for p in self.blue.pods if p.group != "head" and not p.ending]

    def reload(self) -> str:
        """Another version of the reward: `rewardplane reload` in the head pod."""
        changed = {**REWARDS["rewards"]["math"], "version": str(time.monotonic())}
        text = yaml.safe_dump({"rewards": {"math": changed}})
        (self.files / "config" / "rewards.yaml").write_text(text)
        told = self.head.host.run(["rewardplane", "reload"])
        assert told.returncode == 0, told.stderr
        return " ".join(told.stdout.split())

    def worker(self) -> str:
        """A worker's process 1 is killed; KubeRay makes another pod."""
        lost = self.workers[0]
        lost.ending, lost.ready = True, False
        lost.host.kill()
        new = self.blue.start("pool")
        self.blue.wait_ready(new)
        return f"the new pod was ready after {new.ready_s - new.host.begun_s:.0f} s"

    def silent(self) -> str:
        """A worker's network is gone, and nobody is told; after a while there is another pod."""
        lost = max(self.workers, key=replicas_on)
        there = replicas_on(lost)
        lost.host.unplug()
        until_s = time.monotonic() + 120
        while lost.ready and time.monotonic() < until_s:
            time.sleep(0.2)
        lost.ending = True
        new = self.blue.start("pool")
        self.blue.wait_ready(new)
        return f"{there} of 2 replicas were there"

    def rolling(self) -> str:
        """Every node is changed, one after another, the head last: SIGTERM, then another pod.

        It is what `kubectl drain` does, by the disruption budgets: no pod goes before the one that
        came in the place of the last is ready.
        """
        took: list[float] = []
        for old in [*self.workers, self.head]:
            took.append(self.blue.end(old))
            self.blue.wait_ready(self.blue.start(old.group))
        return f"seconds until the old pods had ended: {', '.join(f'{t:.0f}' for t in took)}"

    def kill_head(self) -> str:
        """The head's process 1 is killed; the next head has another address."""
        lost = self.head
        lost.ending, lost.ready = True, False
        lost.host.kill()
        new = self.blue.start("head")
        self.blue.wait_ready(new)
        return f"the new head was ready after {new.ready_s - new.host.begun_s:.0f} s"

    def blue_green(self) -> str:
        """A second cluster comes up beside, the Service selects it, the first one ends."""
        green = RayCluster(self.network, self.spec, "green", self.files)
        self.names.clusters.append(green)
        self._bring_up(green, 1)
        self.names.select = [green]
        time.sleep(1)
        old = [*self.workers, self.head]
        for pod in old:
            self.blue.end(pod)
        self.blue = green
        return "the first cluster ended pod by pod once the Service selected the second"


def replicas_on(pod: Pod) -> int:
    """How many replicas of the reward a pod holds."""
    found = 0
    for process in psutil.Process(pod.host.first).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found += "ServeReplica:rewardplane-math" in " ".join(process.cmdline())
    return found


def cluster_spec(storage: str = "redis") -> dict[str, Any]:
    """The RayCluster of deploy/base with the component redis, or another that keeps its state."""
    made = overlaid(DEPLOY / "base", DEPLOY / storage)
    (found,) = [o for o in made if o["kind"] == "RayCluster"]
    return found["spec"]


def say(text: str) -> None:
    """One line, at once."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def campaign(only: list[str], storage: str, *, keep: bool) -> int:
    """Runs it; 1 where something was lost."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="rewardplane-nodes-"))
        folder.chmod(0o755)
        if not keep:
            stack.callback(subprocess.run, ["rm", "-rf", str(folder)], check=False)
        network = stack.enter_context(Network(folder))
        redis = ["redis-server", "--bind", OUTSIDE, "--port", "6379", "--save", "", "--dir"]
        with (folder / "redis.log").open("wb") as log:
            server = subprocess.Popen(
                [*redis, str(folder), "--requirepass", "secret"], stdout=log, stderr=log
            )
        stack.callback(server.terminate)
        run = Campaign(network, folder, storage)
        stack.callback(run.stop)
        say(f"logs: {folder}")
        run.start()
        acts: dict[str, Callable[[], str]] = {
            "reload": run.reload,
            "worker": run.worker,
            "silent": run.silent,
            "rolling": run.rolling,
            "head": run.kill_head,
            "blue_green": run.blue_green,
        }
        for name in EVENTS:
            if name in only:
                run.event(name, acts[name])
        calm = [x["end_s"] - x["begin_s"] for x in run.lines()]
        print(HEADER, *(row.told() for row in run.rows), sep="\n")
        print(f"{len(calm)} calls in all, median {1000 * statistics.median(calm):.0f} ms")
        return int(any(row.bad for row in run.rows) or any(x["fault"] for x in run.lines()))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default=",".join(EVENTS))
    parser.add_argument("--storage", choices=("redis", "rocksdb"), default="redis")
    parser.add_argument("--keep", action="store_true", help="keep the logs of all hosts")
    parser.add_argument("--load", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.load:
        asyncio.run(load(*args.load))
        return
    alone("tests.load.two_nodes")
    sys.exit(campaign(args.only.split(","), args.storage, keep=args.keep))


if __name__ == "__main__":
    main()
