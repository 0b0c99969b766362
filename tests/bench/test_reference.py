import struct
from ipaddress import ip_address

import pytest

from api.proto.flow import flow_pb2
from bench.reference import Packet, of_flow, read
from observer.samples import SAMPLE_BYTES

EXT = bytes(32)
V4 = (ip_address("10.0.0.1").packed, ip_address("10.0.0.2").packed)
V6 = (ip_address("fd00::1").packed, ip_address("fd00::1.2.3.4").packed)
TCP = struct.pack("!HH", 40_000, 80) + bytes(16)


def ipv4(protocol: int, layer4: bytes, *, first: int = 0x45, fragment: int = 0) -> bytes:
    head = struct.pack("!BBHHHBBH", first, 0, 20 + len(layer4), 0, fragment, 64, protocol, 0)
    return bytes(12) + b"\x08\x00" + head + V4[0] + V4[1] + layer4


def ipv6(protocol: int, layer4: bytes) -> bytes:
    head = struct.pack("!IHBB", 6 << 28, len(layer4), protocol, 64)
    return bytes(12) + b"\x86\xdd" + head + V6[0] + V6[1] + layer4


def common(kind: int, version: int, packet: bytes) -> bytes:
    return struct.pack("=BBHIIHBB", kind, 0, 7, 0, 1500, len(packet), version, 1)


def sample(header: bytes, packet: bytes) -> bytes:
    return (header + EXT + packet).ljust(SAMPLE_BYTES, b"\0")


def trace(packet: bytes, *, flags: int = 0, original: bytes = b"", version: int = 2) -> bytes:
    rest = struct.pack("=IIHBBI16sQ", 1, 2, 0, 1, flags, 3, original, 0)
    return sample(common(4, version, packet) + rest, packet)


def drop(packet: bytes) -> bytes:
    rest = struct.pack("=IIIHBbIBxxxQ", 1, 2, 9, 100, 200, 0, 3, 0, 0)
    return sample(common(1, 3, packet) + rest, packet)


def verdict(packet: bytes, number: int, flags: int = 1) -> bytes:
    rest = struct.pack("=IiHBBBxxxII", 2, number, 80, 6, flags, 0, 0, 0)
    return sample(common(5, 1, packet) + rest, packet)


FORWARDED, DROPPED, AUDIT = flow_pb2.FORWARDED, flow_pb2.DROPPED, flow_pb2.AUDIT
OVER_V4 = Packet(FORWARDED, "10.0.0.1", "10.0.0.2", "TCP", 40_000, 80)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(trace(ipv4(6, TCP)), OVER_V4, id="trace"),
        pytest.param(drop(ipv4(6, TCP)), OVER_V4._replace(verdict=DROPPED), id="drop"),
        pytest.param(verdict(ipv4(6, TCP), 0), OVER_V4, id="allowed"),
        pytest.param(verdict(ipv4(6, TCP), 0, 0x41), OVER_V4._replace(verdict=AUDIT), id="audit"),
        pytest.param(
            verdict(ipv4(6, TCP), 15_001),
            OVER_V4._replace(verdict=flow_pb2.REDIRECTED),
            id="redirected",
        ),
        pytest.param(verdict(ipv4(6, TCP), -133), OVER_V4._replace(verdict=DROPPED), id="denied"),
        pytest.param(
            trace(ipv4(6, TCP), original=ip_address("9.9.9.9").packed),
            OVER_V4._replace(source="9.9.9.9"),
            id="translated",
        ),
        pytest.param(
            trace(ipv6(17, struct.pack("!HHHH", 53, 5353, 8, 0)), flags=1),
            Packet(FORWARDED, "fd00::1", "fd00::102:304", "UDP", 53, 5353),
            id="udp-over-ipv6",
        ),
        pytest.param(
            trace(ipv6(58, bytes([128, 0, 0, 0])), flags=1),
            Packet(FORWARDED, "fd00::1", "fd00::102:304", "ICMPv6", 128, 0),
            id="icmpv6",
        ),
        pytest.param(
            trace(ipv4(1, bytes([3, 1]) + bytes(6))),
            Packet(FORWARDED, "10.0.0.1", "10.0.0.2", "ICMPv4", 3, 1),
            id="icmpv4",
        ),
        pytest.param(trace(ipv4(6, TCP), version=1), None, id="old-version"),
        pytest.param(trace(ipv4(6, TCP), flags=4), None, id="tunnel"),
        pytest.param(trace(ipv4(6, TCP, first=0x46)), None, id="options"),
        pytest.param(trace(ipv4(6, TCP, fragment=0x2000)), None, id="first-fragment"),
        pytest.param(trace(ipv4(6, TCP[:12])), None, id="cut"),
        pytest.param(trace(ipv4(58, TCP)), None, id="icmpv6-over-ipv4"),
        pytest.param(bytes(SAMPLE_BYTES), None, id="nothing"),
    ],
)
def test_read(data: bytes, expected: Packet | None) -> None:
    assert read(data) == expected


def test_of_flow() -> None:
    flow = flow_pb2.Flow(
        verdict=flow_pb2.DROPPED,
        IP=flow_pb2.IP(source="10.0.0.1", destination="10.0.0.2"),
        l4=flow_pb2.Layer4(TCP=flow_pb2.TCP(source_port=40_000, destination_port=80)),
    )
    assert of_flow(flow) == OVER_V4._replace(verdict=DROPPED)
    flow.l4.ICMPv4.type = 3
    assert of_flow(flow)[3:] == ("ICMPv4", 3, 0)
