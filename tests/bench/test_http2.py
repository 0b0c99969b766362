import asyncio
from collections.abc import AsyncIterator

import pytest

from api.lane.server import Call, Server
from api.lane.service import service_methods
from api.lane.status import Code, RpcError
from api.lane.wire import Framed, frame
from api.proto.observer import observer_pb2
from bench.errors import WrongAnswerError
from bench.framing import messages
from bench.http2 import RawConnection

PATH = "/observer.Observer/GetFlows"
SERVICE = observer_pb2.DESCRIPTOR.services_by_name["Observer"]


class Numbers:
    """Answers with `number` messages of `first` or 100 bytes each, 300 to a batch."""

    async def get_flows(
        self, call: Call, request: observer_pb2.GetFlowsRequest
    ) -> AsyncIterator[Framed]:
        if request.follow:
            raise RpcError(Code.INVALID_ARGUMENT, "first cannot be specified with follow")
        for start in range(0, request.number, 300):
            count = min(300, request.number - start)
            texts = (b"%0100d" % (start + i) for i in range(count))
            yield Framed(b"".join(map(frame, texts)), count)


@pytest.fixture
async def target() -> AsyncIterator[str]:
    server = Server(service_methods(SERVICE, Numbers()))
    yield await server.listen("127.0.0.1:0")
    await server.stop(0)


def ask(number: int, follow: bool = False) -> bytes:
    return observer_pb2.GetFlowsRequest(number=number, follow=follow).SerializeToString()


def read(target: str, *numbers: int) -> list[list[bytes]]:
    with RawConnection(target) as connection:
        return [list(messages(connection.call(PATH, ask(number)).data())) for number in numbers]


async def test_reads_every_message_in_order(target: str) -> None:
    [received] = await asyncio.to_thread(read, target, 65_535)
    assert received == [b"%0100d" % i for i in range(65_535)]


async def test_calls_follow_each_other_on_one_connection(target: str) -> None:
    received = await asyncio.to_thread(read, target, 3, 0, 5)
    assert [len(each) for each in received] == [3, 0, 5]


async def test_a_stream_beyond_the_window_goes_on(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.http2._WIDEST", 1 << 17)
    monkeypatch.setattr("bench.http2._REFILL_BYTES", 1 << 15)
    [received, again] = await asyncio.to_thread(read, target, 20_000, 20_000)
    assert len(received) == len(again) == 20_000


async def test_a_sink_takes_the_payloads(target: str) -> None:
    taken: list[memoryview] = []

    def call() -> list[memoryview]:
        with RawConnection(target) as connection:
            return connection.call(PATH, ask(1000), sink=taken.extend).payloads

    assert await asyncio.to_thread(call) == []
    assert len(list(messages(b"".join(taken)))) == 1000


async def test_a_status_is_an_error(target: str) -> None:
    def call() -> None:
        with RawConnection(target) as connection:
            connection.call(PATH, ask(1, follow=True))

    with pytest.raises(WrongAnswerError, match="first cannot be specified with follow"):
        await asyncio.to_thread(call)


async def test_a_dead_server_is_an_error(target: str) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    with pytest.raises((WrongAnswerError, ConnectionError)):
        await asyncio.to_thread(read, f"{host}:{port}", 1)
    server.close()
    await server.wait_closed()
    with pytest.raises(WrongAnswerError, match="connect to"):
        await asyncio.to_thread(read, f"{host}:{port}", 1)
