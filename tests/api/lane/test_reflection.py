"""Reflection, in both versions, and as grpcio's client of it sees us."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool

from api.lane.client import Channel
from api.lane.reflection import reflection_methods
from api.lane.server import Server
from api.lane.status import Code, RpcError
from api.proto.flow import flow_pb2
from api.proto.health import health_pb2
from api.proto.observer import observer_pb2
from api.proto.reflection.v1 import reflection_pb2 as pb
from api.proto.reflection.v1alpha import reflection_pb2 as alpha_pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.descriptor import ServiceDescriptor

OLD = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
NEW = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
SERVICES = [
    "e.Extended",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "observer.Observer",
]


def extended() -> ServiceDescriptor:
    """Build a service with an extended message, in a pool of its own."""
    file = descriptor_pb2.FileDescriptorProto(name="e.proto", package="e")
    message = file.message_type.add(name="M")
    message.extension_range.add(start=100, end=200)
    for number in (150, 101):
        file.extension.add(name=f"x{number}", number=number, label=1, type=5, extendee=".e.M")
    service = file.service.add(name="Extended")
    service.method.add(name="Do", input_type=".e.M", output_type=".e.M")
    pool = DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName("e.Extended")


@pytest.fixture
async def address() -> AsyncIterator[str]:
    services = (
        observer_pb2.DESCRIPTOR.services_by_name["Observer"],
        health_pb2.DESCRIPTOR.services_by_name["Health"],
        extended(),
    )
    server = Server(reflection_methods(services))
    yield await server.listen("127.0.0.1:0")
    await server.stop(0)


@pytest.fixture
async def channel(address: str) -> AsyncIterator[Channel]:
    channel = Channel(address)
    yield channel
    await channel.close()


async def ask(
    channel: Channel, *requests: pb.ServerReflectionRequest, path: str = NEW
) -> list[pb.ServerReflectionResponse]:
    """Ask all in one call, each after the answer to the one before."""
    answers: list[pb.ServerReflectionResponse] = []
    async with channel.talk(path, timeout_s=10) as call:
        batches = call.batches()
        for request in requests:
            await call.send(request)
            (data,) = await anext(batches)
            answers.append(pb.ServerReflectionResponse.FromString(data))
        call.end_requests()
        with pytest.raises(StopAsyncIteration):
            await anext(batches)
    return answers


def files(answer: pb.ServerReflectionResponse) -> list[str]:
    found = answer.file_descriptor_response.file_descriptor_proto
    return [descriptor_pb2.FileDescriptorProto.FromString(data).name for data in found]


@pytest.mark.parametrize("path", [OLD, NEW])
async def test_services(channel: Channel, path: str) -> None:
    request = pb.ServerReflectionRequest(host="me", list_services="*")
    (answer,) = await ask(channel, request, path=path)
    assert [service.name for service in answer.list_services_response.service] == SERVICES
    assert (answer.valid_host, answer.original_request) == ("me", request)


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("observer.Observer", "observer/observer.proto"),
        ("observer.Observer.GetFlows", "observer/observer.proto"),
        ("flow.Flow", "flow/flow.proto"),
        ("flow.Flow.time", "flow/flow.proto"),
        ("flow.Verdict", "flow/flow.proto"),
        ("flow.DROPPED", "flow/flow.proto"),
        ("relay.NodeStatusEvent", "relay/relay.proto"),
        ("google.protobuf.Timestamp", "google/protobuf/timestamp.proto"),
        ("grpc.health.v1.Health", "grpc/health/v1/health.proto"),
        ("grpc.reflection.v1.ErrorResponse", "grpc/reflection/v1/reflection.proto"),
        ("e.x101", "e.proto"),
    ],
)
async def test_symbols(channel: Channel, symbol: str, file: str) -> None:
    (answer,) = await ask(channel, pb.ServerReflectionRequest(file_containing_symbol=symbol))
    assert files(answer)[0] == file


async def test_a_file_comes_with_what_it_imports_once_per_call(channel: Channel) -> None:
    asked = pb.ServerReflectionRequest(file_by_filename="observer/observer.proto")
    then = pb.ServerReflectionRequest(file_by_filename="flow/flow.proto")
    first, second, third = await ask(channel, asked, then, asked)
    assert files(first)[0] == "observer/observer.proto"
    assert sorted(files(first)[1:]) == [
        "flow/flow.proto",
        "google/protobuf/any.proto",
        "google/protobuf/field_mask.proto",
        "google/protobuf/timestamp.proto",
        "google/protobuf/wrappers.proto",
        "relay/relay.proto",
    ]
    assert (files(second), files(third)) == (["flow/flow.proto"], ["observer/observer.proto"])
    assert first.file_descriptor_response.file_descriptor_proto[0] == (
        observer_pb2.DESCRIPTOR.serialized_pb
    )


async def test_extensions(channel: Channel) -> None:
    wanted = pb.ExtensionRequest(containing_type="e.M", extension_number=150)
    numbers, file, none = await ask(
        channel,
        pb.ServerReflectionRequest(all_extension_numbers_of_type="e.M"),
        pb.ServerReflectionRequest(file_containing_extension=wanted),
        pb.ServerReflectionRequest(all_extension_numbers_of_type="flow.Flow"),
    )
    assert numbers.all_extension_numbers_response.base_type_name == "e.M"
    assert list(numbers.all_extension_numbers_response.extension_number) == [101, 150]
    assert files(file) == ["e.proto"]
    assert none.HasField("all_extension_numbers_response")
    assert not none.all_extension_numbers_response.extension_number


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"file_by_filename": "x.proto"}, "file not found: x.proto"),
        ({"file_by_filename": ""}, "file not found: "),
        ({"file_containing_symbol": "flow.Nope"}, "symbol not found: flow.Nope"),
        (
            {"file_containing_symbol": "observer.Observer.X"},
            "symbol not found: observer.Observer.X",
        ),
        ({"file_containing_symbol": "."}, "symbol not found: ."),
        ({"all_extension_numbers_of_type": "e.N"}, "message not found: e.N"),
        (
            {"file_containing_extension": {"containing_type": "e.M", "extension_number": 7}},
            "extension not found: 7 of e.M",
        ),
    ],
)
async def test_what_is_not_there(channel: Channel, request_: dict[str, Any], text: str) -> None:
    request = pb.ServerReflectionRequest(**request_)
    answer, after = await ask(channel, request, pb.ServerReflectionRequest(list_services=""))
    error = answer.error_response
    assert (error.error_code, error.error_message) == (Code.NOT_FOUND, text)
    assert len(after.list_services_response.service) == len(SERVICES)


async def test_a_request_that_asks_for_nothing(channel: Channel) -> None:
    with pytest.raises(RpcError, match="asks for nothing") as caught:
        await ask(channel, pb.ServerReflectionRequest())
    assert caught.value.code is Code.INVALID_ARGUMENT


async def test_grpcios_client(address: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("reflection_client.py")),
        address,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 40)
    learned = json.loads(out)
    assert learned["services"] == SERVICES
    observer = observer_pb2.DESCRIPTOR.services_by_name["Observer"]
    assert learned["methods"] == [method.full_name for method in observer.methods]
    fields = flow_pb2.Flow.DESCRIPTOR.fields
    assert learned["flow"] == sorted([field.number, field.name] for field in fields)
    assert learned["files"] == ["observer/observer.proto", "flow/flow.proto"]
    assert learned["own"] == definitions(alpha_pb) == definitions(pb)


def definitions(module: Any) -> dict[str, list[list[object]]]:  # noqa: ANN401 - a module
    return {
        message.name: sorted(
            [
                field.number,
                field.name,
                field.type,
                field.is_repeated,
                field.containing_oneof.name if field.containing_oneof else "",
            ]
            for field in message.fields
        )
        for message in module.DESCRIPTOR.message_types_by_name.values()
    }
