"""How connections end in time: keepalive, idle, age, and how many there may be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from api.lane.client import Channel
from api.lane.guard import PeerRefusedError, PingGuard, Refusal
from api.lane.keepalive import PAYLOAD, Keepalive
from api.lane.lifetime import Lifetime
from api.lane.limits import SERVER_LIMITS, Limits
from api.lane.server import Server
from api.lane.status import Code, RpcError
from api.lane.wire import PREFACE, frame_head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.api.lane.conftest import Bed, Connect, Serve

ECHO = "/test.Lane/Echo"


def same(data: bytes) -> bytes:
    return data


class FakeLoop:
    """Timers on a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, FakeTimer]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., None], *args: object) -> FakeTimer:
        timer = FakeTimer(callback, args)
        self.timers.append((when, timer))
        return timer

    def call_later(self, delay: float, callback: Callable[..., None], *args: object) -> FakeTimer:
        return self.call_at(self.now + delay, callback, *args)

    def run_until(self, now: float) -> None:
        while due := [entry for entry in self.timers if entry[0] <= now]:
            entry = min(due, key=lambda each: each[0])
            self.timers.remove(entry)
            self.now = max(self.now, entry[0])
            entry[1].fire()
        self.now = now


class FakeTimer:
    def __init__(self, callback: Callable[..., None], args: tuple[object, ...]) -> None:
        self.callback = callback
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        if not self.cancelled:
            self.callback(*self.args)


class FakePeer:
    def __init__(self, loop: FakeLoop) -> None:
        self.loop = loop
        self.heard_at = loop.now
        self.idle_since: float | None = loop.now
        self.wanted = True
        self.answers = False
        self.events: list[tuple[float, str]] = []

    def note(self, event: str) -> None:
        self.events.append((round(self.loop.now, 6), event))

    def wants_keepalive(self) -> bool:
        return self.wanted

    def ping(self, payload: bytes) -> None:
        assert payload == PAYLOAD
        self.note("ping")
        if self.answers:
            self.heard_at = self.loop.now + 0.1

    def on_dead(self) -> None:
        self.note("dead")

    def drain(self, reason: str) -> None:
        self.note(reason)

    def close(self, reason: str) -> None:
        self.note("closed")


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def peer(loop: FakeLoop) -> FakePeer:
    return FakePeer(loop)


def keepalive(loop: FakeLoop, peer: FakePeer) -> Keepalive:
    return Keepalive(peer, silence_s=10, timeout_s=3, loop=loop)  # type: ignore[arg-type]  # a fake


def test_a_silent_peer_is_asked_and_then_given_up(loop: FakeLoop, peer: FakePeer) -> None:
    keepalive(loop, peer).start()
    loop.run_until(1000)
    assert peer.events == [(110, "ping"), (113, "dead")]


def test_a_peer_that_answers_is_asked_again(loop: FakeLoop, peer: FakePeer) -> None:
    peer.answers = True
    keepalive(loop, peer).start()
    loop.run_until(140)
    assert peer.events == [(110, "ping"), (120.1, "ping"), (130.2, "ping")]


def test_a_peer_that_talks_is_not_asked(loop: FakeLoop, peer: FakePeer) -> None:
    keepalive(loop, peer).start()
    for now in range(100, 200, 9):
        loop.run_until(now)
        peer.heard_at = now
    assert peer.events == []


def test_nobody_is_asked_while_it_does_not_matter(loop: FakeLoop, peer: FakePeer) -> None:
    peer.wanted = False
    watch = keepalive(loop, peer)
    watch.start()
    loop.run_until(150)
    peer.wanted = True
    loop.run_until(160)
    assert peer.events == [(160, "ping")]
    watch.stop()
    loop.run_until(1000)
    assert peer.events == [(160, "ping")]


def lifetime(loop: FakeLoop, peer: FakePeer, limits: Limits, *, random: float = 0.5) -> Lifetime:
    return Lifetime(peer, limits=limits, loop=loop, random=lambda: random)  # type: ignore[arg-type]  # a fake


def test_idle_counts_from_the_last_call(loop: FakeLoop, peer: FakePeer) -> None:
    lifetime(loop, peer, Limits(max_connection_idle_s=10)).start()
    loop.run_until(105)
    peer.idle_since = None
    loop.run_until(125)
    peer.idle_since = 121.0
    loop.run_until(1000)
    assert peer.events == [(131, "max_idle")]


@pytest.mark.parametrize(("random", "at"), [(0.0, 190.0), (0.5, 200.0), (1.0, 210.0)])
def test_ages_differ(loop: FakeLoop, peer: FakePeer, random: float, at: float) -> None:
    limits = Limits(max_connection_age_s=100, max_connection_age_grace_s=30)
    lifetime(loop, peer, limits, random=random).start()
    loop.run_until(1000)
    assert peer.events == [(at, "max_age"), (at + 30, "closed")]


