"""The fast way for flows: what is new in each one between texts that were written before.

    flow  =  time uuid ethernet IP l4         new each time
          +  source destination interface ... kept by their bytes
          +  the runs of fields between: verdict, types, Summary ...   kept by their bytes, cut into
                                                                       five where the parts belong

Texts are bytes here, since most of them are cut from a message and go to a file as they are.
`quickcut` takes a flow apart if its fields are in the usual order, else `shallow` does; where
something is not in the usual shape, the walk of `writer.py` is taken, three times as slow. The text
is the same to the letter. The page is long because few of its pieces mean anything alone.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from api.proto.flow.flow_pb2 import TCP, FileInfo, Flow, IPVersion, Layer4
from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli import wire
from cli.kept import Kept
from cli.quickcut import QuickCut, QuickCutter, joined
from cli.wirejson import render
from cli.wirejson.writer import MessageWriter, Writers

if TYPE_CHECKING:
    from cli.shallow import Cutter

# The second and third byte of the tags of all policies: where they begin in the rest of a flow.
_POLICIES = b"\xa0\n"
# Tags of parts that follow others in the order of our servers.
_INTERFACE, _FILE = b"\xe2\x01", b"\xb2\x02"
# Go's servers write it before Ethernet, ours behind.
_VERDICT = b"\x10"
_CUTS = ("ethernet", "source", "file", "interface")
_PARTS = ("time", "uuid", "ethernet", "IP", "l4", "source", "destination", "file", "interface")
_FLAGS_TAG = 0x1A
_NO_RUNS = (b"", b"", b"")


class _Segments(NamedTuple):
    """Texts before ethernet, source, file and interface, and behind it."""

    head: bytes
    before_source: bytes
    before_file: bytes
    before_interface: bytes
    end: bytes
    last_slot: int
    """The last one in use; -1 for none."""


_Usual = tuple[QuickCut, bytes, bytes, _Segments, bytes, bytes]
"""The parts, interface and file; the texts around them and behind all; the node's name."""


class _Frame(NamedTuple):
    """What stands around hardware and IP addresses, and how to find those."""

    layout: wire.Layout
    before_source: bytes
    before_destination: bytes
    before_ip_source: bytes
    before_ip_destination: bytes
    end: bytes


