"""Server reflection, v1 and v1alpha: what grpcurl and its like ask before they call.

One servicer of grpcio's answers both: v1 is v1alpha under another package name, message by message
(https://github.com/grpc/grpc-proto/blob/master/grpc/reflection/v1/reflection.proto).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import grpc
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default, DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

_OLD, _NEW = "v1alpha", "v1"
_SERVICES = tuple(f"grpc.reflection.{version}.ServerReflection" for version in (_OLD, _NEW))


def reflection_handlers(methods: Iterable[str]) -> Sequence[grpc.GenericRpcHandler]:
    """The handlers of both versions, for a `grpc.aio` server; they tell of these methods too."""
    services = {method.split("/")[1] for method in methods}
    servicer: Any = cast("Any", reflection).aio.ReflectionServicer(
        (*services, *_SERVICES), pool=_pool(services)
    )
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return [
        grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": handler})
        for service in _SERVICES
    ]


def _pool(services: Iterable[str]) -> DescriptorPool:
    """The files of these services and of reflection; v1 is in no installed package."""
    pool = DescriptorPool()
    known: Any = Default()
    seen: set[str] = set()
    for service in services:
        _add(pool, known.FindFileContainingSymbol(service), seen)
    _add(pool, reflection_pb2.DESCRIPTOR, seen)
    proto = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(proto)
    text = text_format.MessageToString(proto).replace(_OLD, _NEW)
    cast("Any", pool).Add(text_format.Parse(text, FileDescriptorProto()))
    return pool


def _add(pool: DescriptorPool, file: Any, seen: set[str]) -> None:
    """Adds a file after those that it imports."""
    if file.name in seen:
        return
    seen.add(file.name)
    for needed in file.dependencies:
        _add(pool, needed, seen)
    proto = FileDescriptorProto()
    file.CopyToProto(proto)
    cast("Any", pool).Add(proto)
