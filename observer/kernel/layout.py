"""Keys and values of the maps as NumPy dtypes: must match the structs of bpf/include/layout.h.

A test compiles the header and compares every offset. Addresses are 16 bytes as on the wire, IPv4 as
::ffff:a.b.c.d; ports are big-endian, everything else native.
"""

import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

import numpy as np

ENDPOINT_ENFORCE_INGRESS: Final = 0x01
ENDPOINT_ENFORCE_EGRESS: Final = 0x02
DEVICE_HOST: Final = 0x04
DEVICE_NETWORK: Final = 0x08
IPCACHE_FAMILY_BITS: Final = 32
CONNECTION_REFUSED: Final = 0x02
POLICY_EXACT_BITS: Final = 72
POLICY_DENY: Final = 0x01
POLICY_AUDIT: Final = 0x02
SETTING_PER_PACKET: Final = 0x01
SETTING_DEBUG: Final = 0x02
SWEEP_REPORT: Final = 1
SWEEP_REMOVE: Final = 2
SWEEP_EVICT: Final = 3
SWEEP_ADD: Final = 4
SWEEP_MAX_REQUESTS: Final = 32
SWEEP_HEADER_BYTES: Final = 16

ADDRESS: Final = np.dtype(("u1", 16))
"""struct address"""

ENDPOINT: Final = np.dtype(
    [
        ("ipv4", "u1", 16),
        ("ipv6", "u1", 16),
        ("ifindex", "u4"),
        ("identity", "u4"),
        ("endpoint_id", "u2"),
        ("flags", "u1"),
        ("pad", "u1"),
        ("mac", "u1", 6),
        ("host_mac", "u1", 6),
    ]
)
"""struct endpoint"""

IPCACHE_KEY: Final = np.dtype([("prefix_bits", "u4"), ("family", "u4"), ("address", "u1", 16)])
"""struct ipcache_key"""

CONNECTION_KEY: Final = np.dtype(
    [
        ("low", "u1", 16),
        ("high", "u1", 16),
        ("low_port", ">u2"),
        ("high_port", ">u2"),
        ("protocol", "u1"),
        ("icmp_talk", "u1"),
        ("icmp_code", "u1"),
        ("icmp_speaker", "u1"),
    ]
)
"""struct connection_key"""

CONNECTION_SIDE: Final = np.dtype(
    [
        ("packets", "u8"),
        ("bytes", "u8"),
        ("reported_packets", "u8"),
        ("reported_bytes", "u8"),
        ("last_ns", "u8"),
        ("report_ns", "u8"),
        ("identity", "u4"),
        ("endpoint_id", "u2"),
        ("flags_seen", "u1"),
        ("flags_reported", "u1"),
    ]
)
"""struct connection_side"""

CONNECTION: Final = np.dtype(
    [
        ("lock", "u4"),
        ("revision", "u4"),
        ("side", CONNECTION_SIDE, 2),
        ("syn_ns", "u8"),
        ("rtt_ns", "u4"),
        ("egress_cookie", "u4"),
        ("ingress_cookie", "u4"),
        ("origin", "u1"),
        ("flags", "u1"),
        ("telling", "u2"),
        ("tag", "u8"),
    ]
)
"""struct connection"""

POLICY_KEY: Final = np.dtype(
    [
        ("prefix_bits", "u4"),
        ("endpoint_id", "u4"),
        ("identity", "u4"),
        ("direction", "u1"),
        ("protocol", "u1"),
        ("port", ">u2"),
    ]
)
"""struct policy_key"""

POLICY_VALUE: Final = np.dtype(
    [("cookie", "u4"), ("proxy_port", ">u2"), ("prefix_bits", "u1"), ("flags", "u1")]
)
"""struct policy_value"""

FRAGMENT_KEY: Final = np.dtype(
    [
        ("source", "u1", 16),
        ("destination", "u1", 16),
        ("id", "u4"),
        ("protocol", "u1"),
        ("pad", "u1", 3),
    ]
)
"""struct fragment_key"""

FRAGMENT_VALUE: Final = np.dtype(
    [
        ("source_port", ">u2"),
        ("destination_port", ">u2"),
        ("policy_port", ">u2"),
        ("icmp_code", "u1"),
        ("pad", "u1"),
    ]
)
"""struct fragment_value"""

SETTINGS: Final = np.dtype([("report_interval_ns", "u8"), ("revision", "u4"), ("flags", "u4")])
"""struct settings"""

SWEEP_REQUEST: Final = np.dtype(
    [
        ("key", CONNECTION_KEY),
        ("packets", "u8"),
        ("bytes", "u8"),
        ("action", "u4"),
        ("side", "u4"),
    ]
)
"""struct sweep_request"""


def address_bytes(address: IPv4Address | IPv6Address | None) -> bytes:
    """The 16 bytes of struct address; zeros for none."""
    if address is None:
        return bytes(16)
    if address.version == 4:
        return b"\0" * 10 + b"\xff\xff" + address.packed
    return address.packed


def ipcache_key(network: IPv4Network | IPv6Network) -> bytes:
    """The bytes of struct ipcache_key."""
    key = np.zeros((), IPCACHE_KEY)
    key["prefix_bits"] = IPCACHE_FAMILY_BITS + network.prefixlen
    key["family"] = network.version
    packed = network.network_address.packed
    key["address"][: len(packed)] = list(packed)
    return key.tobytes()


def ipcache_network(key: bytes) -> IPv4Network | IPv6Network:
    """Read what `ipcache_key` wrote."""
    bits, family = struct.unpack_from("=II", key)
    prefix_bits = bits - IPCACHE_FAMILY_BITS
    if family == 4:
        return IPv4Network((key[8:12], prefix_bits))
    return IPv6Network((key[8:24], prefix_bits))
