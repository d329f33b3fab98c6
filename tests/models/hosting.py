"""A gateway over hosts of models in this process: the whole way but Ray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewardplane.config.load import RewardConfig, parse
from rewardplane.gateway.lane import Answers, ReplicaLost, Send
from rewardplane.models.engine import EngineFailed
from rewardplane.models.host import EngineGone, ModelHost, definition_of

from ..support.rig import FOLDER, Rig

STUB = {"runs": "python", "path": "stub_model:StubModel", "head": "scalar"}


class Hosts:
    """The hosts of a configuration's models, and how a gateway reaches them."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.config = parse(document, FOLDER)
        self.hosts = {name: ModelHost(model) for name, model in self.config.models.items()}
        self.rig = Rig(self.config, self.connect)

    async def __aenter__(self) -> Rig:
        for host in self.hosts.values():
            await host.start()
        return await self.rig.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await self.rig.__aexit__(*error)
        for host in self.hosts.values():
            await host.stop()

    def connect(self, config: RewardConfig) -> Send:
        """What carries jobs to the host of the reward's model."""
        assert config.model is not None
        host = self.hosts[config.model.name]

        async def send(messages: Any, backlog: tuple[int, float]) -> Answers:
            packed = [([b"".join(data)], *others) for data, *others in messages]
            self.rig.rewards.find(config.name, "").note_model(host.facts)
            try:
                async for answer in host.run(definition_of(config), packed, backlog):
                    yield answer
            except (EngineGone, EngineFailed) as error:
                raise ReplicaLost(str(error)) from None

        return send


def hosts(model: Mapping[str, Any], **rewards: Mapping[str, Any]) -> Hosts:
    """One model `m`, and rewards that ask it."""
    return Hosts(
        {"models": {"m": dict(model)}, "rewards": {k: dict(v) for k, v in rewards.items()}}
    )


RM = {"kind": "reward_model", "model": "m"}
