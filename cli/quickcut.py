"""Flows taken apart at a glance, in the two orders of fields that our servers and Go's write.

    ours   node_name time flow { time [uuid] run ethernet [l4] run IP source destination run }
    Go's   node_name time flow { time run ethernet IP [l4] source destination [run uuid] run }

Where a run ends is guessed, by looking for what should follow. A wrong guess ends it within a
field; so runs that are messages by themselves were guessed right, and `joined` sees to that. The
parts between are found by their lengths. Of flows in any other order nothing is said here.
"""

from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError

from api.proto.flow.flow_pb2 import Flow
from cli.kept import Kept

Runs = tuple[bytes, bytes, bytes]
QuickCut = tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes, Runs]
"""Time, uuid, Ethernet, IP, l4, source and destination as on the wire, and the runs. A plain tuple,
since one is made for each flow."""

_PARTS = ("time", "ethernet", "IP", "l4", "source", "destination")
_NODE_NAME, _TIME_OF_RESPONSE, _FLOW = b"\xc2>", b"\xca>", b"\n"
_TIME, _IP, _L4, _SOURCE, _DESTINATION = 0x0A, 0x2A, 0x32, 0x42, 0x4A
_UUID, _UUID_BYTES = b"\x92\x02$", 36
_ETHERNET, _ETHERNET_BYTES = b'"&\n\x11', 38
# Our servers write it last of a run.
_SUMMARY = b"\x82\xea0"
_NONE = b"\0"
"""What no response begins with."""
_LONG = 0x80
_TOO_LONG = 1 << 14
"""Longer payloads have lengths of three bytes."""


class QuickCutter:
    """Takes responses of GetFlows apart."""

    def __init__(self) -> None:
        """Start with nothing kept."""
        self._heads = Kept(_head)
        self._flow_heads = Kept(_flow_head)

    def cuts(self, messages: Iterable[bytes]) -> Iterator[QuickCut | None]:
        """Take responses apart, one after the other; None for one in another order.

        Long, since it runs for each flow, and a call costs as much as reading a part. What begins
        a response and what leads to Ethernet are mostly the same as in the one before: they are
        compared with that as a whole.
        """
        heads, flow_heads = self._heads, self._flow_heads
        head, stamp_start, flow = _NONE, 0, 0
        lead, first = _NONE, b""
        for message in messages:
            try:
                if not message.startswith(head):
                    stamp_start = message[2] + 5
                    flow = stamp_start + heads[message[: stamp_start + 1]]
                    # Up to the length of the time, which says where it ends.
                    head = message[: stamp_start + 1]
                head_bytes, size_bytes = flow_heads[message[flow : flow + 5]]
                stamp, at = message[stamp_start:flow], flow + head_bytes
                if flow + size_bytes != len(message) or message[at] != _TIME:
                    yield None
                    continue
                at += 1
                if not message.startswith(stamp, at):
                    yield None
                    continue
                at += len(stamp)
                uuid = b""
                if message.startswith(_UUID, at):
                    start = at + len(_UUID)
                    at = start + _UUID_BYTES
                    uuid = message[start:at]
                if not message.startswith(lead, at):
                    end = message.find(_ETHERNET, at)
                    if end < 0:
                        yield None
                        continue
                    first, lead = message[at:end], message[at : end + len(_ETHERNET)]
                start = at + len(lead) - 2
                at = start + _ETHERNET_BYTES
                ethernet = message[start:at]
                l4 = second = b""
                tag = message[at]
                if tag == _L4:
                    start = at + 2
                    at = start + message[at + 1]
                    l4 = message[start:at]
                    if not l4:
                        yield None
                        continue
                    tag = message[at]
                if tag != _IP:
                    start, at = at, message.find(_SUMMARY, at)
                    if at < 0:
                        yield None
                        continue
                    at += 4 + message[at + 3]
                    second = message[start:at]
                    if message[at] != _IP:
                        yield None
                        continue
                start = at + 2
                at = start + message[at + 1]
                ip = message[start:at]
                tag = message[at]
                if tag == _L4 and not l4:
                    start = at + 2
                    at = start + message[at + 1]
                    l4 = message[start:at]
                    if not l4:
                        yield None
                        continue
                    tag = message[at]
                if tag != _SOURCE or len(ip) >= _LONG or len(l4) >= _LONG:
                    yield None
                    continue
                size, start = message[at + 1], at + 2
                if size >= _LONG:
                    size, start = size + (message[start] - 1 << 7), start + 1
                at = start + size
                source = message[start:at]
                if message[at] != _DESTINATION:
                    yield None
                    continue
                size, start = message[at + 1], at + 2
                if size >= _LONG:
                    size, start = size + (message[start] - 1 << 7), start + 1
                at = start + size
                destination = message[start:at]
                if at > len(message) or size >= _TOO_LONG or len(source) >= _TOO_LONG:
                    yield None
                    continue
                if not second and not uuid:
                    start = message.find(_UUID, at)
                    if start >= 0:
                        second, start = message[at:start], start + len(_UUID)
                        at = start + _UUID_BYTES
                        uuid = message[start:at]
            except IndexError:
                yield None
                continue
            runs = (first, second, message[at:])
            yield stamp[1:], uuid, ethernet, ip, l4, source, destination, runs


def _head(data: bytes) -> int:
    """Read the size of the response's time with its length; 0 if other fields come first."""
    name_end = len(data) - 3
    tags = data[:2] == _NODE_NAME and data[name_end:-1] == _TIME_OF_RESPONSE
    return 1 + data[-1] if tags and data[2] < _LONG > data[-1] else 0


def _flow_head(data: bytes) -> tuple[int, int]:
    """Read a flow's tag and length; returns the size of both, and of all. (0, 0): neither."""
    length = shift = 0
    if data[:1] != _FLOW:
        return 0, 0
    for index, byte in enumerate(data[1:]):
        length |= (byte & 0x7F) << shift
        if byte < _LONG:
            return index + 2, index + 2 + length
        shift += 7
    return 0, 0


def joined(runs: tuple[bytes, ...]) -> Flow | None:
    """Read all runs as one message; None if they are none, or hold one of the parts."""
    try:
        for run in runs:
            Flow.FromString(run)
        flow = Flow.FromString(b"".join(runs))
    except DecodeError:
        return None
    return None if any(flow.HasField(name) for name in _PARTS) else flow