class FlowLines:
    """Writes responses of GetFlows as JSON lines."""

    def __init__(self) -> None:
        """Make the writers of the parts."""
        writers = Writers()
        self._quick_cutter = QuickCutter()
        self._is_our_order = True
        self._any_response = writers.of(GetFlowsResponse.DESCRIPTOR)
        self._fields = MessageWriter(Flow.DESCRIPTOR, writers)
        fields = Flow.DESCRIPTOR.fields_by_name
        endpoint = writers.of(fields["source"].message_type)
        interface = writers.of(fields["interface"].message_type)
        self._l4 = writers.of(Layer4.DESCRIPTOR)
        self._tcp = writers.of(TCP.DESCRIPTOR)
        self._endpoint = Kept(_encoded(endpoint))
        self._file = Kept(_named("file", writers.of(FileInfo.DESCRIPTOR)))
        self._interface = Kept(_named("interface", interface))
        self._node_name = Kept(_named("node_name", render.string))
        self._flags = Kept(self._after_ports)
        self._second = Kept(_second)
        self._frame = Kept(_frame)
        self._segments = Kept(self._segments_of)
        self._two_runs = Kept(self._cut_runs)
        self._last_fields = Kept(self._fields_of)
        self._part_slots = [self._fields.slot(name) for name in _PARTS]
        self._cut_slots = [self._fields.slot(name) for name in _CUTS]

    def pieces(
        self, messages: Sequence[bytes], other: Callable[[bytes], Sequence[bytes]]
    ) -> list[bytes]:
        """Write responses as lines, in pieces; what is no usual flow is given to `other`.

        Raises:
            DecodeError: bytes that are no response.
        """
        pieces: list[bytes] = []
        cuts = self._quick_cutter.cuts(messages) if self._is_our_order else repeat(None)
        for message, cut in zip(messages, cuts, strict=False):
            line = self._flow(message, cut)
            pieces += other(message) if line is None else line
        return pieces

    def any(self, message: bytes) -> str:
        """Write any response as a JSON object; raises DecodeError on bytes that are none."""
        return self._any_response(message)

    def _flow(self, message: bytes, cut: QuickCut | None) -> Sequence[bytes] | None:
        """Write a flow in the usual shape as the pieces of a line; None for anything else."""
        usual = self._at_a_glance(message, cut) if cut is not None else None
        usual = usual or self._in_any_order(message)
        if usual is None:
            return None
        cut, interface, file, segments, last, name = usual
        stamp, uuid, ethernet, ip, l4, source, destination, _ = cut
        packet = ethernet + ip
        frame = self._frame[wire.shape(uuid + packet)]
        time = self._time(stamp)
        if frame is None or not time:
            return None
        layout, before_left, before_right, before_ip_left, before_ip_right, ip_end = frame
        if len(packet) != layout.size_bytes:
            return None
        a, left, b, right, c, ip_left, d, ip_right, e, _ = layout.unpack(packet)
        if (a, b, c, d, e) != layout.marks:
            return None
        head, before_source, before_file, before_interface, end, _ = segments
        return (
            b'{"flow":{',
            time,
            b',"uuid":"' if uuid else b"",
            uuid,
            b'"' if uuid else b"",
            head,
            before_left,
            left,
            before_right,
            right,
            before_ip_left,
            ip_left,
            before_ip_right,
            ip_right,
            ip_end,
            self._ports(l4) if l4 else b"",
            before_source,
            b',"source":' if source else b"",
            self._endpoint[source],
            b',"destination":' if destination else b"",
            self._endpoint[destination],
            before_file,
            self._file[file] if file else b"",
            before_interface,
            self._interface[interface] if interface else b"",
            end,
            last,
            b"}",
            self._node_name[name],
            b",",
            time,
            b"}\n",
        )

    def _at_a_glance(self, message: bytes, cut: QuickCut) -> _Usual | None:
        """Take up a flow that has its fields in the order of our servers."""
        _, _, _, ip, _, source, destination, (first, second, last) = cut
        if first.startswith(_VERDICT):
            # That is Go's order, and its last run has parts within.
            self._is_our_order = False
            return None
        interface = file = b""
        if last.startswith(_INTERFACE):
            interface, last = _taken(last)
        if last.startswith(_FILE):
            file, last = _taken(last)
        segments, text = self._two_runs[first, second], b""
        if segments is None or not source or not destination or not ip:
            return None
        if last:
            text, first_slot = self._last_fields[last]
            if first_slot <= segments.last_slot:
                return None
        name = message[3 : 3 + message[2]]
        return cut, interface, file, segments, text, name

    @cached_property
    def _cut(self) -> "Cutter":
        # Its schema takes milliseconds to make, and most servers' flows do without.
        from cli.shallow import Cutter

        return Cutter()

    def _in_any_order(self, message: bytes) -> _Usual | None:
        """Take a flow apart by way of protobuf."""
        cut = self._cut(message)
        if cut is None:
            return None
        stamp, ethernet, ip, l4, source, destination, uuid, interface, file, rest, name = cut
        segments = self._segments[rest] if _POLICIES not in rest else self._in_two_steps(rest)
        if segments is None:
            return None
        parts = stamp, uuid, ethernet, ip, l4, source, destination, _NO_RUNS
        return parts, interface, file, segments, b"", name

    def _time(self, stamp: bytes) -> bytes:
        """Write a time; nothing for one in no usual shape."""
        second, nanos = self._second[stamp[: wire.TIME_HEAD_BYTES]], wire.nanos(stamp)
        if not second or nanos < 0:
            return b""
        if nanos % 1000:
            return b'"time":"%b.%09dZ"' % (second, nanos)
        return b'"time":"%b%bZ"' % (second, render.fraction_text(nanos).encode())

    def _ports(self, l4: bytes) -> bytes:
        found = wire.ports(l4)
        if found is not None:
            kind, source, destination, tail = found
            ports = f'"source_port":{source},"destination_port":{destination}'
            if kind == wire.TCP:
                flags = self._flags[tail]
                if flags is not None:
                    return f',"l4":{{"TCP":{{{ports}{flags}}}}}'.encode()
            elif kind == wire.UDP and not tail:
                return f',"l4":{{"UDP":{{{ports}}}}}'.encode()
        return f',"l4":{self._l4(l4)}'.encode()

    def _after_ports(self, tail: bytes) -> str | None:
        """Write what follows the ports of TCP: flags alone or nothing; None for anything else."""
        if not tail:
            return ""
        if len(tail) < 2 or tail[0] != _FLAGS_TAG or tail[1] != len(tail) - 2:
            return None
        return f",{self._tcp(tail)[1:-1]}"

    def _in_two_steps(self, rest: bytes) -> _Segments | None:
        """Get the segments of a rest with policies: few combinations of many come again."""
        at = rest.index(_POLICIES) - 1
        if at < 0:
            return self._segments[rest]
        # Bytes before a place that is no field's beginning are a truncated message: no segments.
        segments = self._segments[rest[:at]]
        if segments is not None:
            segments = self._followed(segments, rest[at:])
        return segments or self._segments[rest]

    def _followed(self, segments: _Segments, last: bytes) -> _Segments | None:
        """Add fields that all belong behind the others; None if they do not."""
        text, first_slot = self._last_fields[last]
        head, before_source, before_file, before_interface, end, last_slot = segments
        if first_slot <= last_slot:
            return None
        return _Segments(head, before_source, before_file, before_interface, end + text, first_slot)

    def _cut_runs(self, runs: tuple[bytes, bytes]) -> _Segments | None:
        """Write two runs of fields; None unless both are messages without any of the parts."""
        return None if joined(runs) is None else self._segments_of(b"".join(runs))

    def _segments_of(self, rest: bytes) -> _Segments | None:
        """Write a flow without its parts, cut where they belong; None if they are in it."""
        try:
            slots = self._fields.slots(rest)
        except DecodeError:
            return None
        if any(slots[slot] for slot in self._part_slots):
            return None
        ethernet, source, file, interface = self._cut_slots
        return _Segments(
            head=_led(slots[:ethernet]),
            before_source=_led(slots[ethernet:source]),
            before_file=_led(slots[source:file]),
            before_interface=_led(slots[file:interface]),
            end=_led(slots[interface:]),
            last_slot=max((number for number, text in enumerate(slots) if text), default=-1),
        )

    def _fields_of(self, last: bytes) -> tuple[bytes, int]:
        """Write fields that belong behind an interface, and tell the first slot; else -1."""
        try:
            slots = self._fields.slots(last)
        except DecodeError:
            return b"", -1
        interface = self._cut_slots[-1]
        if any(slots[: interface + 1]) or not any(slots):
            return b"", -1
        return _led(slots), next(number for number, text in enumerate(slots) if text)


