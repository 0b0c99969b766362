"""Health: Check and Watch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from api.lane.client import Channel
from api.lane.health import Health
from api.lane.server import Server
from api.lane.service import service_methods
from api.lane.status import RpcError
from api.proto.health import health_pb2
from api.proto.health.health_pb2 import HealthCheckRequest, HealthCheckResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME = "hubble.server.Observer"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = (
    HealthCheckResponse.SERVING,
    HealthCheckResponse.NOT_SERVING,
    HealthCheckResponse.SERVICE_UNKNOWN,
)


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def channel(health: Health) -> AsyncIterator[Channel]:
    server = Server(service_methods(health_pb2.DESCRIPTOR.services_by_name["Health"], health))
    channel = Channel(await server.listen("127.0.0.1:0"))
    yield channel
    await channel.close()
    await server.stop(0)


async def check(channel: Channel, name: str) -> int:
    request = HealthCheckRequest(service=name)
    reply = await channel.unary("/grpc.health.v1.Health/Check", request, HealthCheckResponse)
    return reply.status


async def test_check(health: Health, channel: Channel) -> None:
    assert await check(channel, "") == SERVING
    health.set(NAME, True)
    assert await check(channel, NAME) == SERVING
    health.set(NAME, False)
    assert await check(channel, NAME) == NOT_SERVING
    with pytest.raises(RpcError, match="code = NotFound desc = unknown service"):
        await check(channel, "observer.Observer")


async def statuses(batches: AsyncIterator[list[bytes]]) -> AsyncIterator[int]:
    async for batch in batches:
        for data in batch:
            yield HealthCheckResponse.FromString(data).status


async def test_watch(health: Health, channel: Channel) -> None:
    request = HealthCheckRequest(service=NAME)
    async with (
        asyncio.timeout(10),
        channel.server_stream("/grpc.health.v1.Health/Watch", request) as call,
    ):
        told = statuses(call.batches())
        assert await anext(told) == SERVICE_UNKNOWN
        for serving, status in ((True, SERVING), (False, NOT_SERVING), (True, SERVING)):
            health.set("another", serving)
            health.set(NAME, serving)
            assert await anext(told) == status
        # What does not change is not told again: the next message is the next change.
        health.set(NAME, True)
        assert await check(channel, NAME) == SERVING
        health.set(NAME, False)
        assert await anext(told) == NOT_SERVING
        assert len(health._watchers) == 1
    while health._watchers:  # noqa: ASYNC110 - the server hears of the end a moment later
        await asyncio.sleep(0.001)


async def test_each_watcher_is_told(health: Health, channel: Channel) -> None:
    async def watch() -> list[int]:
        request = HealthCheckRequest(service="")
        async with channel.server_stream("/grpc.health.v1.Health/Watch", request) as call:
            told = statuses(call.batches())
            first = await anext(told)
            ready.release()
            return [first, await anext(told)]

    ready = asyncio.Semaphore(0)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        watches = [group.create_task(watch()) for _ in range(5)]
        for _ in watches:
            await ready.acquire()
        health.set("", False)
    assert [watch.result() for watch in watches] == [[SERVING, NOT_SERVING]] * 5
