"""A slow decoder of one sample, written from the description of the formats: the oracle.

It imports nothing of the product: plain struct unpacking, one sample at a time.
"""

import struct
from dataclasses import dataclass, field
from typing import Any

MAPPED = bytes(10) + b"\xff\xff"
DROP, CAPTURE, TRACE, VERDICT, SOCK = 1, 3, 4, 5, 7
TRANSPORT = {1: (3, 8), 2: (7, 8), 6: (1, 20), 17: (2, 8), 58: (4, 4), 112: (6, 8), 132: (5, 12)}
EXTENSIONS = {0, 43, 44, 51, 60, 135}


class RefusedError(Exception):
    """The sample cannot be decoded; the text is the ledger's reason."""


@dataclass
class Decoded:
    columns: dict[str, Any]
    source_identity: int = 0
    destination_identity: int = 0
    ifindex: int = 0
    original: bytes = b""
    header_source: bytes = b""
    tunnel: dict[str, Any] | None = None
    socket: tuple[int, int] | None = None


@dataclass
class Packet:
    macs: bytes | None = None
    vlan_id: int = 0
    version: int = 0
    source: bytes = bytes(16)
    destination: bytes = bytes(16)
    l4: int = 0
    ports: tuple[int, int] = (0, 0)
    tcp_flags: int = 0
    payload: bytes = b""
    notes: list[str] = field(default_factory=list)


def decode(sample: bytes) -> Decoded:
    kind = sample[0]
    if kind == 2:
        return _debug(sample)
    if kind == SOCK:
        return _socket(sample)
    if kind not in (DROP, CAPTURE, TRACE, VERDICT):
        raise RefusedError("unknown event type")
    if kind == CAPTURE:
        return _capture(sample)
    version, ext_version = sample[14], sample[15]
    lengths = {DROP: (36, 36, 40, 48), TRACE: (32, 48, 56), VERDICT: (40, 40)}[kind]
    if version >= len(lengths):
        raise RefusedError("unknown header version")
    if ext_version > 1:
        raise RefusedError("unknown extension version")
    size = lengths[version]
    header = sample[:size] + bytes(56 - size)
    ext = sample[size : size + 32] if ext_version else bytes(32)
    start = size + 32 * ext_version
    (captured,) = struct.unpack_from("=H", sample, 12)
    data = sample[start : start + captured]
    result = {DROP: _drop, TRACE: _trace, VERDICT: _verdict}[kind](header)
    packet = _outer(data, kind, header, result)
    _put_packet(result, packet)
    _put_ext(result, ext, kind)
    if result.original and packet.version:
        result.header_source = packet.source
        result.columns["source_ip"] = result.original
    else:
        result.original = b""
    return result


def _debug(sample: bytes) -> Decoded:
    columns = _columns(sample)
    (mark,) = struct.unpack_from("=I", sample, 4)
    columns |= {"ip_trace_id": mark, "macs": sample[8:20]}
    columns |= dict.fromkeys(("ip_version", "l4_kind", "tcp_flags"), 0)
    columns |= dict.fromkeys(("source_port", "destination_port"), 0)
    columns |= dict.fromkeys(("source_ip", "destination_ip"), bytes(16))
    return Decoded(columns)


def _columns(header: bytes) -> dict[str, Any]:
    columns: dict[str, Any] = dict.fromkeys(
        (
            "verdict",
            "drop_reason",
            "direction",
            "match_type",
            "auth_type",
            "trace_reason",
            "flags",
            "proxy_port",
            "file",
            "line",
            "rule_cookie",
            "ip_trace_id",
            "bytes",
            "packets",
            "rtt_ns",
            "vlan_id",
        ),
        0,
    )
    (source,) = struct.unpack_from("=H", header, 2)
    columns |= {"kind": header[0], "sub_type": header[1], "endpoint_id": source, "is_reply": -1}
    return columns


def _drop(header: bytes) -> Decoded:
    columns = _columns(header)
    src, dst, _, line, file, _, ifindex, _ = struct.unpack_from("=IIIHBbIB", header, 16)
    (columns["ip_trace_id"],) = struct.unpack_from("=Q", header, 40)
    columns |= {"verdict": 2, "drop_reason": header[1], "line": line, "file": file}
    return Decoded(columns, source_identity=src, destination_identity=dst, ifindex=ifindex)


