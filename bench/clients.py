"""The clients of GetFlows: each asks one server for its flows and says how long it took.

The clock runs from before the request until the end of the stream, on a connection that was open
before; messages are kept and looked at when it has stopped. The Go client is a program of its
own, which counts and does not keep.
"""

import asyncio
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import uvloop

from api.lane.client import Channel
from api.proto.observer import observer_pb2
from bench.errors import WrongAnswerError
from bench.framing import messages
from bench.http2 import RawConnection

GET_FLOWS: Final = "/observer.Observer/GetFlows"
SERVER_STATUS: Final = "/observer.Observer/ServerStatus"
_LONGEST_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What one call brought."""

    seconds: float
    count: int
    size_bytes: int
    """Of the messages, without their prefixes."""
    messages: tuple[bytes, ...] | None
    """None from a client that only counts."""


def read_raw(target: str, request: observer_pb2.GetFlowsRequest) -> Received:
    """Read with the raw HTTP/2 reader; frames are walked, messages are not cut."""
    with RawConnection(target) as connection:
        connection.call(SERVER_STATUS, b"")
        answer = connection.call(GET_FLOWS, request.SerializeToString())
    return _received(answer.seconds, tuple(messages(answer.data())))


def read_grpcio(target: str, request: observer_pb2.GetFlowsRequest) -> Received:
    """Read with grpcio's generated way of calling: one decoded object per flow."""
    kept: list[bytes] = []

    def decode(data: bytes) -> observer_pb2.GetFlowsResponse:
        kept.append(data)
        return observer_pb2.GetFlowsResponse.FromString(data)

    with grpc.insecure_channel(target) as channel:
        grpc.channel_ready_future(channel).result(_LONGEST_S)
        call = channel.unary_stream(
            GET_FLOWS,
            request_serializer=observer_pb2.GetFlowsRequest.SerializeToString,
            response_deserializer=decode,
        )
        started = time.perf_counter()
        try:
            for _ in call(request, timeout=_LONGEST_S):
                pass
        except grpc.RpcError as error:
            raise WrongAnswerError(f"call {GET_FLOWS} with grpcio: {error}") from error
        seconds = time.perf_counter() - started
    return _received(seconds, tuple(kept))


def read_lane(target: str, request: observer_pb2.GetFlowsRequest) -> Received:
    """Read with our own client: batches of whole messages, not decoded."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_read_lane(target, request))


async def _read_lane(target: str, request: observer_pb2.GetFlowsRequest) -> Received:
    channel = Channel(target)
    try:
        await channel.unary(
            SERVER_STATUS,
            observer_pb2.ServerStatusRequest(),
            observer_pb2.ServerStatusResponse,
            timeout_s=_LONGEST_S,
        )
        kept: list[bytes] = []
        started = time.perf_counter()
        async with channel.server_stream(GET_FLOWS, request, timeout_s=_LONGEST_S) as answer:
            async for batch in answer.batches():
                kept += batch
        seconds = time.perf_counter() - started
    finally:
        await channel.close()
    return _received(seconds, tuple(kept))


def read_go(program: Path, target: str, number: int, *, decoding: bool) -> Received:
    """Run the Go client, which measures itself.

    Raises:
        WrongAnswerError: it failed.
    """
    mode = "-decode" if decoding else "-raw"
    command = [str(program), "-n", str(number), mode, target]
    done = subprocess.run(  # noqa: S603 - a path that the user gave
        command, capture_output=True, check=False, timeout=2 * _LONGEST_S
    )
    if done.returncode:
        text = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise WrongAnswerError(f"run {program.name} {mode}: {text[:300]}")
    said = json.loads(done.stdout)
    return Received(
        seconds=said["seconds"], count=said["messages"], size_bytes=said["bytes"], messages=None
    )


def _received(seconds: float, kept: tuple[bytes, ...]) -> Received:
    return Received(seconds=seconds, count=len(kept), size_bytes=sum(map(len, kept)), messages=kept)
