"""Masks applied message by message, where a path leads into what is not made of fragments.

Right for every mask, but twenty times slower than joining what is wanted.
"""

from api.lane.wire import PREFIX, PREFIX_BYTES, Framed, frame
from api.proto.flow.flow_pb2 import Flow
from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.encode.masks import FieldMask
from observer.encode.varint import length_field


def masked(whole: Framed, mask: FieldMask) -> Framed:
    """Return framed responses reduced to what a mask wants."""
    messages = []
    start = 0
    for _ in range(whole.count):
        _, size = PREFIX.unpack_from(whole.data, start)
        start += PREFIX_BYTES
        response = GetFlowsResponse.FromString(whole.data[start : start + size])
        messages.append(frame(_masked_response(response, mask)))
        start += size
    return Framed(b"".join(messages), len(messages))


def _masked_response(response: GetFlowsResponse, mask: FieldMask) -> bytes:
    """Apply a mask to a decoded response; node_name and time are those of the masked flow."""
    if not response.HasField("flow"):
        return response.SerializeToString()
    flow = Flow()
    mask.copy(response.flow, flow)
    outer = GetFlowsResponse(node_name=flow.node_name)
    if flow.HasField("time"):
        outer.time.CopyFrom(flow.time)
    return outer.SerializeToString() + length_field(1, flow.SerializeToString())
