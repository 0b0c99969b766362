"""Any bytes from a client: each call ends, nothing is left, and the pieces do not matter.

Input: see tests.fuzz.wires. The wire goes in twice, at once and in pieces: the server must count
the same calls and streams refused, or end the connection both times. (Then it may not have looked
at all that came in one piece with the reason.)
"""

from collections.abc import Iterator, Mapping

from api.lane.guard import Refusal
from api.lane.server import Call, Server
from api.lane.status import Code, RpcError
from api.lane.wire import PREFACE, Framed, frame
from tests.fuzz import wires
from tests.fuzz.sockets import LIMITS, feed, run

MOST_BYTES = wires.MOST_BYTES
REQUEST = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a.B/C"),
    (":authority", "x"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)


def check(data: bytes) -> None:
    wire, piece_bytes = wires.wire_of(data)
    run(_check(PREFACE + wire, piece_bytes))
    if data[:1] == b"\xff":
        run(_check(wire, piece_bytes))


async def _check(wire: bytes, piece_bytes: int) -> None:
    whole = await _serve([wire], pause=False)
    apart = await _serve(wires.pieces(wire, piece_bytes), pause=False)
    assert apart == whole
    await _serve(wires.pieces(wire, piece_bytes), pause=True)


async def _serve(pieces: list[bytes], *, pause: bool) -> tuple[int, Mapping[Refusal, int]] | None:
    """Give the calls and refusals; None if the server ended the connection."""
    server = Server({"/a.B/C": _echo, "/a.B/D": _fail}, limits=LIMITS)
    transport = await feed(server.new_connection(lambda _: None), pieces, pause=pause)
    statistics = server.statistics()
    assert (statistics.connections_open, statistics.calls_open) == (0, 0)
    assert transport.ended
    assert len(transport.written) < 4096 + 40 * sum(map(len, pieces))
    return None if transport.ended_early else (statistics.calls_total, statistics.refused)


async def _echo(call: Call) -> None:
    call.set_trailing_metadata((("seen", str(len(call.metadata))),))
    while (request := await call.receive()) is not None:
        await call.send(Framed(frame(request), 1))


async def _fail(call: Call) -> None:
    await call.receive()
    raise RpcError(Code.NOT_FOUND, "nö", b"\x08\x05", call.metadata)


def seeds() -> Iterator[tuple[str, bytes]]:
    head = wires.block(*REQUEST)
    hello: list[wires.Frame] = [(wires.SETTINGS, 0, 0, b"")]
    call: list[wires.Frame] = [
        (wires.HEADERS, 4, 1, head),
        (wires.DATA, 0, 1, wires.MESSAGES[:7]),
        (wires.DATA, 0, 1, wires.MESSAGES[7:]),
        (wires.DATA, 1, 1, b""),
    ]
    extra = wires.block(*REQUEST[:2], (":path", "/a.B/D"), *REQUEST[3:], ("a-bin", "AAE"))
    yield from wires.both_forms("a call", hello + call)
    yield from wires.both_forms("control", hello + wires.control_frames() + call)
    yield from wires.both_forms("a failure", [*hello, (wires.HEADERS, 5, 1, extra)])
    padded = b"\x03" + head + bytes(3)
    cut = [(wires.HEADERS, 8, 1, padded), (wires.CONTINUATION, 4, 1, b"")]
    yield from wires.both_forms("pads", [*hello, *cut, (wires.DATA, 9, 1, b"\2hello\0\0")])
    reset = [*call[:2], (wires.RESET, 0, 1, wires.number(8)), *call[1:]]
    yield from wires.both_forms("reset", hello + reset)
    timed = wires.block(*REQUEST, ("grpc-timeout", "1n"), ("grpc-encoding", "gzip"))
    squeezed = [(wires.HEADERS, 4, 1, timed), (wires.DATA, 1, 1, b"\1\0\0\0\1x")]
    yield from wires.both_forms("timed", hello + squeezed)
    many = [
        (wires.HEADERS, 5 - n % 2, n, wires.block(*REQUEST[:n])) for n in (1, 3, 5, 7, 9, 11, 13)
    ]
    yield from wires.both_forms("many", hello + many)
    away = [(wires.GOAWAY, 0, 0, wires.number(1) + wires.number(0) + b"bye")]
    yield from wires.both_forms("goaway", hello + call[:2] + away + call[2:])
    yield "no preface", b"\xff" + PREFACE[:20]
