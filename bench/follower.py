"""Clients that follow a server's flows, each in a process of its own, and what they have counted.

The raw one walks frames and message prefixes and looks only into short messages, since those may
be reports of lost events; the decoding one makes a protobuf object of each, on our lane client.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import uvloop

from api.lane.client import Channel
from api.proto.observer import observer_pb2
from bench.clients import GET_FLOWS
from bench.errors import WrongAnswerError
from bench.framing import MessageCutter
from bench.http2 import RawConnection
from bench.processes import beside

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from multiprocessing.sharedctypes import Synchronized

_SHORT_BYTES: Final = 300
_FOR_EVER_S: Final = 3_600.0
_QUIET_S: Final = 0.3
_LOOK_S: Final = 0.02

Counter: TypeAlias = "Synchronized[int]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a follower has got so far."""

    flows: int
    lost: int
    """Events that the server said were lost."""


class Follower:
    """A following client's process, as its parent sees it."""

    def __init__(self, process: "BaseProcess", flows: Counter, lost: Counter) -> None:
        self._process = process
        self._flows, self._lost = flows, lost

    def counts(self) -> Counts:
        """Look at what it has counted.

        Raises:
            WrongAnswerError: it has ended.
        """
        if not self._process.is_alive():
            raise WrongAnswerError(f"follow: the client ended with {self._process.exitcode}")
        return Counts(flows=self._flows.value, lost=self._lost.value)

    def wait_until_quiet(self, *, flows: int, timeout_s: float) -> Counts:
        """Wait until it has so many flows, or gets no more; what it has then."""
        deadline = time.monotonic() + timeout_s
        before, since = self.counts(), time.monotonic()
        while (now := self.counts()).flows < flows and time.monotonic() < deadline:
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > _QUIET_S:
                break
            time.sleep(_LOOK_S)
        return now


@contextmanager
def following(read: Callable[[str, Counter, Counter], None], target: str) -> Iterator[Follower]:
    """Run `read` (one of those below) in a process; it is killed on leaving."""
    context = multiprocessing.get_context("spawn")
    flows, lost = context.Value("Q", 0), context.Value("Q", 0)
    with beside(read, target, flows, lost) as process:
        yield Follower(process, flows, lost)


def follow_raw(target: str, flows: Counter, lost: Counter) -> None:
    """Count without decoding; does not return while the server lives."""
    cutter = MessageCutter(keep_below_bytes=_SHORT_BYTES)

    def count(payloads: list[memoryview]) -> None:
        counted = sum(map(cutter.feed, payloads))
        for message in cutter.take_kept():
            missing = _missing(observer_pb2.GetFlowsResponse.FromString(message))
            if missing:
                lost.value += missing
                counted -= 1
        flows.value += counted

    request = observer_pb2.GetFlowsRequest(follow=True).SerializeToString()
    with RawConnection(target, timeout_s=_FOR_EVER_S) as connection:
        connection.call(GET_FLOWS, request, sink=count)


def follow_decoding(target: str, flows: Counter, lost: Counter) -> None:
    """Count decoded messages; does not return while the server lives."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_follow_decoding(target, flows, lost))


async def _follow_decoding(target: str, flows: Counter, lost: Counter) -> None:
    parse = observer_pb2.GetFlowsResponse.FromString
    request = observer_pb2.GetFlowsRequest(follow=True)
    async with Channel(target).server_stream(GET_FLOWS, request) as answer:
        async for batch in answer.batches():
            for response in map(parse, batch):
                if response.HasField("flow"):
                    flows.value += 1
                else:
                    lost.value += _missing(response)


def _missing(response: observer_pb2.GetFlowsResponse) -> int:
    return response.lost_events.num_events_lost
