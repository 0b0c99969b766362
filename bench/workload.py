"""The recorded mix that all figures are measured with, made from a seed.

1,000 endpoints in 200 label sets, 20,000 addresses, 30 % IPv6, drop / verdict / trace 10/20/70,
1 % odd packets. Gives sample batches as the rings do, and the address book that knows the
cluster. Half of the addresses outside of the cluster are known to nobody, as in real life.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.odd_packets import FOREIGN_KINDS, ODD_KINDS
from observer.addresses import AddressBook
from observer.decode.layout import DROP, EXT, TRACE, VERDICT
from observer.entities import Endpoint, PolicyRef, Service, Workload, reserved_labels
from observer.samples import EXT_BYTES, SAMPLE_BYTES, SampleBatch
from observer.table.interns import Interns

ENDPOINTS: Final = 1_000
LOCAL_ENDPOINTS: Final = 100
LABEL_SETS: Final = 200
ADDRESSES: Final = 20_000
SERVICES: Final = 50
RULES: Final = 50
FIRST_IDENTITY: Final = 1_000
IPV6_SHARE: Final = 0.3
ODD_SHARE: Final = 0.01
EVENTS_PER_SECOND: Final = 500_000
CLUSTER: Final = "default"

_TYPES: Final = np.array([1, 5, 4], np.uint8)
_SHARES: Final = (0.1, 0.2, 0.7)
_PROTOS: Final = np.array([6, 17, 1], np.uint8)
_PROTO_SHARES: Final = (0.8, 0.15, 0.05)
_PORTS: Final = np.array([53, 80, 443, 5432, 6379, 8080, 9090, 50051])
_POINTS: Final = np.array([0, 2, 3, 4, 5, 7, 8, 11], np.uint8)
_TCP_FLAGS: Final = np.array([0x02, 0x12, 0x10, 0x18, 0x11, 0x04], np.uint8)
_START_NS: Final = 1_000_000_000_000
_WALL_OFFSET_NS: Final = 1_700_000_000_000_000_000

# Numbers of any width.
Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How a workload differs from the recorded mix."""

    ipv6_share: float = IPV6_SHARE
    odd_share: float = ODD_SHARE
    foreign_share: float = 0.0
    """Samples that our own programs never write."""
    wrong_identity_share: float = 0.02
    """Addresses whose identity the datapath knows otherwise than the address book."""


