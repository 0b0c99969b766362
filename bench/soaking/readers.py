"""Two followers of a life in a process of their own: one of all rows, one of losses alone.

A reader that is overtaken is told how many events it missed, those that were lost before included.
The second follower has a filter that no flow passes, so that it hears of every lost event and is
never overtaken: what it has and what became rows must add up to what the first one has.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import uvloop

from api.lane.client import Channel
from api.lane.status import RpcError
from api.proto.flow import flow_pb2
from api.proto.observer import observer_pb2
from bench.clients import GET_FLOWS
from bench.errors import WrongAnswerError
from bench.processes import beside

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import SynchronizedArray

_SHORT_BYTES: Final = 300
_NOBODY: Final = "192.0.2.254"
_FLOWS, _REPORTED, _MISSED, _LOST_EVENTS, _BLIND, _ATTACHED = range(6)
_COUNTS: Final = 6
_ATTACH_S: Final = 60.0
_LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What the two have got since they began."""

    flows: int
    reported: int
    """Lost events of which the first was told."""
    missed: int
    """Events by which the first was overtaken, as it was told."""
    lost_events: int
    """Lost events of which the second was told: all there are."""
    blind: int
    """Events by which the second was overtaken: must stay 0."""


class Readers:
    """The process, as its parent sees it."""

    def __init__(self, counts: "SynchronizedArray[int]") -> None:
        self._counts = counts

    def wait_until_attached(self) -> None:
        """Wait until the server has begun to answer both.

        Raises:
            WrongAnswerError: it does not.
        """
        deadline = time.monotonic() + _ATTACH_S
        while self._counts[_ATTACHED] < 2:
            if time.monotonic() > deadline:
                raise WrongAnswerError(f"follow: no answer in {_ATTACH_S:.0f} s")
            time.sleep(_LOOK_S)

    def read(self) -> Read:
        """Look at what they have counted."""
        counts = self._counts[:]
        return Read(
            flows=counts[_FLOWS],
            reported=counts[_REPORTED],
            missed=counts[_MISSED],
            lost_events=counts[_LOST_EVENTS],
            blind=counts[_BLIND],
        )


@contextmanager
def reading(target: str) -> Iterator[Readers]:
    """Follow a server from its oldest row, until left; ends by itself when the server does."""
    context = multiprocessing.get_context("spawn")
    counts = context.Array("Q", _COUNTS)
    with beside(_run, target, counts):
        yield Readers(counts)


def _run(target: str, counts: "SynchronizedArray[int]") -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_follow_both(target, counts))


async def _follow_both(target: str, counts: "SynchronizedArray[int]") -> None:
    nothing = flow_pb2.FlowFilter(source_ip=[_NOBODY], destination_ip=[_NOBODY])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_follow(target, counts, [], (_REPORTED, _MISSED)))
        tasks.create_task(_follow(target, counts, [nothing], (_LOST_EVENTS, _BLIND)))


async def _follow(
    target: str,
    counts: "SynchronizedArray[int]",
    whitelist: list[flow_pb2.FlowFilter],
    places: tuple[int, int],
) -> None:
    """Count until the server is gone; `places` are those of events lost, and missed."""
    request = observer_pb2.GetFlowsRequest(follow=True, whitelist=whitelist)
    request.since.seconds = 1
    channel = Channel(target)
    try:
        async with channel.server_stream(GET_FLOWS, request) as answer:
            await answer.wait_initial_metadata()
            counts[_ATTACHED] += 1
            async for batch in answer.batches():
                short = [message for message in batch if len(message) < _SHORT_BYTES]
                flows = len(batch) - sum(_told(message, counts, places) for message in short)
                counts[_FLOWS] += flows
    except RpcError:
        return  # what is missing then, the accounts find
    finally:
        await channel.close()


def _told(message: bytes, counts: Any, places: tuple[int, int]) -> bool:  # noqa: ANN401 - ctypes
    """Count it if it tells of a loss."""
    response = observer_pb2.GetFlowsResponse.FromString(message)
    if not response.HasField("lost_events"):
        return False
    lost = response.lost_events
    is_missed = lost.source == flow_pb2.LostEventSource.HUBBLE_RING_BUFFER
    counts[places[is_missed]] += lost.num_events_lost
    return True