def _taken(fields: bytes) -> tuple[bytes, bytes]:
    """Take the payload of the first field, of a tag of two bytes; nothing if that is unusual."""
    end = 3 + fields[2] if len(fields) > 2 and fields[2] < 128 else 3
    return (fields[3:end], fields[end:]) if 3 < end <= len(fields) else (b"", fields)


def _second(head: bytes) -> bytes:
    """Write a time up to the second; nothing for one in no usual shape."""
    seconds = wire.seconds(head)
    return b"" if seconds is None else render.second_text(seconds).encode()


def _frame(shape: bytes) -> _Frame | None:
    layout = wire.layout(shape)
    if layout is None:
        return None
    version = f',"ipVersion":"{IPVersion.Name(layout.ip_version)}"' if layout.ip_version else ""
    ethernet = (b',"ethernet":{"source":"', b'","destination":"', b'"}')
    if not layout.has_ethernet:
        ethernet = (b"", b"", b"")
    return _Frame(
        layout=layout,
        before_source=ethernet[0],
        before_destination=ethernet[1],
        before_ip_source=ethernet[2] + b',"IP":{"source":"',
        before_ip_destination=b'","destination":"',
        end=f'"{version}}}'.encode(),
    )


def _led(slots: Sequence[str]) -> bytes:
    """Join texts, with the comma before each of them instead of behind."""
    text = "".join(slots)
    return f",{text[:-1]}".encode() if text else b""


def _encoded(write: Callable[[bytes], str]) -> Callable[[bytes], bytes]:
    def text(payload: bytes) -> bytes:
        return write(payload).encode() if payload else b""

    return text


def _named(name: str, write: Callable[[bytes], str]) -> Callable[[bytes], bytes]:
    head = f',"{name}":'

    def text(payload: bytes) -> bytes:
        return f"{head}{write(payload)}".encode() if payload else b""

    return text
