"""The checked-in stubs are those of the .proto files, and run on the versions that we promise.

`make lint` makes the stubs anew and compares every byte; that takes the network, these take none.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from rewardplane.v1 import reward_service_pb2

ROOT = Path(__file__).parents[1]
STUBS = ROOT / "proto" / "rewardplane" / "v1"


def floor(distribution: str) -> str:
    """The lowest version of a base dependency that pyproject.toml admits."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    floors = dict(requirement.split(">=") for requirement in project["dependencies"])
    return floors[distribution]


def test_the_stubs_run_on_the_lowest_grpc_that_is_promised() -> None:
    text = (STUBS / "reward_service_pb2_grpc.py").read_text()
    assert re.findall(r"GRPC_GENERATED_VERSION = '(.*)'", text) == [floor("grpcio")]
    generator = (ROOT / "proto" / "generate.py").read_text()
    assert re.findall(r'GRPC_TOOLS_VERSION = "(.*)"', generator) == [floor("grpcio")]


def test_the_stubs_run_on_the_lowest_protobuf_that_is_promised() -> None:
    text = (STUBS / "reward_service_pb2.py").read_text()
    assert re.findall(r"Protobuf Python Version: (.*)", text) == [floor("protobuf")]


def test_the_stubs_are_of_the_proto_as_it_is() -> None:
    buf = Path(sys.executable).with_name("buf")
    command = [buf, "build", "proto", "--exclude-source-info", "--exclude-imports", "-o", "-"]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    (fresh,) = FileDescriptorSet.FromString(built).file
    stub = FileDescriptorProto.FromString(reward_service_pb2.DESCRIPTOR.serialized_pb)
    fresh.DiscardUnknownFields()  # buf's own remarks
    clear_json_names(fresh.message_type)  # buf writes them out, protoc leaves them to be derived
    assert stub == fresh


def clear_json_names(messages: Iterable[DescriptorProto]) -> None:
    for message in messages:
        for field in message.field:
            field.ClearField("json_name")
        clear_json_names(message.nested_type)
