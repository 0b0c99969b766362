"""Flows taken apart without being parsed in depth: each part as it is on the wire, and the rest.

    message  ->  time ethernet IP l4 source destination ...    the bytes of each part
                 rest: verdict, types, policies, Summary ...    the bytes of all other fields

Most of these come again with later flows, so printers keep texts by them; `cli.wire` reads what
is new in each flow. Protobuf does the work, with a schema of its own: that of `GetFlowsResponse`,
but a part is no message in it. The order of the fields does not matter.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError

from api.proto.flow.flow_pb2 import Flow
from api.proto.observer.observer_pb2 import GetFlowsResponse

_PARTS = (
    "time",
    "ethernet",
    "IP",
    "l4",
    "source",
    "destination",
    "uuid",
    "interface",
    "file",
)
_OUTER = ("node_name", "time")
# A server may spend two bytes more than needed on the length of a flow, which it writes before it
# knows it. A part that came twice, of which only the last is seen here, takes at least three.
_SPARE_BYTES = 2

Cut = tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes, bytes]
"""The parts in the order of `_PARTS`, empty where they are not there; the rest of the flow as a
message; node_name of the response. A plain tuple, since one is made for each flow."""


class Cutter:
    """Takes responses of GetFlows apart."""

    def __init__(self) -> None:
        """Make the schema."""
        self._parse = _response_class().FromString
        self._parts: Callable[[Any], Any] = attrgetter(*_PARTS)

    def __call__(self, message: bytes) -> Cut | None:
        """Take a response apart; None for one that is no flow, or not in the usual shape."""
        try:
            response = self._parse(message)
        except DecodeError:
            return None
        flow = response.flow
        parts = self._parts(flow)
        time, ethernet, ip, l4, source, destination, uuid, interface, file = parts
        if not time or time != response.time:
            return None
        # What is there but empty stays in the rest: it is not the same as what is not there.
        clear = flow.ClearField
        clear("time")
        heads_bytes = 11  # tags and lengths of the flow, both times and the node's name
        if ethernet:
            clear("ethernet")
            heads_bytes += 2
        if ip:
            clear("IP")
            heads_bytes += 2
        if l4:
            clear("l4")
            heads_bytes += 2
        if source:
            clear("source")
            heads_bytes += 2 if len(source) < 128 else 3
        if destination:
            clear("destination")
            heads_bytes += 2 if len(destination) < 128 else 3
        if uuid:
            clear("uuid")
            heads_bytes += 3
        if interface:
            clear("interface")
            heads_bytes += 3
        if file:
            clear("file")
            heads_bytes += 3
        cut = (*parts, flow.SerializeToString(), response.node_name)
        spare_bytes = len(message) - sum(map(len, cut)) - len(time) - heads_bytes
        return cut if 0 <= spare_bytes <= _SPARE_BYTES else None


def _response_class() -> Any:  # noqa: ANN401  (made at run time)
    file = FileDescriptorProto(name="shallow.proto", package="shallow", syntax="proto2")
    flow, response = file.message_type.add(name="Flow"), file.message_type.add(name="Response")
    _add_fields(flow, _PARTS, Flow.DESCRIPTOR)
    _add_fields(response, _OUTER, GetFlowsResponse.DESCRIPTOR)
    response.field.add(
        name="flow",
        number=GetFlowsResponse.FLOW_FIELD_NUMBER,
        label=FieldDescriptor.LABEL_OPTIONAL,
        type=FieldDescriptor.TYPE_MESSAGE,
        type_name=".shallow.Flow",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shallow.Response"))


def _add_fields(message: DescriptorProto, names: Iterable[str], original: Any) -> None:  # noqa: ANN401  (upb's type)
    for name in names:
        message.field.add(
            name=name,
            number=original.fields_by_name[name].number,
            label=FieldDescriptor.LABEL_OPTIONAL,
            type=FieldDescriptor.TYPE_BYTES,
        )
