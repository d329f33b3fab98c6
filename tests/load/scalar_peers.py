"""A scalar model as one serves it without us: `@serve.batch`, and FastAPI with fixed batches.

    python -m tests.load.scalar_peers serve|fastapi DIR PORT TEMP_DIR

Both tokenise and pad as transformers does by itself. `serve`: a Ray Serve deployment whose method
has `@serve.batch` with its defaults (10 requests, 10 ms), behind Serve's HTTP proxy, one item a
request. `fastapi`: one process on uvicorn, 16 items a request, one forward pass for them.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .servers import Tree, connected, python

BATCH = 16
IN_FLIGHT = {"serve": 256, "fastapi": 4}
START_S = 180.0
NAMES = {
    "serve": "`@serve.batch` with its defaults, HTTP",
    "fastapi": "FastAPI, fixed batches of 16, HTTP",
}

Peer = Callable[[Sequence[str]], Coroutine[Any, Any, float]]


class Plain:
    """The model as one writes it in ten minutes."""

    def __init__(self, folder: str) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        torch.set_num_threads(1)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def score(self, texts: Sequence[str]) -> list[float]:
        """One forward pass over all."""
        import torch

        chats = [
            [{"role": "user", "content": "a prompt a"}, {"role": "assistant", "content": text}]
            for text in texts
        ]
        batch = self._tokenizer.apply_chat_template(
            chats, return_tensors="pt", padding=True, return_dict=True
        )
        with torch.inference_mode():
            return self._model(**batch).logits[:, 0].tolist()


@contextmanager
def running(folder: str, *, peers: bool) -> Iterator[Mapping[str, Peer]]:
    """Both peers, started and warm: items a second by their names. None without `peers`."""
    if not peers:
        yield {}
        return
    trees: list[Tree] = []
    found: dict[str, Peer] = {}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for kind, name in NAMES.items():
                with socket.socket() as free:
                    free.bind(("127.0.0.1", 0))
                    port = free.getsockname()[1]
                argv = python("scalar_peers", kind, folder, str(port), scratch)
                threads = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
                trees.append(Tree(argv, threads, Path(scratch, f"{kind}.log")))
                found[name] = _peer(kind, port)
                _await_first(trees[-1], found[name], port)
            yield found
        finally:
            for tree in trees:
                tree.stop()


def _await_first(tree: Tree, peer: Peer, port: int) -> None:
    until_s = time.monotonic() + START_S
    while True:
        try:
            connected(port).close()
            asyncio.run(peer(["a", "b"] * BATCH))
        except Exception as error:
            if not tree.alive() or time.monotonic() > until_s:
                raise RuntimeError(f"a peer does not start: {tree.log_tail}") from error
            time.sleep(0.5)
        else:
            return


def _peer(kind: str, port: int) -> Peer:
    import aiohttp

    size = 1 if kind == "serve" else BATCH

    async def ask(texts: Sequence[str]) -> float:
        gate = asyncio.Semaphore(IN_FLIGHT[kind])
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT[kind])
        async with aiohttp.ClientSession(connector=connector) as session:

            async def one(part: Sequence[str]) -> None:
                async with (
                    gate,
                    session.post(f"http://127.0.0.1:{port}/", json={"texts": part}) as reply,
                ):
                    reply.raise_for_status()
                    assert len((await reply.json())["rewards"]) == len(part)

            begin_s = time.perf_counter()
            await asyncio.gather(*(one(texts[i : i + size]) for i in range(0, len(texts), size)))
            return len(texts) / (time.perf_counter() - begin_s)

    return ask


def _fastapi(folder: str, port: int) -> None:
    import uvicorn
    from fastapi import FastAPI

    app, model = FastAPI(), Plain(folder)

    @app.post("/")
    def score(call: dict[str, list[str]]) -> dict[str, list[float]]:
        return {"rewards": model.score(call["texts"])}

    uvicorn.run(app, port=port, access_log=False)


def _serve(folder: str, port: int, temp_dir: str) -> None:
    import logging
    import threading

    import ray
    from ray import serve
    from ray.serve.config import HTTPOptions
    from ray.serve.schema import LoggingConfig

    quiet = LoggingConfig(log_level="ERROR", enable_access_log=False)

    class Batched(Plain):
        @serve.batch
        async def batch(self, texts: list[str]) -> list[float]:
            return self.score(texts)

        async def __call__(self, request: Any) -> dict[str, list[float]]:
            (text,) = (await request.json())["texts"]
            return {"rewards": [await self.batch(text)]}

    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        object_store_memory=200_000_000,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=temp_dir,
    )
    http = HTTPOptions(host="127.0.0.1", port=port)
    serve.start(http_options=http, logging_config=quiet)
    deployment = serve.deployment(max_ongoing_requests=1_000, logging_config=quiet)(Batched)
    serve.run(deployment.bind(folder), name="batched", route_prefix="/")
    threading.Event().wait()


if __name__ == "__main__":
    kind, folder, port, scratch = sys.argv[1:]
    if kind == "serve":
        _serve(folder, int(port), scratch)
    else:
        _fastapi(folder, int(port))
