"""A lane server with methods that tests need, on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from ssl import SSLContext

import grpc
import pytest
import uvloop

from api.lane.limits import Limits
from api.lane.server import Call, Method, Server
from api.lane.status import Code, RpcError
from api.lane.wire import Framed, frame

BATCH_COUNT = 256


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each async test of this folder on asyncio's loop and on uvloop."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class Bed:
    """The methods of a test server, and what happened to them."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    produced: int = 0
    calls: list[Call] = field(default_factory=list)

    def methods(self) -> dict[str, Method]:
        return {
            "/test.Lane/Echo": self.echo,
            "/test.Lane/EchoEach": self.echo_each,
            "/test.Lane/Count": self.count,
            "/test.Lane/Endless": self.endless,
            "/test.Lane/Sleep": self.sleep,
            "/test.Lane/Fail": self.fail,
            "/test.Lane/FailLate": self.fail_late,
            "/test.Lane/Crash": self.crash,
            "/test.Lane/Metadata": self.metadata,
        }

    async def echo(self, call: Call) -> None:
        self.calls.append(call)
        request = await call.receive()
        assert request is not None
        await call.send(Framed(frame(request), 1))

    async def echo_each(self, call: Call) -> None:
        while (request := await call.receive()) is not None:
            await call.send(Framed(frame(request), 1))

    async def count(self, call: Call) -> None:
        """Send as many messages as the request says: their numbers in 4 bytes, padded to 300."""
        total = int(await call.receive() or b"0")
        for first in range(0, total, BATCH_COUNT):
            numbers = range(first, min(first + BATCH_COUNT, total))
            data = b"".join(frame(number.to_bytes(4, "big") + bytes(296)) for number in numbers)
            await call.send(Framed(data, len(numbers)))

    async def endless(self, call: Call) -> None:
        self.started.set()
        batch = Framed(frame(bytes(1000)) * BATCH_COUNT, BATCH_COUNT)
        try:
            while True:
                await call.send(batch)
                self.produced += BATCH_COUNT
        finally:
            self.stopped.set()

    async def sleep(self, call: Call) -> None:
        self.calls.append(call)
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()

    async def fail(self, call: Call) -> None:
        raise RpcError(
            Code.NOT_FOUND, "nö such → thing\n100%", b"\x08\x05", (("why-bin", b"\xff\x00"),)
        )

    async def fail_late(self, call: Call) -> None:
        await call.send(Framed(frame(b"one") + frame(b"two"), 2))
        raise RpcError(Code.RESOURCE_EXHAUSTED, "enough")

    async def crash(self, call: Call) -> None:
        raise LookupError("private detail")

    async def metadata(self, call: Call) -> None:
        call.set_initial_metadata((("first", "1"), ("first", "2"), ("raw-bin", b"\x00\xff")))
        call.set_trailing_metadata((("last", "z"), ("raw-bin", b"\x01"), ("raw-bin", b"")))
        await call.send(Framed(frame(repr(call.metadata).encode()), 1))


@pytest.fixture
def bed() -> Bed:
    return Bed()


Serve = Callable[..., Awaitable[tuple[Server, str]]]


@pytest.fixture
async def serve(bed: Bed) -> AsyncIterator[Serve]:
    """Start a server of the bed's methods: `server, address = await serve()`."""
    servers = []

    async def start(
        address: str = "127.0.0.1:0", *, limits: Limits | None = None, ssl: SSLContext | None = None
    ) -> tuple[Server, str]:
        chosen = limits or Limits(close_s=0.2)
        server = Server(bed.methods(), limits=chosen, initial_metadata=(("server-version", "9"),))
        servers.append(server)
        return server, await server.listen(address, ssl=ssl)

    yield start
    for server in servers:
        await server.stop(0)


Connect = Callable[..., grpc.Channel]


@pytest.fixture
def stub() -> Connect:
    """Give grpcio channels: `with stub(address, (option, value), ...) as channel`."""

    def connect(address: str, *options: tuple[str, object]) -> grpc.Channel:
        return grpc.insecure_channel(address, options=options)

    return connect
