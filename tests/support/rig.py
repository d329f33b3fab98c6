"""The service in one process, without Ray: a real gRPC server over real worker processes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from rewardplane.access.gate import Gate
from rewardplane.config.load import RewardConfig, ServiceConfig, parse
from rewardplane.gateway.admission import Admission
from rewardplane.gateway.breath import at_once
from rewardplane.gateway.call import Call
from rewardplane.gateway.doors.door import DoorKind
from rewardplane.gateway.lane import PoolLane, ReplicaLost, Send
from rewardplane.gateway.local_replicas import LocalReplicas
from rewardplane.gateway.metrics import Metrics
from rewardplane.gateway.scorer import Scorer
from rewardplane.gateway.served import ServedReward, ServedRewards
from rewardplane.gateway.server import SERVICE, Server, Servicer
from rewardplane.gateway.validate import Validator
from rewardplane.replica.replica import Pool, worker_spec
from rewardplane.replica.worker_host import WorkerHost
from rewardplane.replica.worker_pool import ForkedWorkers
from rewardplane.rewards.types import Outcome, Reason, Score, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.messages import outcome_from

FOLDER = Path(__file__).parent / "functions"
_MAX_BYTES = ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)


def poison(name: str = "one", **settings: Any) -> dict[str, Any]:
    """The configuration of a function of `functions/poison.py`."""
    return {"kind": "python", "function": f"poison:{name}", **settings}


def configured(reward: Mapping[str, Any]) -> RewardConfig:
    """One reward, checked."""
    return parse({"rewards": {"it": dict(reward)}}, FOLDER).rewards["it"]


def groups_of(*groups: Iterable[str], log: Path | str = "", **references: str) -> list[pb.Group]:
    """Groups of responses with these texts."""
    if log:
        references["log"] = str(log)
    example = pb.Example(references=references)
    return [
        pb.Group(example=example, responses=[pb.Response(text=text) for text in texts])
        for texts in groups
    ]


def request_of(reward: str, *groups: Iterable[str], **more: Any) -> pb.ScoreRequest:
    """A request for groups of responses with these texts."""
    references = more.pop("references", {})
    return pb.ScoreRequest(reward=reward, groups=groups_of(*groups, **references), **more)


def executions(log: Path) -> Counter[str]:
    """How often each text was executed."""
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def reasons(outcomes: Iterable[Outcome]) -> Counter[str]:
    """How many outcomes there are of each kind; "SCORED" for a score."""
    return Counter(o.reason.name if isinstance(o, ScoreError) else "SCORED" for o in outcomes)


def rewards(outcomes: Iterable[Outcome]) -> list[float | str]:
    """The rewards, and the names of the reasons where there is none."""
    return [o.reward if isinstance(o, Score) else o.reason.name for o in outcomes]


def begin(scorer: Scorer, data: bytes) -> Call:
    """Begins a call without a pause, whose outcomes nobody asks for."""
    begun = scorer.begin(data, 60.0, "", lambda _call: None)
    return begun if isinstance(begun, Call) else at_once(begun)


# ---- one replica -----------------------------------------------------------------------------


class Linked:
    """A replica, and a gateway of its node that sends items to the replica's workers itself."""

    def __init__(self, config: RewardConfig, folder: Path, gateways: int = 1) -> None:
        self.replica = Pool(config)
        self._workers = ForkedWorkers(worker_spec(config))
        self.replica._make_workers = lambda _spec: self._workers  # type: ignore[method-assign]
        self.host = WorkerHost(self._workers)
        self.host.start(folder, config.fingerprint)
        self.gateways = [LocalReplicas(folder, config, _nobody) for _ in range(gateways)]
        self.run = self.gateways[0].send
        self.check_health = self.replica.check_health

    async def stop(self) -> None:
        """Ends the replica, then the gateways."""
        await self.host.drain(1.0)
        await self.replica.stop()
        await self._workers.close()
        for gateway in self.gateways:
            await gateway.close()


async def _nobody(_messages: Any, _backlog: Any) -> Any:
    raise ReplicaLost("there is no other replica")
    yield


LINKED = False
"""Whether `pool_of` makes replicas whose workers are used by links; a test module may set it."""


@asynccontextmanager
async def pool_of(reward: Mapping[str, Any]) -> AsyncIterator[Any]:
    """A replica of one reward."""
    with TemporaryDirectory() as folder:
        config = configured(reward)
        pool = Linked(config, Path(folder)) if LINKED else Pool(config)
        try:
            yield pool
        finally:
            await pool.stop()


Ran = tuple[list[Outcome], list[float]]
"""Outcomes in order, and for each when it came, in seconds from the start."""