def test_what_has_stopped_does_nothing(loop: FakeLoop, peer: FakePeer) -> None:
    limits = Limits(max_connection_age_s=100, max_connection_idle_s=10)
    life = lifetime(loop, peer, limits)
    life.start()
    life.stop()
    loop.run_until(1000)
    assert peer.events == []


def pings(*times: float, forgiven_at: tuple[float, ...] = ()) -> int:
    """Count PINGs at these times; return how many passed."""
    now = 0.0
    guard = PingGuard(interval_s=1.0, max_strikes=2, clock=lambda: now)
    for passed, now in enumerate(times):
        if now in forgiven_at:
            guard.forgive()
        try:
            guard.count()
        except PeerRefusedError:
            return passed
    return len(times)


def test_three_strikes() -> None:
    assert pings(0, 0.1, 0.2, 0.3, 0.4) == 3
    assert pings(*range(100)) == 100
    # A slow one between does not make up for the fast ones.
    assert pings(0, 0.1, 1.5, 1.6, 3, 3.1, 4) == 5
    assert pings(0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, forgiven_at=(0.3, 0.6)) == 7


async def black_hole() -> tuple[asyncio.Server, str]:
    """Serve HTTP/2 SETTINGS and then nothing, however often one is asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame_head(0, 4, 0, 0))
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_client_gives_a_dead_server_up() -> None:
    server, address = await black_hole()
    channel = Channel(address, limits=Limits(keepalive_s=0.05, keepalive_timeout_s=0.05))
    with pytest.raises(RpcError) as caught:
        await asyncio.wait_for(channel.unary(ECHO, BytesValue(), BytesValue), 10)
    assert (caught.value.code, caught.value.message) == (
        Code.UNAVAILABLE,
        "keepalive ping failed to receive ACK within timeout",
    )
    await channel.close()
    server.close()
    await asyncio.wait_for(server.wait_closed(), 5)


async def test_a_live_server_is_kept(serve: Serve, bed: Bed) -> None:
    server, address = await serve(limits=Limits(min_ping_interval_s=0, close_s=0.2))
    limits = Limits(keepalive_s=0.01, keepalive_timeout_s=5, keepalive_without_calls=True)
    channel = Channel(address, limits=limits)
    async with channel.server_stream("/test.Lane/Sleep", b"", timeout_s=0.3) as call:
        with pytest.raises(RpcError, match="DeadlineExceeded"):
            await anext(call.batches())
    assert server.statistics().connections_open == 1
    await channel.close()


async def test_a_client_that_asks_too_often_learns(serve: Serve, bed: Bed) -> None:
    server, address = await serve()
    channel = Channel(address, limits=Limits(keepalive_s=0.02, keepalive_timeout_s=0.02))
    async with channel.server_stream("/test.Lane/Sleep", b"") as call:
        with pytest.raises(RpcError, match="error reading from server"):
            await asyncio.wait_for(anext(call.batches()), 10)
    assert server.statistics().refused == {Refusal.TOO_MANY_PINGS: 1}
    await channel.unary(ECHO, BytesValue(), BytesValue)
    assert channel._connector._limits.keepalive_s == pytest.approx(0.04)
    await channel.close()


async def test_a_server_gives_a_dead_client_up(serve: Serve, bed: Bed) -> None:
    limits = Limits(keepalive_s=0.05, keepalive_timeout_s=0.05, close_s=0.2)
    server, address = await serve(limits=limits)
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(PREFACE + frame_head(0, 4, 0, 0))
    async with asyncio.timeout(10):
        await reader.readuntil(PAYLOAD)
        await asyncio.gather(reader.read(-1), return_exceptions=True)
    assert server.statistics().refused == {Refusal.KEEPALIVE: 1}
    assert server.statistics().connections_open == 0
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_a_server_keeps_a_client_that_answers(serve: Serve, stub: Connect) -> None:
    """grpcio answers our PINGs for a whole second of silence."""
    limits = Limits(keepalive_s=0.02, keepalive_timeout_s=5, close_s=0.2)
    server, address = await serve(limits=limits)

    def work() -> grpc.StatusCode:
        with stub(address) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary("/test.Lane/Sleep", same, same)(b"", timeout=1)
            assert channel.unary_unary(ECHO, same, same)(b"x") == b"x"
            return caught.value.code()

    assert await asyncio.to_thread(work) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.statistics().refused == {}
    assert server.statistics().connections_total == 1


async def test_grpcios_keepalive_is_no_flood(serve: Serve, stub: Connect) -> None:
    server, address = await serve(limits=Limits(min_ping_interval_s=0.5, close_s=0.2))
    options = (
        ("grpc.keepalive_time_ms", 600),
        ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    )

    def work() -> int:
        with stub(address, *options) as channel:
            call = channel.unary_stream("/test.Lane/Count", same, same)(b"50000")
            count = sum(1 for _ in call)
            with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                channel.unary_unary("/test.Lane/Sleep", same, same)(b"", timeout=3)
            assert channel.unary_unary(ECHO, same, same)(b"x") == b"x"
            return count

    assert await asyncio.to_thread(work) == 50_000
    assert server.statistics().refused == {}
    assert server.statistics().connections_total == 1


async def test_an_idle_client_is_asked_to_go_and_comes_back(serve: Serve) -> None:
    server, address = await serve(limits=Limits(max_connection_idle_s=0.05, close_s=0.2))
    channel = Channel(address)
    for connections in (1, 2):
        await channel.unary(ECHO, BytesValue(), BytesValue)
        assert server.statistics().connections_total == connections
        (connection,) = channel._connector._connections
        await asyncio.wait_for(connection.lost.wait(), 10)
        assert connection.end_reason == "drained"
    await channel.close()


async def test_a_call_is_not_idle(serve: Serve, bed: Bed) -> None:
    server, address = await serve(limits=Limits(max_connection_idle_s=0.05, close_s=0.2))
    channel = Channel(address)
    async with channel.server_stream("/test.Lane/Sleep", b"", timeout_s=0.4) as call:
        with pytest.raises(RpcError, match="DeadlineExceeded"):
            await anext(call.batches())
    assert server.statistics().connections_total == 1
    await channel.close()


async def test_age_lets_calls_end_within_the_grace(serve: Serve, bed: Bed) -> None:
    limits = Limits(max_connection_age_s=0.05, max_connection_age_grace_s=0.1, close_s=0.2)
    _, address = await serve(limits=limits)
    channel = Channel(address)
    async with channel.server_stream("/test.Lane/Sleep", b"") as call:
        with pytest.raises(RpcError) as caught:
            await asyncio.wait_for(anext(call.batches()), 10)
    assert caught.value.code is Code.UNAVAILABLE
    await asyncio.wait_for(bed.stopped.wait(), 5)
    await channel.close()


async def test_who_does_not_acknowledge_goes_all_the_same(serve: Serve) -> None:
    limits = Limits(max_connection_idle_s=0.05, handshake_s=0.2, close_s=0.2)
    server, address = await serve(limits=limits)
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(PREFACE + frame_head(0, 4, 0, 0))
    received = await asyncio.wait_for(reader.read(-1), 10)
    assert received.count(b"max_idle") == 2
    writer.close()
    await asyncio.wait_for(writer.wait_closed(), 5)
    while server.statistics().connections_open:  # noqa: ASYNC110 - gone a moment later
        await asyncio.sleep(0.001)


async def test_connections_are_counted_by_address(serve: Serve, tmp_path: Path) -> None:
    server, address = await serve(limits=Limits(max_connections=2, close_s=0.2))
    local = await server.listen(f"unix://{tmp_path}/lane.sock")
    channels = [Channel(each) for each in (address, address, address, local)]
    for channel in (*channels[:2], channels[3]):
        await channel.unary(ECHO, BytesValue(), BytesValue)
    with pytest.raises(RpcError, match="connection error"):
        await channels[2].unary(ECHO, BytesValue(), BytesValue)
    assert server.statistics().refused == {Refusal.CONNECTION_LIMIT: 1}
    # A place that is free again is taken.
    await channels[0].close()
    async with asyncio.timeout(10):
        while server.statistics().connections_open > 2:  # noqa: ASYNC110 - gone a moment later
            await asyncio.sleep(0.001)
    await channels[2].unary(ECHO, BytesValue(), BytesValue)
    for channel in channels[1:]:
        await channel.close()


async def test_a_refused_stream_is_the_limits_only_effect(serve: Serve, stub: Connect) -> None:
    """grpcio is told the limit and waits; nobody is refused, all are served."""
    server, address = await serve(limits=Limits(max_streams=2, close_s=0.2))

    def work() -> list[bytes]:
        with stub(address) as channel:
            channel.unary_unary(ECHO, same, same)(b"")  # has the server's SETTINGS
            futures = [
                channel.unary_unary(ECHO, same, same).future(b"%d" % number) for number in range(50)
            ]
            return [future.result(timeout=20) for future in futures]

    assert await asyncio.to_thread(work) == [b"%d" % number for number in range(50)]
    assert server.statistics().refused == {}


def test_servers_turn_the_dead_and_the_idle_out_by_default() -> None:
    assert Server({}).limits is SERVER_LIMITS
    assert SERVER_LIMITS.keepalive_s is not None
    assert SERVER_LIMITS.max_connection_idle_s is not None
    # gRPC's servers take a client that asks by itself for a flood.
    assert Limits().keepalive_s is None
