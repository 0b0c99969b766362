"""Back-off, and calls that wait for a server."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.backoff import Backoff
from api.lane.client import Channel
from api.lane.dial import dial
from api.lane.limits import Limits
from api.lane.server import Server
from api.lane.status import Code, RpcError

if TYPE_CHECKING:
    from api.lane.dial import ClientConnection
    from tests.api.lane.conftest import Bed

FAST = Limits(backoff_first_s=0.005, backoff_max_s=0.02)


@pytest.mark.parametrize(
    ("random", "waits"),
    [
        (0.5, [1.0, 1.6, 2.56, 4.096, 6.5536, 10.48576]),
        (0.0, [0.8, 1.28, 2.048]),
        (1.0, [1.2, 1.92, 3.072]),
    ],
)
def test_waits_grow(random: float, waits: list[float]) -> None:
    backoff = Backoff(first_s=1.0, max_s=120.0, random=lambda: random)
    assert [backoff.failed() for _ in waits] == pytest.approx(waits)


def test_waits_end_at_the_longest_and_start_anew() -> None:
    backoff = Backoff(first_s=1.0, max_s=120.0, random=lambda: 1.0)
    waits = [backoff.failed() for _ in range(20)]
    assert waits[-1] == pytest.approx(144.0)
    backoff.succeeded()
    assert backoff.failed() == pytest.approx(1.2)


def free_address() -> str:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


class Dials:
    """Counts the dials of all channels, and tells the second failure."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.second_failed = asyncio.Event()
        monkeypatch.setattr("api.lane.connector.dial", self)

    async def __call__(self, *args: Any, **named: Any) -> ClientConnection:  # noqa: ANN401
        self.count += 1
        try:
            return await dial(*args, **named)
        except RpcError:
            if self.count >= 2:
                self.second_failed.set()
            raise


@pytest.fixture
def dials(monkeypatch: pytest.MonkeyPatch) -> Dials:
    return Dials(monkeypatch)


async def test_calls_wait_for_a_server(bed: Bed, dials: Dials) -> None:
    address = free_address()
    channel = Channel(address, limits=FAST)
    server = Server(bed.methods())
    sent = BytesValue(value=b"at last")
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        calls = [
            group.create_task(
                channel.unary("/test.Lane/Echo", sent, BytesValue, wait_for_ready=True)
            )
            for _ in range(10)
        ]
        await dials.second_failed.wait()
        with pytest.raises(RpcError, match="connection refused"):
            await channel.unary("/test.Lane/Echo", sent, BytesValue)
        await server.listen(address)
    assert [call.result() for call in calls] == [sent] * 10
    assert server.statistics().connections_total == 1
    await channel.close()
    await server.stop(0)


async def test_waiting_calls_share_the_pauses(dials: Dials) -> None:
    channel = Channel(free_address(), limits=Limits(backoff_first_s=60), random=lambda: 0.5)

    async def call() -> Code:
        with pytest.raises(RpcError) as caught:
            await channel.unary(
                "/a.B/C", BytesValue(), BytesValue, timeout_s=0.2, wait_for_ready=True
            )
        return caught.value.code

    codes = await asyncio.gather(*(call() for _ in range(10)))
    assert (codes, dials.count) == ([Code.DEADLINE_EXCEEDED] * 10, 1)
    await channel.close()


async def test_closing_wakes_those_who_wait(dials: Dials) -> None:
    channel = Channel(free_address(), limits=Limits(backoff_first_s=60))

    async def call() -> Code:
        with pytest.raises(RpcError) as caught:
            await channel.unary("/a.B/C", BytesValue(), BytesValue, wait_for_ready=True)
        return caught.value.code

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        waiting = group.create_task(call())
        while not dials.count:  # noqa: ASYNC110 - a dial that fails at once has no event
            await asyncio.sleep(0.001)
        await channel.close()
    assert waiting.result() is Code.CANCELLED


async def test_a_talk_waits_too(bed: Bed, dials: Dials) -> None:
    address = free_address()
    channel = Channel(address, limits=FAST)
    server = Server(bed.methods())

    async def talk() -> list[bytes]:
        async with channel.talk("/test.Lane/EchoEach", wait_for_ready=True) as call:
            await call.send(b"hello")
            return await anext(call.batches())

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        talking = group.create_task(talk())
        await dials.second_failed.wait()
        await server.listen(address)
    assert talking.result() == [b"hello"]
    await channel.close()
    await server.stop(0)
