"""Methods from descriptors: the four kinds of rpc, and what is missing or malformed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from google.protobuf import descriptor_pb2, wrappers_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.wrappers_pb2 import StringValue

from api.lane.client import Channel
from api.lane.server import Call, Server
from api.lane.service import service_methods
from api.lane.status import Code, RpcError
from api.lane.wire import Framed, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.descriptor import ServiceDescriptor

KINDS = {
    "GetOne": (False, False),
    "ListAll": (False, True),
    "SumUp": (True, False),
    "TalkBack": (True, True),
    "GetL7Thing": (False, False),
}


def service() -> ServiceDescriptor:
    """Build `service a.b.Words` over StringValue in a pool of its own."""
    pool = DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    proto = descriptor_pb2.FileDescriptorProto(
        name="a/b.proto", package="a.b", dependency=["google/protobuf/wrappers.proto"]
    )
    words = proto.service.add(name="Words")
    for name, (from_client, from_server) in KINDS.items():
        words.method.add(
            name=name,
            input_type=".google.protobuf.StringValue",
            output_type=".google.protobuf.StringValue",
            client_streaming=from_client,
            server_streaming=from_server,
        )
    pool.Add(proto)
    return pool.FindServiceByName("a.b.Words")


class Words:
    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def get_one(self, _call: Call, request: StringValue) -> StringValue:
        return StringValue(value=request.value.upper())

    async def list_all(self, _call: Call, request: StringValue) -> AsyncIterator[Framed]:
        try:
            for word in request.value.split():
                yield Framed(frame(StringValue(value=word).SerializeToString()), 1)
        finally:
            self.closed.set()

    async def sum_up(self, _call: Call, requests: AsyncIterator[StringValue]) -> StringValue:
        return StringValue(value=" ".join([request.value async for request in requests]))

    async def talk_back(
        self, _call: Call, requests: AsyncIterator[StringValue]
    ) -> AsyncIterator[Framed]:
        async for request in requests:
            yield Framed(frame(StringValue(value=request.value[::-1]).SerializeToString()), 1)


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
async def channel(words: Words) -> AsyncIterator[Channel]:
    server = Server(service_methods(service(), words))
    channel = Channel(await server.listen("127.0.0.1:0"))
    yield channel
    await channel.close()
    await server.stop(0)


async def test_unary(channel: Channel) -> None:
    answer = await channel.unary("/a.b.Words/GetOne", StringValue(value="ab"), StringValue)
    assert answer.value == "AB"


async def stream(channel: Channel, name: str, request: bytes) -> list[str]:
    found: list[str] = []
    async with channel.server_stream(f"/a.b.Words/{name}", request) as answer:
        async for batch in answer.batches():
            found += [StringValue.FromString(data).value for data in batch]
    return found


async def test_streams(channel: Channel, words: Words) -> None:
    request = StringValue(value="x yy z").SerializeToString()
    assert await stream(channel, "ListAll", request) == ["x", "yy", "z"]
    assert words.closed.is_set()
    assert await stream(channel, "SumUp", request) == ["x yy z"]
    assert await stream(channel, "TalkBack", request) == ["z yy x"]


async def test_what_is_not_implemented(channel: Channel) -> None:
    with pytest.raises(RpcError, match="Unimplemented desc = method GetL7Thing not implemented"):
        await channel.unary("/a.b.Words/GetL7Thing", StringValue(), StringValue)
    with pytest.raises(RpcError, match=r"unknown method X for service a\.b\.Words"):
        await channel.unary("/a.b.Words/X", StringValue(), StringValue)


@pytest.mark.parametrize("name", ["GetOne", "ListAll", "SumUp", "TalkBack"])
async def test_a_request_that_is_no_message(channel: Channel, name: str) -> None:
    with pytest.raises(RpcError, match="error unmarshalling request") as caught:
        await stream(channel, name, b"\xff\xff")
    assert caught.value.code is Code.INTERNAL


async def test_a_stream_without_a_request(words: Words) -> None:
    methods = service_methods(service(), words)

    class NothingSent(Call):
        def __init__(self) -> None:
            pass

        async def receive(self) -> bytes | None:
            return None

    with pytest.raises(RpcError, match="received no request message"):
        await methods["/a.b.Words/GetOne"](NothingSent())


async def test_a_generator_is_closed_when_the_client_leaves(words: Words) -> None:
    waiting = asyncio.Event()

    class Slow(Words):
        async def list_all(self, _call: Call, request: StringValue) -> AsyncIterator[Framed]:
            try:
                yield Framed(frame(b""), 1)
                waiting.set()
                await asyncio.Event().wait()
            finally:
                self.closed.set()

    slow = Slow()
    server = Server(service_methods(service(), slow))
    channel = Channel(await server.listen("127.0.0.1:0"))
    async with channel.server_stream("/a.b.Words/ListAll", b"") as answer:
        assert await anext(answer.batches()) == [b""]
        await asyncio.wait_for(waiting.wait(), 5)
    await asyncio.wait_for(slow.closed.wait(), 5)
    await channel.close()
    await server.stop(0)
