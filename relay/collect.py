"""One stream of one node → its source in a merge.

The first time it asks what the client asked. Where a stream broke off it asks on from there, and
leaves out what had come. It reads only while the merge has room: a client that reads slowly slows
the nodes down, and what they then lose they say themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from api.lane.status import Code, RpcError
from api.proto.observer.observer_pb2 import GetFlowsRequest
from relay.boundary import Boundary
from relay.errors import MalformedError
from relay.mask import with_time, without_time
from relay.scan import Scanned, Scanner
from relay.times import NEVER_YET, stamp_of, time_ns_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from api.lane.client import Channel
    from api.lane.metadata import Metadata
    from relay.merge import Source
    from relay.nodes.connection import NodeConnection
    from relay.nodes.link import NodeLink

_LEAST_INTERVAL_MS: Final = 10
_MS_PER_NODE: Final = 0.2


def progress_metadata(nodes: int) -> Metadata:
    """Return what asks a node to say how far it is where it has nothing else to say.

    Each stream hears it of each node: 5,000 times a second at most.
    """
    interval_ms = max(int(nodes * _MS_PER_NODE), _LEAST_INTERVAL_MS)
    return (("leavitt-progress", "1"), ("leavitt-progress-interval", str(interval_ms)))


_NS_PER_S: Final = 1_000_000_000
_EPOCH: Final = stamp_of(0)


class Collector:
    """The streams of one node in one call, one after the other.

    Args:
        link: The node.
        path: Of the method.
        request: What the client asked.
        metadata: What goes with it.
        progress: What asks for progress.
    """

    def __init__(
        self,
        link: NodeLink,
        path: str,
        request: Any,  # noqa: ANN401 - any of the three
        *,
        metadata: Metadata,
        progress: Metadata,
    ) -> None:
        self.link = link
        self.received = 0
        """Messages so far."""
        self._path = path
        self._request, self._strips = with_time(request)
        self._follows = bool(request.follow)
        self._has_flows = isinstance(request, GetFlowsRequest)
        self._metadata = (*metadata, *progress)
        self._boundary = Boundary()

    async def collect(
        self, connection: NodeConnection, source: Source, on_answer: Callable[[], None]
    ) -> None:
        """Read until the node ends the stream; the source is still open then.

        Args:
            connection: The node's.
            source: Gets the messages.
            on_answer: Called whenever something came.

        Raises:
            RpcError: the stream failed, or there was something else than responses in it.
        """
        self._boundary.begin_again()
        try:
            with connection.for_stream() as channel:
                await self._read(channel, source, on_answer)
        except MalformedError as error:
            raise RpcError(Code.INTERNAL, f"malformed response: {error}") from error
        except RpcError as error:
            raise connection.reason or error from error
        finally:
            self.link.account.frontiers.pop(source, None)

    async def _read(self, channel: Channel, source: Source, on_answer: Callable[[], None]) -> None:
        request, scanner = self._next_request(), Scanner()
        async with channel.server_stream(self._path, request, metadata=self._metadata) as call:
            async for framed in call.frames():
                scanned = scanner.scan(framed.data)
                on_answer()
                self._take(scanned, source)
                await source.room()
            self._take(scanner.end(), source)

    def _take(self, scanned: Scanned, source: Source) -> None:
        """Count what came and hand on what is new of it."""
        account = self.link.account
        count = sum(map(len, scanned.batches))
        self.link.heard(count - len(scanned.gaps) if self._has_flows else 0)
        if scanned.gaps:
            account.lost(scanned.gaps)
        batches = self._boundary.left_out(scanned.batches)
        self._boundary.note(batches, scanned.frontier)
        self.received += count
        if self._strips:
            batches = [without_time(batch) for batch in batches]
        source.push(batches, scanned.frontier)
        # a node that has no events yet is at 1970: that is no distance
        if self._follows and source.frontier > _EPOCH:
            account.frontiers[source] = time_ns_of(source.frontier)

    def _next_request(self) -> Message:
        stamp = self._boundary.stamp
        if stamp == NEVER_YET:
            return self._request
        # `since` of the client is earlier: what has come is younger
        request: Any = type(self._request)()
        request.CopyFrom(self._request)
        request.number, request.first = 0, False
        seconds, nanos = divmod(time_ns_of(stamp), _NS_PER_S)
        request.since.CopyFrom(Timestamp(seconds=seconds, nanos=nanos))
        return request  # type: ignore[no-any-return]  # the type of what was asked
