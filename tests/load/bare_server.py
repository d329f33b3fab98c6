"""The limit to compare with: a bare `grpc.aio` server on uvloop that calls the function itself."""

from __future__ import annotations

import argparse
import asyncio
import signal

import grpc
import uvloop
from rewardplane.v1 import reward_service_pb2 as pb

from .scoring import METHOD, answer

OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_concurrent_streams", 100_000),
    ("grpc.so_reuseport", 0),
)


async def score(raw: bytes, _context: grpc.aio.ServicerContext) -> bytes:
    """Parses, scores and renders in the server's loop."""
    return answer(pb.ScoreRequest.FromString(raw)).SerializeToString()


async def serve(port: int) -> None:
    """Serves until SIGTERM."""
    server = grpc.aio.server(options=OPTIONS)
    service, method = METHOD.lstrip("/").split("/")
    handler = grpc.unary_unary_rpc_method_handler(score)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))