class SyntheticNode:
    """One node's traffic: the same seed gives the same bytes."""

    def __init__(self, seed: int, mix: Mix = Mix()) -> None:
        self._rng = np.random.default_rng(seed)
        self._odd = random.Random(seed)  # noqa: S311 -- a workload, not a secret
        self._mix = mix
        self._now_ns = _START_NS
        self.endpoints = tuple(_endpoint(number) for number in range(ENDPOINTS))
        # Both address families of all: pods first, then the world.
        self.ipv4 = np.arange(ADDRESSES, dtype=np.uint32) * 7 + 0x0A000001
        self.identities = np.full(ADDRESSES, 2, np.uint32)
        self.identities[:ENDPOINTS] = [endpoint.identity for endpoint in self.endpoints]
        # What the datapath believes.
        self.labels = self.identities.copy()
        wrong = np.flatnonzero(self._rng.random(ADDRESSES) < mix.wrong_identity_share)
        self.labels[wrong] = FIRST_IDENTITY + self._rng.integers(0, LABEL_SETS, len(wrong))

    def address(self, number: int, *, ipv6: bool) -> bytes:
        """Give the 16 bytes of one of the addresses; pods have those below ENDPOINTS."""
        mapped = int(self.ipv4[number]).to_bytes(4, "big")
        return (_IPV6_PREFIX if ipv6 else _IPV4_PREFIX) + mapped

    def address_book(self, interns: Interns) -> AddressBook:
        """Make the book that knows the cluster and half of the world."""
        book = AddressBook(interns, cluster_name=CLUSTER)
        for endpoint in self.endpoints:
            book.set_identity(endpoint.identity, endpoint.labels)
        for number in range((ENDPOINTS + ADDRESSES) // 2):
            endpoint = self.endpoints[number] if number < ENDPOINTS else _WORLD
            for ipv6 in (False, True):
                book.set_endpoint(self.address(number, ipv6=ipv6), endpoint)
        for number in range(SERVICES):
            service = Service(namespace=f"ns-{number % 20}", name=f"service-{number}")
            book.set_service(self.address(ADDRESSES - 1 - number, ipv6=False), 0, 0, service)
        for number in range(LOCAL_ENDPOINTS):
            book.set_interface(number + 2, f"lxc{number:04x}")
        for number in range(RULES):
            book.set_rule(number + 1, (_policy(number),))
        return book

    def batches(self, *, size: int) -> Iterator[SampleBatch]:
        """Make batches without end."""
        while True:
            yield self.batch(size)

    def batch(self, size: int) -> SampleBatch:
        """Make the next batch of `size` samples."""
        rng = self._rng
        samples = np.zeros((size, SAMPLE_BYTES), np.uint8)
        local = rng.integers(0, LOCAL_ENDPOINTS, size)
        peer = rng.integers(0, ADDRESSES, size)
        outward = rng.random(size) < 0.5
        source, destination = np.where(outward, local, peer), np.where(outward, peer, local)
        types = rng.choice(_TYPES, size, p=_SHARES)
        self._trace(samples, local, source, destination)
        self._drop(samples, np.flatnonzero(types == 1))
        self._verdict(samples, np.flatnonzero(types == 5), self.labels[peer], outward)
        for kind, header in ((4, TRACE), (1, DROP), (5, VERDICT)):
            rows = np.flatnonzero(types == kind)
            packets = self._packets(source[rows], destination[rows])
            start = header.itemsize
            samples[rows, start : start + EXT_BYTES] = self._ext(len(rows))
            start += EXT_BYTES
            samples[rows, start : start + packets.shape[1]] = packets
        for share, kinds in (
            (self._mix.odd_share, ODD_KINDS),
            (self._mix.foreign_share, FOREIGN_KINDS),
        ):
            for row in np.flatnonzero(rng.random(size) < share):
                content = self._odd.choice(kinds)()
                samples[row] = 0
                samples[row, : len(content)] = np.frombuffer(content, np.uint8)
        steps = rng.integers(1, 2_000_000_000 // EVENTS_PER_SECOND, size)
        mono_ns = self._now_ns + np.cumsum(steps)
        self._now_ns = int(mono_ns[-1])
        cpus = rng.integers(0, 2, size).astype(np.uint16)
        return SampleBatch(
            samples=samples, mono_ns=mono_ns, cpus=cpus, wall_offset_ns=_WALL_OFFSET_NS
        )

    def _trace(
        self, samples: Numbers, local: Numbers, source: Numbers, destination: Numbers
    ) -> None:
        """Fill all headers as traces."""
        rng, size = self._rng, len(samples)
        header = samples[:, : TRACE.itemsize].view(TRACE)[:, 0]
        common = header["common"]
        common["type"] = 4
        common["subtype"] = rng.choice(_POINTS, size)
        common["source"] = local + 1
        common["len_orig"] = rng.integers(60, 1500, size)
        common["len_cap"] = 96
        common["version"], common["ext_version"] = 2, 1
        header["src_label"] = self.labels[source]
        header["dst_label"] = self.labels[destination]
        header["reason"] = rng.choice([0, 1, 1, 2, 5], size)
        header["ifindex"] = local + 2

    def _drop(self, samples: Numbers, rows: Numbers) -> None:
        header = samples[rows, : DROP.itemsize].view(DROP)[:, 0].copy()
        header["common"]["type"], header["common"]["version"] = 1, 3
        header["common"]["subtype"] = self._rng.choice([133, 133, 181, 132], len(rows))
        header["dst_id"] = 0
        header["line"] = self._rng.integers(100, 1000, len(rows))
        header["file"] = 202
        header["ext_error"] = 0
        trace = samples[rows, : TRACE.itemsize].view(TRACE)[:, 0]
        header["ifindex"] = trace["ifindex"]
        header["flags"] = 0
        samples[rows, : TRACE.itemsize] = 0
        samples[rows, : DROP.itemsize] = header.view(np.uint8).reshape(len(rows), header.itemsize)

    def _verdict(self, samples: Numbers, rows: Numbers, remote: Numbers, outward: Numbers) -> None:
        header = np.zeros(len(rows), VERDICT)
        header["common"] = samples[rows, : TRACE.itemsize].view(TRACE)[:, 0]["common"]
        header["common"]["type"], header["common"]["version"] = 5, 1
        header["common"]["subtype"] = 0
        header["remote_label"] = remote[rows]
        header["verdict"] = self._rng.choice([0, 0, 0, -133, -181, 15001], len(rows))
        match = self._rng.integers(0, 7, len(rows))
        header["flags"] = np.where(outward[rows], 2, 1) | match << 3
        header["cookie"] = self._rng.integers(0, RULES + 1, len(rows))
        samples[rows, : TRACE.itemsize] = 0
        samples[rows, : VERDICT.itemsize] = header.view(np.uint8).reshape(
            len(rows), header.itemsize
        )

    def _ext(self, count: int) -> Numbers:
        ext = np.zeros(count, EXT)
        ext["packets"] = self._rng.integers(1, 50, count)
        ext["bytes"] = ext["packets"].astype(np.uint64) * 700
        ext["rule_cookie"] = self._rng.integers(0, RULES + 1, count)
        ext["rtt_ns"] = self._rng.integers(0, 2_000_000, count)
        return ext.view(np.uint8).reshape(count, EXT_BYTES)

    def _packets(self, source: Numbers, destination: Numbers) -> Numbers:
        """Build Ethernet packets: IPv4 or IPv6 with TCP, UDP or ICMP."""
        rng, count = self._rng, len(source)
        packets = np.zeros((count, 96), np.uint8)
        packets[:, :12] = rng.integers(0, 256, (count, 12))
        ipv6 = rng.random(count) < self._mix.ipv6_share
        proto = rng.choice(_PROTOS, count, p=_PROTO_SHARES)
        for version, rows in ((4, np.flatnonzero(~ipv6)), (6, np.flatnonzero(ipv6))):
            chosen = proto[rows]
            addresses = (self.ipv4[source[rows]], self.ipv4[destination[rows]])
            if version == 4:
                packets[rows, 12:24] = np.frombuffer(_IPV4_START, np.uint8)
                packets[rows, 23] = chosen
                for at, value in zip((26, 30), addresses, strict=True):
                    packets[rows, at : at + 4] = _big_endian(value, 4)
                at = 34
            else:
                packets[rows, 12:22] = np.frombuffer(_IPV6_START, np.uint8)
                packets[rows, 20] = np.where(chosen == 1, 58, chosen)
                for at, value in zip((22, 38), addresses, strict=True):
                    packets[rows, at : at + 12] = np.frombuffer(_IPV6_PREFIX, np.uint8)
                    packets[rows, at + 12 : at + 16] = _big_endian(value, 4)
                at = 54
            self._transport(packets, rows, at, chosen)
        return packets

    def _transport(self, packets: Numbers, rows: Numbers, at: int, proto: Numbers) -> None:
        count = len(rows)
        ports = self._rng.integers(32768, 61000, count)
        packets[rows, at : at + 2] = _big_endian(ports, 2)
        packets[rows, at + 2 : at + 4] = _big_endian(self._rng.choice(_PORTS, count), 2)
        packets[rows, at + 12] = 0x50
        packets[rows, at + 13] = self._rng.choice(_TCP_FLAGS, count)
        echo = rows[proto == 1]
        packets[echo, at] = np.where(at == 34, 8, 128)
        packets[echo, at + 1] = 0


_IPV4_PREFIX: Final = bytes(10) + b"\xff\xff"
_IPV6_PREFIX: Final = bytes.fromhex("fd0000000000000000000000")
# ethertype, then the header up to the protocol
_IPV4_START: Final = bytes.fromhex("0800 4500 0052 0000 4000 4000")
_IPV6_START: Final = bytes.fromhex("86dd 6000 0000 002a 0040")

_WORLD: Final = Endpoint(
    endpoint_id=0,
    identity=2,
    cluster_name="",
    namespace="",
    labels=reserved_labels(2),
    pod_name="",
    workloads=(),
)


def _big_endian(values: Numbers, size: int) -> Numbers:
    return values.astype(f">u{size}").view(np.uint8).reshape(len(values), size)


def _endpoint(number: int) -> Endpoint:
    label_set = number % LABEL_SETS
    namespace = f"ns-{label_set % 20}"
    labels = {
        f"k8s:app=app-{label_set}",
        f"k8s:app.kubernetes.io/part-of=part-{label_set % 7}",
        f"k8s:io.cilium.k8s.policy.cluster={CLUSTER}",
        f"k8s:io.kubernetes.pod.namespace={namespace}",
        f"k8s:tier={('front', 'middle', 'back')[label_set % 3]}",
    }
    return Endpoint(
        endpoint_id=number + 1 if number < LOCAL_ENDPOINTS else 0,
        identity=FIRST_IDENTITY + label_set,
        cluster_name=CLUSTER,
        namespace=namespace,
        labels=tuple(sorted(labels)),
        pod_name=f"app-{label_set}-{number:04x}",
        workloads=(Workload(kind="Deployment", name=f"app-{label_set}"),),
    )


def _policy(number: int) -> PolicyRef:
    return PolicyRef(
        kind="NetworkPolicy",
        namespace=f"ns-{number % 20}",
        name=f"policy-{number}",
        labels=(f"k8s:io.cilium.k8s.policy.name=policy-{number}",),
        revision=1,
    )
