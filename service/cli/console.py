"""What the commands share: the consoles, their options, tables, and how they fail."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rewardplane.config.load import RewardConfig, ServiceConfig
from rewardplane.config.replicas import plain, shown
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    help="Rewards for reinforcement-learning fine-tuning, as a service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
# In a pipe or a file nothing is cut to the width of a terminal that is not there.
_WIDE = 1000
OUT = Console(width=None if sys.stdout.isatty() else _WIDE)
ERR = Console(stderr=True, width=None if sys.stderr.isatty() else _WIDE)

File = Annotated[Path, typer.Argument(help="The rewards, as YAML.")]
Target = Annotated[str, typer.Option(envvar="REWARDPLANE_TARGET", help="HOST:PORT of the service.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="The gRPC port.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
DEFAULT_TARGET = "127.0.0.1:50051"


def rewards_table(config: ServiceConfig) -> Table:
    """What is served, for a terminal."""
    table = table_of("reward", "version", "digest", "kind", "lane", "replicas", "components")
    for reward in config.rewards.values():
        row = reward_json(reward)
        if reward.scaling is not None:
            row["replicas"] = shown(reward.scaling)
        cells = (", ".join(v) if isinstance(v, list) else str(v) for v in row.values())
        table.add_row(*cells)
    return table


def reward_json(reward: RewardConfig) -> dict[str, str | int | list[str] | dict[str, Any]]:
    """A reward as plain data."""
    settings, runs = reward.settings, reward.lane != "composite"
    return {
        "reward": reward.name,
        "version": settings.version,
        "digest": reward.digest,
        "kind": settings.kind,
        "lane": reward.lane,
        "replicas": plain(reward.scaling or reward.replicas) if runs else 0,
        "components": list(reward.facts.component_names),
    }


def table_of(*columns: str) -> Table:
    """An empty table of these columns."""
    table = Table()
    for column in columns:
        # A digest that is cut is worth nothing: what has no room goes on in the next line.
        table.add_column(column, overflow="fold", min_width=8 if column else None)
    return table


def print_json(value: object) -> None:
    """Prints a value for programs."""
    typer.echo(json.dumps(value, indent=2))


def tell(text: str) -> None:
    """Says what is waited for."""
    ERR.print(f"{text} …", style="dim", markup=False, soft_wrap=True)


def fail(error: Exception | str) -> NoReturn:
    """Says what is wrong, and ends with 1."""
    ERR.print(_told(error), style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)


def _told(error: Exception | str) -> str:
    """An error in words; one of the operating system with the file that it is about."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    name = error.filename
    told = f"{name}: {error.strerror}" if name else error.strerror
    if isinstance(name, str) and error.errno == errno.ENOENT and not Path(name).parent.exists():
        told += f" (there is no folder {str(Path(name).parent)!r}: make it first)"
    return told
