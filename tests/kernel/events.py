"""Samples read by plain struct unpacking from bpf/include/events.h: independent of the decoder."""

import struct
from dataclasses import dataclass

HEADER_BYTES = {1: 48, 4: 56, 5: 40}
DEBUG = 2
SAMPLE_BYTES = 216
POINTS = {
    0: "to-endpoint",
    2: "to-host",
    3: "to-stack",
    5: "from-endpoint",
    7: "from-host",
    10: "from-network",
    11: "to-network",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One sample, fields of all kinds side by side."""

    kind: str
    subtype: int
    endpoint: int
    source_identity: int = 0
    destination_identity: int = 0
    destination_endpoint: int = 0
    reason: int = 0
    line: int = 0
    file: int = 0
    ifindex: int = 0
    ipv6: bool = False
    remote: int = 0
    verdict: int = 0
    port: int = 0
    protocol: int = 0
    direction: int = 0
    match: int = 0
    is_audited: bool = False
    cookie: int = 0
    byte_count: int = 0
    packets: int = 0
    rule_cookie: int = 0
    rtt_ns: int = 0
    vlan: int = 0
    swept: bool = False
    packet: bytes = b""
    length: int = 0
    tail: bytes = b""
    mark: int = 0
    arguments: tuple[int, int, int] = (0, 0, 0)

    @property
    def name(self) -> str:
        """As people read it: `verdict ingress allowed`, `drop 133`, `to-endpoint new`."""
        if self.kind == "verdict":
            way = {1: "ingress", 2: "egress"}[self.direction]
            return f"verdict {way} {'allowed' if self.verdict == 0 else self.verdict}"
        if self.kind == "debug":
            return f"debug {self.subtype}"
        if self.kind == "drop":
            return f"drop {self.subtype}"
        point = POINTS[self.subtype]
        reason = {0: "new", 1: "established", 2: "reply", 3: "related"}[self.reason]
        return f"{point} {reason}"


def read_event(sample: bytes) -> Event:
    """Take a sample of SAMPLE_BYTES apart."""
    assert len(sample) == SAMPLE_BYTES
    if sample[0] == DEBUG:
        return _read_debug(sample)
    kind, subtype, source, mark, length, captured, version, ext = struct.unpack_from(
        "=BBHIIHBB", sample
    )
    assert ext == 1
    at = HEADER_BYTES[kind]
    size, packets, rule, rtt, vlan, flags = struct.unpack_from("=QIIIHB", sample, at)
    packet = sample[at + 32 : at + 32 + captured]
    tail = sample[at + 32 + captured :]
    extra = {
        "byte_count": size,
        "packets": packets,
        "rule_cookie": rule,
        "rtt_ns": rtt,
        "vlan": vlan & 0xFFF if flags & 1 else 0,
        "swept": bool(flags & 2),
    }
    rest = {"packet": packet, "length": length, "tail": tail, "mark": mark}
    if kind == 1:
        assert version == 3
        src, dst, dst_id, line, file, _, ifindex, ip_flags = struct.unpack_from(
            "=IIIHBbIB", sample, 16
        )
        fields = {
            "source_identity": src,
            "destination_identity": dst,
            "destination_endpoint": dst_id,
            "line": line,
            "file": file,
            "ifindex": ifindex,
            "ipv6": bool(ip_flags & 1),
        }
    elif kind == 4:
        assert version == 2
        src, dst, dst_id, reason, ip_flags, ifindex = struct.unpack_from("=IIHBBI", sample, 16)
        fields = {
            "source_identity": src,
            "destination_identity": dst,
            "destination_endpoint": dst_id,
            "reason": reason,
            "ifindex": ifindex,
            "ipv6": bool(ip_flags & 1),
        }
    else:
        assert version == 1
        remote, verdict, port, protocol, bits = struct.unpack_from("=IiHBB", sample, 16)
        fields = {
            "remote": remote,
            "verdict": verdict,
            "port": port,
            "protocol": protocol,
            "direction": bits & 3,
            "ipv6": bool(bits & 4),
            "match": bits >> 3 & 7,
            "is_audited": bool(bits & 0x40),
            "cookie": struct.unpack_from("=I", sample, 32)[0],
        }
    name = {1: "drop", 4: "trace", 5: "verdict"}[kind]
    return Event(kind=name, subtype=subtype, endpoint=source, **fields, **extra, **rest)


def _read_debug(sample: bytes) -> Event:
    _, subtype, source, mark, *arguments = struct.unpack_from("=BBHIIII", sample)
    return Event(
        kind="debug",
        subtype=subtype,
        endpoint=source,
        mark=mark,
        arguments=(arguments[0], arguments[1], arguments[2]),
        tail=sample[20:],
    )
