"""Values read from the wire, against protobuf, and nothing where the shape is another."""

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from api.proto.flow.flow_pb2 import IP, Ethernet, Layer4
from cli import wire

PORTS = st.one_of(
    st.sampled_from((0, 1, 127, 128, 16383, 16384, 65535)), st.integers(0, (1 << 32) - 1)
)


@given(seconds=st.integers(0, 1 << 36), nanos=st.integers(0, 999_999_999))
def test_times(seconds: int, nanos: int) -> None:
    data = Timestamp(seconds=seconds, nanos=nanos).SerializeToString()
    found = wire.seconds(data[: wire.TIME_HEAD_BYTES])
    assert found in (None, seconds)
    if found is not None:
        assert wire.nanos(data) in (-1, nanos)


@pytest.mark.parametrize("nanos", [1 << 21, 89_123_456, (1 << 28) - 1, 1 << 28, 999_999_999])
def test_usual_times_are_read(nanos: int) -> None:
    data = Timestamp(seconds=1_772_600_767, nanos=nanos).SerializeToString()
    assert wire.seconds(data[: wire.TIME_HEAD_BYTES]) == 1_772_600_767
    assert wire.nanos(data) == nanos


@given(data=st.binary(min_size=11, max_size=12))
def test_bytes_that_are_read_as_time_are_one(data: bytes) -> None:
    data = b"\x08\xbf\xfb\x9e\xcd\x06\x10" + data[7:]
    nanos = wire.nanos(data)
    if nanos >= 0:
        assert Timestamp.FromString(data).nanos == nanos


@given(source=PORTS, destination=PORTS, udp=st.booleans(), syn=st.booleans())
def test_ports(source: int, destination: int, udp: bool, syn: bool) -> None:
    l4 = Layer4()
    ends = l4.UDP if udp else l4.TCP
    ends.source_port, ends.destination_port = source, destination
    if syn and not udp:
        l4.TCP.flags.SYN = True
    found = wire.ports(l4.SerializeToString())
    if 0 < source < 1 << 16 and 0 < destination < 1 << 16:
        tail = b"\x1a\x02\x10\x01" if syn and not udp else b""
        assert found == (wire.UDP if udp else wire.TCP, source, destination, tail)
    else:
        assert found is None


@given(data=st.binary(max_size=14))
def test_bytes_that_are_read_as_ports_are_some(data: bytes) -> None:
    data = b"\x0a" + bytes((len(data) + 1,)) + b"\x08" + data
    found = wire.ports(data)
    if found is None or found[3]:
        return
    try:
        tcp = Layer4.FromString(data).TCP
    except DecodeError:
        pytest.fail(f"{data!r} is no message, but read as {found}")
    assert (tcp.source_port, tcp.destination_port) == found[1:3]


@pytest.mark.parametrize("first", [True, False], ids=["version first", "version last"])
@pytest.mark.parametrize("has_ethernet", [True, False])
def test_layouts(has_ethernet: bool, first: bool) -> None:
    mac = ("02:00:00:00:00:01", "02:00:00:00:00:b2")
    hardware = Ethernet(source=mac[0], destination=mac[1]).SerializeToString()
    texts = IP(source="10.0.0.1", destination="fd00::1").SerializeToString()
    ip = b"\x18\x02" + texts if first else texts + b"\x18\x02"
    packet = hardware + ip if has_ethernet else ip
    layout = wire.layout(wire.shape(packet))
    assert layout is not None
    assert (layout.size_bytes, layout.ip_version) == (len(packet), 2)
    parts = layout.unpack(packet)
    assert parts[::2] == layout.marks
    macs = tuple(text.encode() for text in mac) if has_ethernet else (b"", b"")
    assert parts[1::2] == (*macs, b"10.0.0.1", b"fd00::1", b"")


@pytest.mark.parametrize(
    "ip",
    [
        b"",
        b"\n\x0810.0.0.1",
        b"\x18\x03\n\x0110\x12\x011",
        b'\n\x01"\x12\x011',
        b"\x18\x01\n\x011\x12\x011\x18\x01",
        b"\n\x011\x12\x011 \x01",
    ],
    ids=["nothing", "one", "version 3", "quote", "version twice", "encrypted"],
)
def test_unusual_addresses_have_no_layout(ip: bytes) -> None:
    assert wire.layout(wire.shape(ip)) is None
