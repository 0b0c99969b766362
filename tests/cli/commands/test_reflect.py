"""`hubble reflect` against servers with and without reflection, in this process."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from api.lane.reflection import reflection_methods
from api.lane.server import Server
from api.lane.service import service_methods
from api.lane.wire import Framed, frame
from api.proto.flow import flow_pb2
from api.proto.health import health_pb2
from api.proto.observer import observer_pb2
from api.proto.peer import peer_pb2
from api.proto.reflection.v1alpha import reflection_pb2
from api.proto.reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)
from cli.app import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from api.lane.call import Call, Method
    from tests.cli.conftest import Hubble, Screen


async def reflect(methods: Mapping[str, Method], screen: Screen) -> int:
    server = Server(methods)
    address = await server.listen("127.0.0.1:0")
    try:
        line = ["reflect", "--server", address]
        return await asyncio.to_thread(run, line, screen.surroundings())
    finally:
        await server.stop(0)


async def test_prints_the_files_of_services(screen: Screen) -> None:
    services = [
        observer_pb2.DESCRIPTOR.services_by_name["Observer"],
        peer_pb2.DESCRIPTOR.services_by_name["Peer"],
        health_pb2.DESCRIPTOR.services_by_name["Health"],
    ]
    assert await reflect(reflection_methods(services), screen) == 0
    files = {}
    for line in screen.out.splitlines():
        file = json_format.Parse(line, FileDescriptorProto())
        files[file.name] = file
        assert json.dumps(json.loads(line), separators=(",", ":")) == line
    for module in (observer_pb2, peer_pb2, flow_pb2):
        wanted = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(wanted)
        assert files[wanted.name] == wanted
    assert not any(name.startswith(("grpc/", "health/")) for name in files)
    assert len(files) == len(screen.out.splitlines()), "each file once"
    keys = list(json.loads(screen.out.splitlines()[0]))
    assert keys.index("dependency") < keys.index("message_type") < keys.index("syntax")


async def test_enums_are_numbers(screen: Screen) -> None:
    service = peer_pb2.DESCRIPTOR.services_by_name["Peer"]
    assert await reflect(reflection_methods([service]), screen) == 0
    (file,) = map(json.loads, screen.out.splitlines())
    zero = file["enum_type"][0]["value"][0]
    assert zero == {"name": "UNKNOWN", "number": 0}
    assert file["message_type"][1]["field"][0]["label"] == 1


async def test_a_server_without_reflection(hubble: Hubble, screen: Screen) -> None:
    line = ["reflect", "--server", hubble.address]
    assert await asyncio.to_thread(run, line, screen.surroundings()) == 1
    assert screen.err.startswith(
        "the server does not describe itself: rpc error: code = Unimplemented desc = "
    )


class Odd:
    """Answers as it was told to, then ends."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = answers

    async def server_reflection_info(
        self, _: Call, __: AsyncIterator[ServerReflectionRequest]
    ) -> AsyncIterator[Framed]:
        for answer in self.answers:
            yield Framed(frame(answer), 1)


ERROR = ServerReflectionResponse()
ERROR.error_response.error_message = "no"
LIST = ServerReflectionResponse()
LIST.list_services_response.service.add(name="a.B")


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ([], "the server ended its answers before all was told"),
        ([ERROR.SerializeToString()], "the server cannot describe itself: no"),
        ([LIST.SerializeToString()], "the server ended its answers before all was told"),
        ([b"\xff"], "rpc error: code = Internal desc = unreadable message"),
    ],
)
async def test_odd_answers(answers: list[bytes], text: str, screen: Screen) -> None:
    service = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
    assert await reflect(service_methods(service, Odd(*answers)), screen) == 1
    assert (screen.out, screen.err.startswith(text)) == ("", True)
