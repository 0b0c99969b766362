"""Any bytes from a server: a call ends with its messages or an RpcError, and nothing is left.

Input: see tests.fuzz.wires. Two calls wait for answers, one takes messages, one takes frames.
"""

import asyncio
from collections.abc import Iterator

from api.lane.dial import ClientConnection
from api.lane.response import ResponseStream
from api.lane.status import RpcError
from api.lane.wire import frame
from tests.fuzz import wires
from tests.fuzz.sockets import LIMITS, feed, run

MOST_BYTES = wires.MOST_BYTES
ASK = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a.B/C"),
    (b":authority", b"x"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
]
ANSWER = ((":status", "200"), ("content-type", "application/grpc"), ("a-bin", "AAE"))
STATUS = (("grpc-status", "5"), ("grpc-message", "n%C3%B6"), ("grpc-status-details-bin", "CAU"))


def check(data: bytes) -> None:
    wire, piece_bytes = wires.wire_of(data)
    for pause in (False, True):
        run(_check(wires.pieces(wire, piece_bytes), pause=pause))


async def _check(pieces: list[bytes], *, pause: bool) -> None:
    connection = ClientConnection(LIMITS)

    async def connect() -> ClientConnection:
        await connection.ready()
        return connection

    asked = [frame(b"ask")]
    calls = [ResponseStream(connect, ASK, asked, timeout_s=None) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_ask(call, number)) for number, call in enumerate(calls)]
        await asyncio.sleep(0)
        transport = await feed(connection, pieces, pause=pause)
        assert all(task.done() for task in tasks)
    assert transport.ended
    assert connection.lost.is_set()
    assert len(transport.written) < 4096 + 40 * sum(map(len, pieces))


async def _ask(call: ResponseStream, number: int) -> None:
    try:
        async with call as answer:
            try:
                if number:
                    async for framed in answer.frames():
                        assert framed.count > 0
                else:
                    async for batch in answer.batches():
                        assert batch
            finally:
                for key, value in (*answer.initial_metadata, *answer.trailing_metadata):
                    assert isinstance(value, bytes if key.endswith("-bin") else str)
    except RpcError as error:
        assert isinstance(error.message, str)  # noqa: PT017 # refusing is one of two good ends


def seeds() -> Iterator[tuple[str, bytes]]:
    hello: list[wires.Frame] = [(wires.SETTINGS, 0, 0, b"")]
    answer: list[wires.Frame] = [
        (wires.HEADERS, 4, 1, wires.block(*ANSWER)),
        (wires.DATA, 0, 1, wires.MESSAGES[:7]),
        (wires.DATA, 0, 1, wires.MESSAGES[7:]),
        (wires.HEADERS, 5, 1, wires.block(*STATUS)),
    ]
    yield from wires.both_forms("an answer", hello + answer)
    yield from wires.both_forms("control", hello + wires.control_frames() + answer)
    only = wires.block(*ANSWER, *STATUS)
    yield from wires.both_forms("trailers only", [*hello, (wires.HEADERS, 5, 1, only)])
    reset = (wires.RESET, 0, 1, wires.number(7))
    yield from wires.both_forms("reset", [*hello, *answer[:2], reset, *answer[2:]])
    away = (wires.GOAWAY, 0, 0, wires.number(1) + wires.number(11) + b"too_many_pings")
    yield from wires.both_forms("goaway", [*hello, *answer[:2], away, *answer[2:]])
    early = [(wires.HEADERS, 4, 1, wires.block((":status", "103"))), *answer]
    yield from wires.both_forms("early hints", hello + early)
    html = wires.block((":status", "503"), ("content-type", "text/html"))
    yield from wires.both_forms(
        "http", [*hello, (wires.HEADERS, 4, 1, html), (wires.DATA, 1, 1, b"x")]
    )
    pushed = wires.number(2) + wires.block((":method", "GET"))
    yield from wires.both_forms("push", [*hello, (wires.PUSH, 4, 1, pushed)])
    none = struct_settings(3, 0)
    yield from wires.both_forms("no streams", [(wires.SETTINGS, 0, 0, none), *answer])


def struct_settings(key: int, value: int) -> bytes:
    return key.to_bytes(2, "big") + value.to_bytes(4, "big")