async def run_timed(
    pool: Pool,
    groups: Sequence[pb.Group],
    *,
    timeout_s: float = 30.0,
    deadline_s: float = 60.0,
    start_s: float = 60.0,
    ranges: Sequence[tuple[int, int]] | None = None,
) -> Ran:
    """Runs a job; that each item is told exactly once is checked here."""
    n = sum(len(group.responses) for group in groups)
    wanted = [(0, n)] if ranges is None else ranges
    message = (
        [pb.ScoreRequest(groups=groups).SerializeToString()],
        n,
        wanted,
        timeout_s,
        deadline_s,
        start_s,
        "test",
        True,
    )
    told: dict[int, tuple[Outcome, float]] = {}
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    async for parts, _room, _restarts in pool.run([message], (0, 0.0)):
        for _job, part, _waited in parts:
            values = memoryview(part.rewards).cast("d")
            for index, state in enumerate(part.states):
                if state == 0:
                    continue
                assert index not in told, f"item {index} was told twice"
                extra = part.extras.get(index)
                if state == 2:
                    words = extra or ("", (), "")
                    outcome: Outcome = Score(values[index], {}, words[0], (), words[2])
                else:
                    assert state == 3
                    assert extra is not None
                    outcome = ScoreError(Reason(extra[0]), extra[1])
                told[index] = outcome, loop.time() - begin_s
    assert sorted(told) == [i for first, end in wanted for i in range(first, end)]
    return [told[i][0] for i in sorted(told)], [told[i][1] for i in sorted(told)]


async def run(pool: Pool, groups: Sequence[pb.Group], **options: Any) -> list[Outcome]:
    """Runs a job; its outcomes in order."""
    return (await run_timed(pool, groups, **options))[0]


# ---- the whole service -----------------------------------------------------------------------


class Rig:
    """A service on a port of its own."""

    def __init__(
        self,
        config: ServiceConfig,
        connect: Callable[[RewardConfig], Send] | None,
        door: DoorKind = DoorKind.NATIVE,
        gate: Gate | None = None,
    ) -> None:
        self.config = config
        self.gate = gate
        self.pools: dict[str, Pool] = {}
        self.metrics = Metrics()
        self.metrics.gate = gate
        self.admission = Admission(config.limits)

        def lane(served: ServedReward) -> PoolLane:
            if connect is not None:
                return PoolLane(served, connect(served.config))
            pool = self.pools[served.name] = Pool(served.config)

            def start(message: Any, on_part: Any, on_end: Any) -> Any:
                def ended(error: BaseException | None) -> None:
                    on_end(error, pool.take_figures())

                return pool.start_at_once(message, on_part, ended)

            return PoolLane(served, pool.run, start)

        self.rewards = ServedRewards(self.metrics.figures, lane)
        self.rewards.switch(config, 1)
        self.scorer = Scorer(self.rewards, self.admission, self.metrics)
        validator = Validator(self.scorer, self.metrics, config.limits)
        self.servicer = Servicer(self.scorer, validator, self.rewards, config.limits, self.metrics)
        self.server = Server(self.servicer, self.admission, config.limits, door, gate=gate)
        self.address = ""
        self.channel: grpc.aio.Channel

    async def __aenter__(self) -> Rig:
        port = await self.server.start("127.0.0.1", 0)
        self.server.tell_health(list(self.config.rewards))
        self.address = f"127.0.0.1:{port}"
        self.channel = grpc.aio.insecure_channel(self.address, options=_MAX_BYTES)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        await self.server.stop(1.0)
        for name in self.rewards.names():
            await self.rewards.find(name, "").pool.close()
        for pool in self.pools.values():
            await pool.stop()

    def call(self, method: str, request: Any, answer: Any, **options: Any) -> Any:
        """A unary call; `request` may be bytes."""
        made = self.channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=_serialize,
            response_deserializer=answer.FromString,
        )
        return made(request, **options)

    async def score(
        self, reward: str, *groups: Iterable[str], deadline_s: float = 60.0, **more: Any
    ) -> list[Outcome]:
        """The outcomes of groups of texts, in order, all groups in one list."""
        return flat(await self.answer(request_of(reward, *groups, **more), deadline_s))

    def answer(self, request: pb.ScoreRequest | bytes, deadline_s: float = 60.0) -> Any:
        """A `Score` call."""
        return self.call("Score", request, pb.ScoreResponse, timeout=deadline_s)

    def stream(self, request: pb.ScoreRequest, deadline_s: float = 60.0) -> Any:
        """A `StreamScores` call."""
        made = self.channel.unary_stream(
            f"/{SERVICE}/StreamScores",
            request_serializer=_serialize,
            response_deserializer=pb.StreamScoresResponse.FromString,
        )
        wrapped = pb.StreamScoresRequest(request=request)
        return made(wrapped, timeout=deadline_s)


def rig(
    rewards: Mapping[str, Mapping[str, Any]],
    limits: Mapping[str, Any] | None = None,
    connect: Callable[[RewardConfig], Send] | None = None,
    door: DoorKind = DoorKind.NATIVE,
    gate: Gate | None = None,
) -> Rig:
    """A service of these rewards."""
    document = {"rewards": {name: dict(reward) for name, reward in rewards.items()}}
    return Rig(parse({**document, "limits": dict(limits or {})}, FOLDER), connect, door, gate)


def flat(answer: pb.ScoreResponse) -> list[Outcome]:
    """The outcomes of all groups in order."""
    outcomes: list[Outcome] = []
    for group in answer.groups:
        names = answer.rewards[group.reward_index].component_names
        outcomes += [outcome_from(outcome, names) for outcome in group.outcomes]
    return outcomes


def _serialize(request: Any) -> bytes:
    return request if isinstance(request, bytes) else request.SerializeToString()
