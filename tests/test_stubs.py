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
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from rewardplane.v1 import frame_pb2, reward_service_pb2

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
    files = {file.name: file for file in FileDescriptorSet.FromString(built).file}
    stubs = (frame_pb2.DESCRIPTOR, reward_service_pb2.DESCRIPTOR)
    assert set(files) == {stub.name for stub in stubs}
    for stub in stubs:
        fresh = files[stub.name]
        fresh.DiscardUnknownFields()  # buf's own remarks
        clear_json_names(fresh.message_type)  # buf writes them out, protoc leaves them derived
        assert FileDescriptorProto.FromString(stub.serialized_pb) == fresh


def test_a_frame_has_the_encoding_of_the_request() -> None:
    """Field for field: the same number and label; unparsed is what is a message there."""
    pairs = [
        (frame_pb2.RequestFrame, reward_service_pb2.ScoreRequest),
        (frame_pb2.GroupFrame, reward_service_pb2.Group),
        (frame_pb2.StreamRequestFrame, reward_service_pb2.StreamScoresRequest),
    ]
    for frame, request in pairs:
        mine, theirs = fields_of(frame), fields_of(request)
        assert set(mine) == set(theirs)
        for name, field in mine.items():
            other = theirs[name]
            assert (field.number, field.label) == (other.number, other.label), name
            unparsed = field.type == field.TYPE_BYTES and other.type == other.TYPE_MESSAGE
            assert unparsed or field.type == other.type, name


def fields_of(message: Any) -> dict[str, FieldDescriptorProto]:
    described = DescriptorProto()
    message.DESCRIPTOR.CopyToProto(described)
    return {field.name: field for field in described.field}


def clear_json_names(messages: Iterable[DescriptorProto]) -> None:
    for message in messages:
        for field in message.field:
            field.ClearField("json_name")
        clear_json_names(message.nested_type)
