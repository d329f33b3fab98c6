"""`rewardplane check`: what models take of their cards, and what their self-tests find."""

from __future__ import annotations

import asyncio

from rewardplane.config.load import ServiceConfig
from rewardplane.config.models import ModelConfig
from rewardplane.config.replicas import shown
from rewardplane.models.engine import EngineFailed
from rewardplane.models.fit import UnknownWeights, fit_of
from rewardplane.models.loading import load_model
from rewardplane.models.self_test import Check, self_test
from rich.console import Console
from rich.table import Table


def models(config: ServiceConfig, out: Console, *, loads: bool) -> bool:
    """Prints what is found of each model; whether all can be served. `loads`: tests them too."""
    if not config.models:
        return True
    table = Table("model", "runs", "head", "digest", "replicas", "memory of one")
    good = True
    for name, model in config.models.items():
        s = model.settings
        memory = ""
        try:
            fit = fit_of(model)
        except (UnknownWeights, OSError, ValueError) as error:
            memory, good = str(error), False
        else:
            if fit is not None:
                memory, good = str(fit), good and fit.fits
        table.add_row(name, s.runs, s.head, model.digest, shown(s.replicas), memory)
    out.print(table)
    used = {model.name for model in config.asked_models()}
    for name in config.models.keys() - used:
        out.print(f"{name}: no reward asks it; it is not served", style="yellow", markup=False)
    if loads:
        for name, model in config.models.items():
            good = _report(name, asyncio.run(_tested(model)), out) and good
    return good


async def _tested(model: ModelConfig) -> list[Check]:
    try:
        loaded = await load_model(model)
    except EngineFailed as error:
        return [Check("load", str(error), fault=True)]
    try:
        return [
            Check("load", _told(loaded.model.facts)),
            *await self_test(model, loaded.inner),
        ]
    finally:
        await loaded.close()


def _told(facts: object) -> str:
    names = ("engine", "engine_version", "dtype", "read", "weights_digest", "fingerprint")
    known = [(name, getattr(facts, name)) for name in names]
    return ", ".join(f"{name} {value}" for name, value in known if value)


def _report(name: str, checks: list[Check], out: Console) -> bool:
    for check in checks:
        mark = "REFUSED" if check.fault else "ok"
        style = "red" if check.fault else "green"
        out.print(f"{name}: {mark}: {check.name}: {check.found}", style=style, markup=False)
    return not any(check.fault for check in checks)