def _trace(header: bytes) -> Decoded:
    columns = _columns(header)
    src, dst, dst_id, reason, flags, ifindex, original, trace_id = struct.unpack_from(
        "=IIHBBI16sQ", header, 16
    )
    encrypted, reason = reason & 0x80, reason & 0x7F
    columns["verdict"] = 1
    columns["flags"] = 2 if encrypted else 0
    columns["trace_reason"] = 0 if reason == 5 else reason + 1 if reason < 5 else reason
    columns["is_reply"] = -1 if reason in (5, 6, 7) else int(reason == 2)
    columns["proxy_port"] = dst_id if header[1] == 1 else 0
    columns["ip_trace_id"] = trace_id
    if original == bytes(16):
        original = b""
    elif not flags & 1:
        original = MAPPED + original[:4]
    return Decoded(
        columns,
        source_identity=src,
        destination_identity=dst,
        ifindex=ifindex,
        original=original,
    )


def _verdict(header: bytes) -> Decoded:
    columns = _columns(header)
    remote, verdict, _, _, flags, auth_type, cookie = struct.unpack_from("=IiHBBB3xI", header, 16)
    columns["match_type"] = flags >> 3 & 7
    columns["auth_type"] = auth_type
    columns["direction"] = {1: 1, 2: 2}.get(flags & 3, 0)
    columns["rule_cookie"] = cookie
    if verdict < 0:
        columns |= {"verdict": 2, "drop_reason": min(-verdict, 255)}
    elif verdict > 0:
        columns |= {"verdict": 5, "is_reply": 0}
    else:
        columns |= {"verdict": 4 if flags & 0x40 else 1, "is_reply": 0}
    ingress = flags & 3 == 1
    return Decoded(
        columns,
        source_identity=remote if ingress else 0,
        destination_identity=0 if ingress else remote,
    )


def _capture(sample: bytes) -> Decoded:
    captured, _, argument = struct.unpack_from("=III", sample, 8)
    columns = _columns(sample)
    result = Decoded(columns)
    if sample[1] in (4, 5, 6, 7, 10, 11):
        result.ifindex = argument
    if sample[1] in (8, 9):
        columns["proxy_port"] = int.from_bytes(sample[16:20], "big") & 0xFFFF
    _put_packet(result, _walk(sample[24 : 24 + captured], 0))
    return result


def _socket(sample: bytes) -> Decoded:
    _, point, address, port, cookie, cgroup, l4, flags = struct.unpack_from("=BB16sHQQBB", sample)
    if not flags & 1:
        address = MAPPED + address[:4]
    columns = _columns(sample)
    columns |= {
        "sub_type": point,
        "endpoint_id": 0,
        "verdict": {1: 6, 3: 6, 2: 7, 4: 7}.get(point, 0),
        "flags": 8,
        "ip_version": 2 if flags & 1 else 1,
        "l4_kind": {1: 1, 2: 2}.get(l4, 0),
        "tcp_flags": 0,
        "macs": bytes(12),
    }
    far, near = ("source", "destination") if point in (3, 4) else ("destination", "source")
    columns |= {f"{far}_ip": address, f"{near}_ip": bytes(16)}
    columns |= {f"{far}_port": port, f"{near}_port": 0}
    return Decoded(columns, socket=(cookie, cgroup))


def _put_ext(result: Decoded, ext: bytes, kind: int) -> None:
    columns = result.columns
    count, packets, cookie, rtt, tci, flags = struct.unpack_from("=QIIIHB", ext)
    columns |= {"bytes": count, "packets": packets, "rtt_ns": rtt}
    if kind != VERDICT:
        columns["rule_cookie"] = cookie
    if flags & 1 and not columns["vlan_id"]:
        columns["vlan_id"] = tci & 0xFFF
    if flags & 2:
        columns["flags"] |= 4
    if flags & 8:
        columns["flags"] |= 0x10


def _put_packet(result: Decoded, packet: Packet) -> None:
    columns = result.columns
    columns["macs"] = packet.macs or bytes(12)
    columns["flags"] |= 1 if packet.macs is not None else 0
    columns["vlan_id"] = packet.vlan_id
    columns["ip_version"] = packet.version
    columns["source_ip"], columns["destination_ip"] = packet.source, packet.destination
    columns["source_port"], columns["destination_port"] = packet.ports
    columns["l4_kind"], columns["tcp_flags"] = packet.l4, packet.tcp_flags


