"""The commands: each parses its arguments, calls one function and says what came of it.

Those on rewards and data sets are in `data_commands`, of hosts in `host_commands`.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rewardplane.access.settings import AccessError
from rewardplane.config.load import ConfigError, ServiceConfig
from rewardplane.gateway.doors.door import DoorKind, DoorUnavailable
from rewardplane.gateway.tracing import TracesUnavailable
from rewardplane.host import logs
from rewardplane.host.logs import LogFormat, LogLevel
from rewardplane.wire.errors import CallError

from . import data_commands, host_commands
from .console import (
    DEFAULT_TARGET,
    ERR,
    OUT,
    File,
    Json,
    Port,
    Target,
    app,
    fail,
    print_json,
    rewards_table,
    table_of,
    tell,
)
from .credentials import Authorities, Certificate, Key, Tls, Token, credentials_of

__all__ = ["app", "data_commands", "host_commands"]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rewardplane {importlib.metadata.version('rewardplane')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which it is.")
    ] = False,
) -> None:
    """What stands before the command."""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to; made if need be.")] = Path(),
) -> None:
    """Write a commented rewards.yaml, a reward of your own and a sample that it scores."""
    from .starting import AlreadyThere, write

    try:
        written = write(folder)
    except (AlreadyThere, OSError) as error:
        fail(error)
    for path in written:
        OUT.print(f"wrote {path}", markup=False)
    there = "" if folder == Path() else f"cd {folder} && "
    OUT.print(
        f"next: {there}rewardplane score sample.jsonl --config rewards.yaml --reward math",
        markup=False,
    )


@app.command()
def serve(
    config: File,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Port = 50051,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Prometheus text over HTTP; 0: none.")
    ] = 9464,
    http_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The contracts of hosted services; 0: none.")
    ] = 0,
    ray: Annotated[
        bool, typer.Option(help="Replicas on Ray Serve; without, all on this machine.")
    ] = True,
    address: Annotated[str, typer.Option(help="A Ray cluster, or `local` to start one.")] = "local",
    gateways: Annotated[int, typer.Option(min=0, help="Nodes that run a gateway; 0: all.")] = 0,
    gateways_per_node: Annotated[
        int, typer.Option(min=1, help="Gateways that share the port on each node.")
    ] = 1,
    autoscaled: Annotated[
        bool, typer.Option("--autoscaled", help="A reload waits for nodes that may be added.")
    ] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="SIGTERM leaves the service on the cluster, for the next."),
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Reload when files change.")] = False,
    door: Annotated[
        DoorKind | None,
        typer.Option(
            help="Who speaks gRPC: `native` in Rust outside the GIL, `grpc` by grpcio, the default "
            "where the access file has TLS."
        ),
    ] = None,
    access: Annotated[
        Path | None, typer.Option(help="Who may call: TLS, tokens, quotas (docs/security.md).")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let other machines call that prove nothing.")
    ] = False,
    ui: Annotated[
        bool, typer.Option("--ui", help="A page to look at, on the HTTP port: /ui.")
    ] = False,
    traces: Annotated[
        bool,
        typer.Option("--traces", help="Trace calls by OpenTelemetry, as its OTEL_* variables say."),
    ] = False,
    log_format: Annotated[
        LogFormat, typer.Option(envvar=logs.FORMAT_ENV, help="Logs for people, or JSON lines.")
    ] = LogFormat.TEXT,
    log_level: Annotated[
        LogLevel, typer.Option(envvar=logs.LEVEL_ENV, help="What is logged.")
    ] = LogLevel.WARNING,
) -> None:
    """Serve rewards until SIGTERM; SIGHUP reloads the file."""
    from rewardplane.host.exposure import Exposed, guarded
    from rewardplane.host.options import Options
    from rewardplane.host.progress import DeployFailed
    from rewardplane.host.serving import PortTaken, Service
    from rewardplane.host.serving import serve as run
    from rewardplane.host.tracing import make_traces

    if not ray:
        meaningless = (
            ("--address", address != "local"),
            ("--gateways", gateways != 0),
            ("--gateways-per-node", gateways_per_node != 1),
            ("--autoscaled", autoscaled),
            ("--keep", keep),
        )
        if given := [name for name, is_given in meaningless if is_given]:
            fail(f"{', '.join(given)}: mean nothing with --no-ray, which is one process")
    if ui and not http_port:
        fail("--ui is on the HTTP port: say which, as in `--http-port 8080`")
    logs.choose(log_format, log_level)
    logs.to_stderr()

    def make(options: Options) -> Service:
        if not ray:
            from rewardplane.host.local import LocalService

            return LocalService(options)
        from rewardplane.cluster.cluster import Cluster

        return Cluster(options)

    log = logging.getLogger("rewardplane.serve")

    def told(text: str) -> None:
        if log_format is LogFormat.JSON:
            log.warning("%s", text)
        else:
            tell(text)

    def on_ready(service: Service, served: ServiceConfig) -> None:
        if not ray:  # else the gateways are processes of their own
            from rewardplane.replica.memory import collect_seldom

            collect_seldom()
        where = Counter(service.addresses())
        told = ", ".join(f"{at} ({n} gateways)" if n > 1 else at for at, n in where.items())
        last = gateways_per_node - 1
        told += "".join(
            f"; {what} on port {first}" + (f" to {first + last}" if last else "")
            for what, first in (("metrics", metrics_port), ("HTTP", http_port))
            if first
        )
        told += "; the page: /ui there" if ui else ""
        told = f"serving on {told}; door: {options.door}"
        if log_format is LogFormat.JSON:
            log.warning("%s", told)
        else:
            OUT.print(rewards_table(served))
        # In any form: it is what a script waits for.
        OUT.print(told, markup=False, soft_wrap=True)

    options = Options(
        host=host,
        port=port,
        metrics_port=metrics_port,
        http_port=http_port,
        address=address,
        gateways=gateways,
        gateways_per_node=gateways_per_node,
        autoscaled=autoscaled,
        keep=keep,
        access=str(access.resolve()) if access is not None else "",
        insecure=insecure,
        traces=traces,
        ui=ui,
    )
    try:
        options, remarks = guarded(options, door)
        if traces:
            make_traces().close()  # what is missing is told before anything is started
        for remark in remarks:
            ERR.print(remark, style="yellow", markup=False, soft_wrap=True)
        run(config, options, make, on_ready, told, watch=watch)
    except (
        AccessError,
        ConfigError,
        DeployFailed,
        DoorUnavailable,
        Exposed,
        PortTaken,
        TracesUnavailable,
    ) as error:
        fail(error)


@app.command("list")
def list_rewards(
    target: Target = DEFAULT_TARGET,
    as_json: Json = False,
    token_file: Token = None,
    ca_file: Authorities = None,
    certificate_file: Certificate = None,
    key_file: Key = None,
    tls: Tls = None,
) -> None:
    """List the rewards that a service serves."""
    from rewardplane.client.sync_client import SyncRewardClient

    from .reaching import NotThere, reach

    try:
        credentials = credentials_of(token_file, ca_file, certificate_file, key_file, tls)
        reach(target)
        with SyncRewardClient(target, credentials=credentials) as client:
            infos = client.list_rewards(timeout_s=10)
    except (CallError, NotThere, OSError, ValueError) as error:
        fail(error)
    rows = [
        {
            "reward": info.name,
            "version": info.version,
            "digest": info.digest,
            "kind": info.kind,
            "lane": info.lane,
            "components": list(info.component_names),
        }
        for info in infos
    ]
    if as_json:
        print_json(rows)
        return
    table = table_of("reward", "version", "digest", "kind", "lane", "components")
    for row in rows:
        table.add_row(*(", ".join(v) if isinstance(v, list) else v for v in row.values()))
    OUT.print(table)


@app.command()
def top(
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="Where a gateway's metrics are; once for each gateway."),
    ] = None,
    every_s: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Show one screen and end.")] = False,
) -> None:
    """Watch the rewards of a service: throughput, latency, errors, and the health of jobs."""
    from .top import NotScraped, watch

    try:
        watch(metrics or ["http://127.0.0.1:9464/metrics"], every_s, OUT, once=once)
    except NotScraped as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command()
def reload(port: Port = 50051) -> None:
    """Have the service on this machine read its file again."""
    from rewardplane.host.state import NotServing
    from rewardplane.host.state import reload as run

    try:
        state = run(port, tell)
    except NotServing as error:
        fail(error)
    if state.fault:
        fail(f"not reloaded, the old rewards go on being served:\n{state.fault}")
    for note in state.notes:
        OUT.print(note, markup=False, soft_wrap=True)
    OUT.print(
        f"reloaded {state.config}; changed: {', '.join(state.changed) or 'nothing'}",
        markup=False,
        soft_wrap=True,
    )


@app.command("new-token")
def new_token(
    caller: Annotated[str, typer.Argument(help="The caller's name.")],
) -> None:
    """Make a token: its line for the tokens file to stdout, the token itself to stderr."""
    from rewardplane.access.tokens import new_token as made

    try:
        token, line = made(caller)
    except ValueError as error:
        fail(error)
    typer.echo(line)
    typer.echo(token, err=True)


@app.command()
def demo(port: Port = 0) -> None:
    """Serve and score a sample of real model solutions on this machine."""
    from rewardplane.host.progress import DeployFailed

    from .demo import run

    try:
        passed = run(port, OUT)
    except (DeployFailed, CallError) as error:
        fail(error)
    if not passed:
        raise typer.Exit(1)
