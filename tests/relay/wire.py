"""Responses as servers write them: ours and Go's (name and time first), and Python's (last)."""

from collections.abc import Iterable

from api.lane.wire import frame
from api.proto.flow.flow_pb2 import Flow, LostEvent
from api.proto.observer.observer_pb2 import GetFlowsResponse
from relay.times import stamp_of

NS = 1_000_000_000
T0 = 1_700_000_000 * NS


def five(value: int) -> bytes:
    return bytes((value >> 7 * place & 0x7F | (0x80 if place < 4 else 0)) for place in range(5))


def plain(value: int) -> bytes:
    """A varint of as few bytes as possible."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*found, value))


def field(number: int, data: bytes) -> bytes:
    return plain(number << 3 | 2) + plain(len(data)) + data


def flow_bytes(text: str, size: int = 0) -> bytes:
    return Flow(uuid=text, Summary="x" * size).SerializeToString()


def padded(text: str, time_ns: int, node: str = "n") -> bytes:
    """A flow as our server writes it: numbers of the time in five bytes each."""
    seconds, nanos = divmod(time_ns, NS)
    stamp = b"\x08" + five(seconds) + b"\x10" + five(nanos)
    return frame(field(1000, node.encode()) + field(1001, stamp) + field(1, flow_bytes(text)))


def minimal(text: str, time_ns: int, node: str = "n") -> bytes:
    """A flow as Go's server writes it: name and time first, numbers as short as they are."""
    response = GetFlowsResponse()
    response.time.FromNanoseconds(time_ns)
    head = field(1000, node.encode()) + field(1001, response.time.SerializeToString())
    return frame(head + field(1, flow_bytes(text)))


def at_the_tail(text: str, time_ns: int, node: str = "n") -> bytes:
    """A flow as a server in Python might write it: in the order of the numbers."""
    response = GetFlowsResponse()
    response.time.FromNanoseconds(time_ns)
    tail = field(1000, node.encode()) + field(1001, response.time.SerializeToString())
    return frame(field(1, flow_bytes(text)) + tail)


def progress(time_ns: int, node: str = "n") -> bytes:
    response = GetFlowsResponse(node_name=node)
    response.time.FromNanoseconds(time_ns)
    return frame(response.SerializeToString())


def gap(count: int, time_ns: int, source: int = 1, node: str = "n") -> bytes:
    response = GetFlowsResponse(
        lost_events=LostEvent(num_events_lost=count, source=source),  # type: ignore[arg-type]  # enums are open
        node_name=node,
    )
    response.time.FromNanoseconds(time_ns)
    return frame(response.SerializeToString())


def parsed(data: bytes) -> list[GetFlowsResponse]:
    """Cut framed responses apart."""
    found, start = [], 0
    while start < len(data):
        end = start + 5 + int.from_bytes(data[start + 1 : start + 5], "big")
        found.append(GetFlowsResponse.FromString(data[start + 5 : end]))
        start = end
    return found


def uuids(data: bytes) -> list[str]:
    return [each.flow.uuid for each in parsed(data)]


def stamps(times_ns: Iterable[int]) -> list[int]:
    return [stamp_of(each) for each in times_ns]
