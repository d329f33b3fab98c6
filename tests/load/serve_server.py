"""Ray Serve as a peer: its gRPC proxy, or HAProxy with direct ingress, by the environment's flags.

It starts a Ray cluster of its own, which ends with it. Ray is imported with the flags set: the
process that starts this one sets them, and every process of the cluster inherits them.
"""

from __future__ import annotations

import argparse
import logging
import signal
import threading

import ray
from ray import serve
from ray.serve.config import HTTPOptions, gRPCOptions
from ray.serve.schema import LoggingConfig
from rewardplane.v1 import reward_service_pb2 as pb

from .scoring import answer

SERVICER = "rewardplane.v1.reward_service_pb2_grpc.add_RewardServiceServicer_to_server"
QUIET = LoggingConfig(log_level="ERROR", enable_access_log=False)


class Exact:
    """The deployment: the same function as in every peer."""

    async def Score(self, request: pb.ScoreRequest) -> pb.ScoreResponse:  # noqa: N802 - the rpc's name
        """Scores in the replica's loop."""
        return answer(request)


def main() -> None:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--temp-dir", required=True)
    parser.add_argument("--replicas", type=int, default=2)
    args = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ray.init(
        address="local",
        num_cpus=args.replicas + 2,
        include_dashboard=False,
        object_store_memory=200_000_000,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=args.temp_dir,
    )
    serve.start(
        http_options=HTTPOptions(host="127.0.0.1", port=args.http_port),
        grpc_options=gRPCOptions(port=args.port, grpc_servicer_functions=[SERVICER]),
        logging_config=QUIET,
    )
    deployment = serve.deployment(
        num_replicas=args.replicas,
        max_ongoing_requests=10_000,
        ray_actor_options={"num_cpus": 0},
        logging_config=QUIET,
    )(Exact)
    serve.run(deployment.bind(), name="exact", route_prefix="/")
    stop.wait()
    ray.shutdown()


if __name__ == "__main__":
    main()
