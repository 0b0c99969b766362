"""Field masks without the time: the relay asks for it all the same, and takes it out again.

A flow whose mask leaves out the time comes without it, in its head too, and could not be merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from api.lane.wire import PREFIX_BYTES, frame
from api.proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from relay.errors import MalformedError
from relay.scan import Batch

if TYPE_CHECKING:
    from google.protobuf.message import Message

_TIME: Final = "time"


def with_time(request: Message) -> tuple[Message, bool]:
    """Return a request whose answers have a time, and whether it was added."""
    if not isinstance(request, GetFlowsRequest):
        return request, False
    paths = request.field_mask.paths
    if not paths or _TIME in paths:
        return request, False
    changed = GetFlowsRequest()
    changed.CopyFrom(request)
    changed.field_mask.paths.append(_TIME)
    return changed, True


def without_time(batch: Batch) -> Batch:
    """Return a batch whose flows have no time.

    Raises:
        MalformedError: one of them is no response.
    """
    pieces = [_without_time(batch.message(index)) for index in range(len(batch))]
    edges = [0]
    for piece in pieces:
        edges.append(edges[-1] + len(piece))
    return Batch(b"".join(pieces), edges, batch.stamps)


def _without_time(message: bytes) -> bytes:
    try:
        response = GetFlowsResponse.FromString(message[PREFIX_BYTES:])
    except DecodeError as error:
        raise MalformedError("read a response: no GetFlowsResponse") from error
    if not response.HasField("flow"):
        return message
    response.ClearField("time")
    response.flow.ClearField("time")
    return frame(response.SerializeToString())