def _outer(data: bytes, kind: int, header: bytes, result: Decoded) -> Packet:
    flags = header[36] if kind == DROP else header[27]
    if kind == VERDICT:
        return _walk(data, (0x86DD if flags & 4 else 0x0800) if flags & 0x80 else 0)
    packet = _walk(data, (0x86DD if flags & 1 else 0x0800) if flags & 2 else 0)
    if not flags & 0x0C or not packet.version:
        return packet
    protocol = 1 if flags & 4 else 2
    header, vni, inner = packet.payload[:8], 0, Packet()
    if packet.l4 == 2 and len(header) == 8:
        vni = int.from_bytes(header[4:7], "big")
        ethertype, skip = 0, 8
        if protocol == 2:
            skip += (header[0] & 0x3F) * 4
            ethertype = int.from_bytes(header[2:4], "big")
            ethertype = 0 if ethertype == 0x6558 else ethertype
        try:
            inner = _walk(packet.payload[skip:], ethertype)
        except RefusedError:
            inner = Packet()
    result.tunnel = {
        "protocol": protocol,
        "vni": vni,
        "ip_version": packet.version,
        "source": packet.source,
        "destination": packet.destination,
        "l4_kind": packet.l4,
        "source_port": packet.ports[0],
        "destination_port": packet.ports[1],
    }
    result.columns["flags"] |= 8
    return inner


def _walk(data: bytes, ethertype: int) -> Packet:
    packet = Packet()
    if not ethertype:
        if len(data) < 14:
            raise RefusedError("ethernet header cut short")
        packet.macs = data[6:12] + data[:6]
        (ethertype,) = struct.unpack_from(">H", data, 12)
        data = data[14:]
        for tag in range(2):
            if ethertype in (0x8100, 0x88A8):
                if len(data) < 4:
                    raise RefusedError("vlan tag cut short")
                tci, ethertype = struct.unpack_from(">HH", data)
                packet.vlan_id = packet.vlan_id if tag else tci & 0xFFF
                data = data[4:]
    if ethertype == 0x0800:
        proto, data = _ipv4(packet, data)
    elif ethertype == 0x86DD:
        proto, data = _ipv6(packet, data)
    else:
        return packet
    if proto in TRANSPORT:
        _transport(packet, proto, data)
    return packet


def _ipv4(packet: Packet, data: bytes) -> tuple[int, bytes]:
    if len(data) < 20:
        raise RefusedError("ipv4 header cut short")
    size = (data[0] & 15) * 4
    if data[0] >> 4 != 4 or size < 20:
        raise RefusedError("ipv4 header invalid")
    if size > len(data):
        raise RefusedError("ipv4 header cut short")
    total, _, fragment, _, proto = struct.unpack_from(">HHHBB", data, 2)
    if total and total < size:
        raise RefusedError("ipv4 header invalid")
    packet.version = 1
    packet.source, packet.destination = MAPPED + data[12:16], MAPPED + data[16:20]
    data = data[:total] if total else data
    return (-1 if fragment & 0x1FFF else proto), data[size:]


def _ipv6(packet: Packet, data: bytes) -> tuple[int, bytes]:
    if len(data) < 40:
        raise RefusedError("ipv6 header cut short")
    if data[0] >> 4 != 6:
        raise RefusedError("ipv6 header invalid")
    length, proto = struct.unpack_from(">HB", data, 4)
    packet.version = 2
    packet.source, packet.destination = data[8:24], data[24:40]
    data = data[40 : 40 + length] if length else data[40:]
    for _ in range(8):
        if proto not in EXTENSIONS:
            break
        if len(data) < 8:
            raise RefusedError("ipv6 extension header cut short")
        size = {44: 8, 51: data[1] * 4 + 8}.get(proto, data[1] * 8 + 8)
        if len(data) < size:
            raise RefusedError("ipv6 extension header cut short")
        later = proto == 44 and int.from_bytes(data[2:4], "big") >> 3
        proto, data = (-1 if later else data[0]), data[size:]
    return proto, data


def _transport(packet: Packet, proto: int, data: bytes) -> None:
    kind, need = TRANSPORT[proto]
    if len(data) < need:
        raise RefusedError("transport header cut short")
    packet.l4 = kind
    if kind in (1, 2, 5):
        packet.ports = struct.unpack_from(">HH", data)
    elif kind == 6:
        packet.ports = (data[0] & 15, data[1])
    elif kind == 7:
        packet.ports = (data[0], 0)
    else:
        packet.ports = (data[0], data[1])
    if kind == 1:
        (control,) = struct.unpack_from(">H", data, 12)
        if control >> 12 < 5:
            raise RefusedError("tcp header invalid")
        packet.tcp_flags = control & 0x1FF
    elif kind == 5 and len(data) > 12:
        packet.tcp_flags = {1: 1, 2: 2, 7: 3, 8: 4, 14: 5, 6: 6}.get(data[12], 0)
    elif kind == 6:
        packet.tcp_flags = data[2]
    packet.payload = data[8:]
