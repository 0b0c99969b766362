"""What an answer keeps to itself, told on the error stream: events lost, time that is not kept.

The lines of the answer stay as Hubble's users know them. Losses are told once, at the end, summed
by place; that the time asked for begins before what a server keeps, as soon as that is known.
"""

from collections.abc import Callable, Sequence

from google.protobuf.message import DecodeError

from api.lane.client import Channel
from api.lane.status import RpcError
from api.proto.flow.flow_pb2 import LostEventSource
from api.proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from cli.flags.values import duration_text
from cli.times import SECOND_NS

# A response that tells of a loss is small; all others need not be looked at.
_LARGEST_LOSS_BYTES = 300
_SOURCE_NAMES = {value: name for name, value in LostEventSource.items()}
_ADVICE = {
    # The same source tells of what was seen while no server was there to read it.
    "PERF_EVENT_RING_BUFFER": (
        "once after a start they are from the time between two servers, and nothing helps; "
        "otherwise packets came faster than they were read: a larger perf ring helps"
    ),
    "OBSERVER_EVENTS_QUEUE": "the node saw more than it could take in: a larger queue helps",
    "HUBBLE_RING_BUFFER": (
        "they were overwritten before they were read: narrower filters or a larger flow table help"
    ),
}
_ADVICE_OTHERWISE = "narrower filters help"


class Losses:
    """Counts the events that an answer says were lost."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def look(self, messages: Sequence[bytes]) -> None:
        """Look for losses among the responses of a batch."""
        for message in messages:
            if len(message) <= _LARGEST_LOSS_BYTES:
                self._add(message)

    def text(self) -> str:
        """Say what was lost, where, and what helps; nothing if nothing was."""
        return "".join(
            f"hint: {count:,} events lost in {source} of {node or 'the server'}: "
            f"{_ADVICE.get(source, _ADVICE_OTHERWISE)}\n"
            for (node, source), count in sorted(self._counts.items())
        )

    def _add(self, message: bytes) -> None:
        try:
            response = GetFlowsResponse.FromString(message)
        except DecodeError:  # the printer tells
            return
        if not response.HasField("lost_events"):
            return
        lost = response.lost_events
        key = response.node_name, _SOURCE_NAMES.get(lost.source, str(lost.source))
        self._counts[key] = self._counts.get(key, 0) + lost.num_events_lost


async def tell_missing_past(
    channel: Channel,
    asked: GetFlowsRequest,
    now_ns: int,
    warn: Callable[[str], None],
    *,
    timeout_s: float,
) -> None:
    """Tell if --since begins before the oldest flow that a server keeps; never fails."""
    since_ns = asked.since.seconds * SECOND_NS + asked.since.nanos
    try:
        oldest = await oldest_flows(channel, timeout_s=timeout_s)
    except (RpcError, DecodeError):  # the answer itself will tell
        return
    late = {node: time_ns for node, time_ns in oldest.items() if time_ns > since_ns}
    if late:
        node, time_ns = max(late.items(), key=lambda each: each[1])
        place = f" of {node}" if node else ""
        asked_for = duration_text(_whole_seconds(now_ns - since_ns))
        warn(
            f"hint: the oldest flow{place} is {duration_text(_whole_seconds(now_ns - time_ns))} "
            f"old, --since asks for {asked_for}: what was before is not kept any more\n"
        )


async def oldest_flows(channel: Channel, *, timeout_s: float) -> dict[str, int]:
    """Ask each node behind a server for its oldest flow: its time by the node's name.

    Raises:
        RpcError, DecodeError: there is no answer, or none that can be read.
    """
    request = GetFlowsRequest(number=1, first=True)
    request.field_mask.paths.extend(("time", "node_name"))
    oldest: dict[str, int] = {}
    path = "/observer.Observer/GetFlows"
    async with channel.server_stream(path, request, timeout_s=timeout_s) as answer:
        async for messages in answer.batches():
            for message in messages:
                _note_time(message, oldest)
    return oldest


def _note_time(message: bytes, oldest: dict[str, int]) -> None:
    response = GetFlowsResponse.FromString(message)
    if response.HasField("flow") and response.HasField("time"):
        time_ns = response.time.seconds * SECOND_NS + response.time.nanos
        oldest[response.node_name] = min(oldest.get(response.node_name, time_ns), time_ns)


def _whole_seconds(duration_ns: int) -> int:
    return duration_ns // SECOND_NS * SECOND_NS
