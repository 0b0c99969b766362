"""grpcio, an independent client, against our server."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, cast

import grpc
import pytest

from api.lane.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.api.lane.conftest import Bed, Connect, Serve

Status = tuple[grpc.StatusCode, str | None]
Pair = tuple[object, ...]
UNLIMITED = ("grpc.max_receive_message_length", -1)


def same(data: bytes) -> bytes:
    return data


def unary(channel: grpc.Channel, name: str) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(f"/test.Lane/{name}", same, same)


def stream(channel: grpc.Channel, name: str) -> grpc.UnaryStreamMultiCallable[bytes, bytes]:
    return channel.unary_stream(f"/test.Lane/{name}", same, same)


def pairs(metadata: Iterable[object]) -> list[Pair]:
    return [tuple(cast("Iterable[object]", pair)) for pair in metadata]


def status_of(work: Callable[[], object]) -> Status:
    with pytest.raises(grpc.RpcError) as caught:
        work()
    return caught.value.code(), caught.value.details()


async def test_unary(serve: Serve, stub: Connect) -> None:
    _, address = await serve()

    def work() -> list[bytes]:
        with stub(address) as channel:
            return [unary(channel, "Echo")(data) for data in (b"", b"a", b"b" * 100_000)]

    assert await asyncio.to_thread(work) == [b"", b"a", b"b" * 100_000]


async def test_metadata_binary_and_repeated(serve: Serve, stub: Connect) -> None:
    _, address = await serve()
    sent = (("k", "v 1"), ("k", "w"), ("a-bin", b"\x00\xff"), ("a-bin", b""), ("a-bin", b"ab"))

    def work() -> tuple[bytes, list[Pair], list[Pair]]:
        with stub(address) as channel:
            answer, call = unary(channel, "Metadata").with_call(b"", metadata=sent)
            return answer, pairs(call.initial_metadata()), pairs(call.trailing_metadata())

    answer, initial, trailing = await asyncio.to_thread(work)
    assert answer == repr(sent).encode()
    assert initial == [
        ("server-version", "9"),
        ("first", "1"),
        ("first", "2"),
        ("raw-bin", b"\x00\xff"),
    ]
    assert trailing == [
        ("last", "z"), ("raw-bin", b"\x01"), ("raw-bin", b""),
    ]  # fmt: skip


async def test_65k_messages_in_order(serve: Serve, stub: Connect) -> None:
    server, address = await serve()

    def work() -> list[int]:
        # Without this option grpcio takes ten times as long, in a thread of its own.
        with stub(address, ("grpc.experimental.single_threaded_unary_stream", 1)) as channel:
            return [int.from_bytes(each[:4], "big") for each in stream(channel, "Count")(b"65535")]

    assert await asyncio.to_thread(work) == list(range(65_535))
    assert server.statistics().messages_sent == 65_535


async def test_bidirectional(serve: Serve, stub: Connect) -> None:
    _, address = await serve()

    def work() -> list[bytes]:
        with stub(address) as channel:
            requests: Iterator[bytes] = iter([b"1", b"", b"333"])
            return list(channel.stream_stream("/test.Lane/EchoEach", same, same)(requests))

    assert await asyncio.to_thread(work) == [b"1", b"", b"333"]


async def test_errors(serve: Serve, stub: Connect) -> None:
    _, address = await serve()

    def work() -> tuple[list[Pair], list[Status]]:
        with stub(address) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                unary(channel, "Fail")(b"")
            trailing = pairs(caught.value.trailing_metadata())
            names = ("Crash", "Nope", "Fail")
            states = [status_of(partial(unary(channel, name), b"")) for name in names]
            other = status_of(lambda: channel.unary_unary("/test.Other/X", same, same)(b""))
            return trailing, [*states, other]

    trailing, (crash, nope, fail, other) = await asyncio.to_thread(work)
    assert crash == (grpc.StatusCode.UNKNOWN, "internal error")
    assert nope == (grpc.StatusCode.UNIMPLEMENTED, "unknown method Nope for service test.Lane")
    assert other == (grpc.StatusCode.UNIMPLEMENTED, "unknown service test.Other")
    assert fail == (grpc.StatusCode.NOT_FOUND, "nö such → thing\n100%")
    assert ("why-bin", b"\xff\x00") in trailing
    assert ("grpc-status-details-bin", b"\x08\x05") in trailing


async def test_error_after_messages(serve: Serve, stub: Connect) -> None:
    _, address = await serve()

    def work() -> tuple[list[bytes], Status]:
        with stub(address) as channel:
            answers: list[bytes] = []
            return answers, status_of(lambda: answers.extend(stream(channel, "FailLate")(b"")))

    answers, status = await asyncio.to_thread(work)
    assert answers == [b"one", b"two"]
    assert status == (grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


async def test_cancel_stops_the_handler(serve: Serve, stub: Connect, bed: Bed) -> None:
    _, address = await serve()

    def work() -> None:
        with stub(address) as channel:
            call = stream(channel, "Endless")(b"")
            for _ in range(1000):
                next(iter(call))
            call.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs leaves it so

    await asyncio.to_thread(work)
    await asyncio.wait_for(bed.stopped.wait(), 5)


async def test_disconnect_stops_the_handler(serve: Serve, stub: Connect, bed: Bed) -> None:
    _, address = await serve()
    channel = stub(address)
    call = stream(channel, "Sleep")(b"")
    await asyncio.wait_for(bed.started.wait(), 5)
    await asyncio.to_thread(channel.close)
    await asyncio.wait_for(bed.stopped.wait(), 5)
    assert call.code() is grpc.StatusCode.CANCELLED


async def test_deadline(serve: Serve, stub: Connect, bed: Bed) -> None:
    _, address = await serve()

    def work() -> Status:
        with stub(address) as channel:
            return status_of(lambda: unary(channel, "Sleep")(b"", timeout=0.2))

    assert (await asyncio.to_thread(work))[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(bed.stopped.wait(), 5)
    assert bed.calls[0].deadline is not None
    assert bed.calls[0].deadline < asyncio.get_running_loop().time() + 0.2


async def test_message_limits_both_ways(serve: Serve, stub: Connect) -> None:
    limits = Limits(max_message_bytes=1 << 20, stream_window_bytes=1 << 16, close_s=0.2)
    _, address = await serve(limits=limits)

    def work() -> tuple[int, Status]:
        with stub(address, UNLIMITED) as channel:
            whole = unary(channel, "Echo")(bytes(1 << 20))
            return len(whole), status_of(lambda: unary(channel, "Echo")(bytes((1 << 20) + 1)))

    size, status = await asyncio.to_thread(work)
    assert size == 1 << 20
    text = "grpc: received message larger than max (1048577 vs. 1048576)"
    assert status == (grpc.StatusCode.RESOURCE_EXHAUSTED, text)


async def test_compression_is_unimplemented(serve: Serve, stub: Connect) -> None:
    _, address = await serve()

    def work() -> Status:
        with stub(address) as channel:
            gzip = grpc.Compression.Gzip
            return status_of(lambda: unary(channel, "Echo")(b"a" * 5000, compression=gzip))

    text = 'grpc: Decompressor is not installed for grpc-encoding "gzip"'
    assert await asyncio.to_thread(work) == (grpc.StatusCode.UNIMPLEMENTED, text)


async def test_unix_socket(serve: Serve, stub: Connect, bed: Bed, tmp_path: Path) -> None:
    _, address = await serve(f"unix://{tmp_path}/lane.sock")

    def work() -> bytes:
        with stub(address) as channel:
            return unary(channel, "Echo")(b"by file")

    assert await asyncio.to_thread(work) == b"by file"
    assert bed.calls[0].peer == "unix:"


async def test_stop_ends_calls_after_the_grace(serve: Serve, stub: Connect, bed: Bed) -> None:
    server, address = await serve()

    def work() -> Status:
        with stub(address) as channel:
            return status_of(lambda: unary(channel, "Sleep")(b""))

    client = asyncio.get_running_loop().run_in_executor(None, work)
    await asyncio.wait_for(bed.started.wait(), 5)
    await server.stop(0.05)
    assert await client == (grpc.StatusCode.UNAVAILABLE, "server is shutting down")
    assert bed.stopped.is_set()


async def test_stop_lets_a_call_end_in_peace(serve: Serve, stub: Connect, bed: Bed) -> None:
    server, address = await serve()

    def work() -> int:
        with stub(address) as channel:
            answers = stream(channel, "Count")(b"20000")
            first = next(iter(answers))
            reading.set_running_or_notify_cancel()
            reading.set_result(first)
            return 1 + sum(1 for _ in answers)

    reading: Future[bytes] = Future()
    client = asyncio.get_running_loop().run_in_executor(None, work)
    await asyncio.wrap_future(reading)
    await server.stop(20)
    assert await client == 20_000
    assert server.statistics().connections_open == 0
