import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest

from observer.kernel import layout
from observer.kernel.errors import KernelError
from observer.kernel.tables import EndpointEntry, _check

ENTRY = EndpointEntry(
    endpoint_id=7,
    identity=300,
    ifindex=12,
    ipv4=IPv4Address("10.0.0.1"),
    ipv6=IPv6Address("fd00::1"),
    mac=bytes(range(6)),
    host_mac=bytes(range(6, 12)),
    enforce_ingress=True,
    enforce_egress=False,
)


def test_the_bytes_of_an_endpoint() -> None:
    assert ENTRY.value() == (
        bytes(10)
        + b"\xff\xff\x0a\0\0\x01"
        + b"\xfd\0"
        + bytes(13)
        + b"\x01"
        + struct.pack("=IIHBB", 12, 300, 7, 1, 0)
        + bytes(range(12))
    )
    assert replace(ENTRY, ipv6=None).value()[16:32] == bytes(16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"endpoint_id": 0}, r"id not in 1\.\.65535: 0"),
        ({"endpoint_id": 65536}, r"id not in 1\.\.65535: 65536"),
        ({"mac": b"short"}, "write endpoint 7: a MAC is not 6 bytes"),
        ({"ipv4": None, "ipv6": None}, "write endpoint 7: it has no address"),
    ],
)
def test_an_endpoint_that_cannot_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(KernelError, match=message):
        _check(replace(ENTRY, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("network", "key"),
    [
        ("10.1.0.0/16", struct.pack("=II", 48, 4) + b"\x0a\x01" + bytes(14)),
        ("0.0.0.0/0", struct.pack("=II", 32, 4) + bytes(16)),
        ("fd00::/8", struct.pack("=II", 40, 6) + b"\xfd" + bytes(15)),
    ],
)
def test_networks_of_both_families_share_one_trie(network: str, key: bytes) -> None:
    assert layout.ipcache_key(ip_network(network)) == key
