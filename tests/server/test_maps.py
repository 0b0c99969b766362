"""What a server that starts finds in the map of identities: kept, changed or removed at once."""

import os
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest

from observer.entities import address_bytes
from observer.kernel.cleanup import remove_node
from observer.kernel.datapath import Datapath, EndpointEntry
from observer.kernel.errors import KernelError
from observer.kernel.pins import DEFAULT_BPFFS
from policy.entries import PolicyEntry
from server.maps import MapWriter
from server.pace import Pace
from server.problems import Problems
from server.view import NodeView

Network = IPv4Network | IPv6Network
NODE = f"lkt{os.getpid()}.maps"
LEFT = {
    ip_network("10.244.1.1"): 300,
    ip_network("10.244.1.2"): 301,
    ip_network("fd00:244:1::1"): 300,
    ip_network("fd00:244:1::2"): 301,
    ip_network("10.0.0.0/8"): 302,
    ip_network("fd00::/16"): 302,
    ip_network("::/0"): 2,
}
WANTED = {"10.244.1.1": 300, "fd00:244:1::1": 400, "10.244.1.9": 401}


class FakeMaps:
    """Identities only; refuses on request, and notes what is written."""

    def __init__(self, left: Mapping[Network, int]) -> None:
        self.identities = dict(left)
        self.written: list[Network] = []
        self.is_readable = True

    endpoint_ids: frozenset[int] = frozenset()

    def endpoint_addresses(self) -> dict[bytes, int]:
        return {}

    def endpoint_interfaces(self) -> dict[int, int]:
        return {}

    def attached(self) -> frozenset[int]:
        return frozenset()

    def networks(self) -> dict[Network, int]:
        if not self.is_readable:
            raise OSError(5, "Input/output error")
        return dict(self.identities)

    def upsert_identities(self, identities: Mapping[Network, int]) -> None:
        self.written += identities
        self.identities |= identities

    def remove_identity(self, network: Network) -> None:
        del self.identities[network]

    def upsert_endpoint(self, entry: EndpointEntry) -> None:
        raise KernelError(f"no endpoint is wanted: {entry}")

    def remove_endpoint(self, endpoint_id: int) -> None:
        raise KernelError(f"no endpoint is there: {endpoint_id}")

    def replace_policy(self, endpoint_id: int, entries: Sequence[PolicyEntry]) -> None:
        raise KernelError(f"no policy is wanted: {endpoint_id}: {entries}")

    def attach(self, ifindex: int) -> None:
        raise KernelError(f"no interface is wanted: {ifindex}")

    def detach(self, ifindex: int) -> None:
        raise KernelError(f"no interface is attached: {ifindex}")


def view_of(addresses: Mapping[str, int]) -> NodeView:
    return NodeView(
        endpoints={},
        addresses={address_bytes(ip_address(text)): i for text, i in addresses.items()},
        identities={},
        subjects={},
        services={},
        local=(),
        conflicts={},
    )


def as_networks(addresses: Mapping[str, int]) -> dict[Network, int]:
    return {ip_network(text): identity for text, identity in addresses.items()}


async def one_round(
    writer: MapWriter, wanted: Mapping[str, int], outside: Mapping[str, int] | None = None
) -> None:
    await writer.take_over()
    networks = {ip_network(text): identity for text, identity in (outside or {}).items()}
    await writer.write(view_of(wanted), {}, networks, Pace())


async def test_the_first_round_leaves_what_is_wanted_and_writes_what_differs() -> None:
    maps, problems = FakeMaps(LEFT), Problems()
    await one_round(MapWriter(maps, problems), WANTED)
    problems.end_round()
    assert not problems.present
    assert maps.identities == as_networks(WANTED)
    assert set(maps.written) == {ip_network("fd00:244:1::1"), ip_network("10.244.1.9")}


async def test_networks_outside_stand_beside_addresses_and_never_in_their_place() -> None:
    maps = FakeMaps(LEFT)
    writer = MapWriter(maps, Problems())
    outside = {"10.0.0.0/8": 1 << 25, "10.244.1.9/32": 7777, "192.0.2.7/32": 8888}
    await one_round(writer, WANTED, outside)
    assert maps.identities == as_networks({**outside, **WANTED})
    assert ip_network("10.0.0.0/8") in maps.written
    await one_round(writer, {}, outside)
    assert maps.identities == as_networks(outside)
    await one_round(writer, {})
    assert maps.identities == {}


async def test_a_map_that_cannot_be_read_is_read_in_the_next_round() -> None:
    maps, problems = FakeMaps(LEFT), Problems()
    writer = MapWriter(maps, problems)
    maps.is_readable = False
    await one_round(writer, WANTED)
    problems.end_round()
    assert problems.present == ("addresses: read: [Errno 5] Input/output error",)
    # what is wanted holds all the same
    assert maps.identities.items() >= as_networks(WANTED).items()
    maps.is_readable = True
    await one_round(writer, WANTED)
    problems.end_round()
    assert not problems.present
    assert maps.identities == as_networks(WANTED)


async def test_later_rounds_do_not_read_the_map() -> None:
    maps = FakeMaps({})
    writer = MapWriter(maps, Problems())
    await one_round(writer, WANTED)
    maps.is_readable = False
    problems = Problems()
    writer._problems = problems
    await one_round(writer, {})
    problems.end_round()
    assert (maps.identities, problems.present) == ({}, ())


@pytest.fixture
def cleaned() -> Iterator[None]:
    yield
    remove_node(node=NODE, bpffs=DEFAULT_BPFFS)


@pytest.mark.kernel
@pytest.mark.usefixtures("cleaned")
async def test_who_left_while_no_server_ran_is_forgotten_by_the_next_one() -> None:
    first = Datapath.load(node=NODE, conntrack_entries=1024)
    many = {ip_network(f"10.9.{i >> 8}.{i & 255}"): 500 for i in range(5000)}
    first.upsert_identities(LEFT | many)
    assert first.networks() == LEFT | many
    first.close()
    second = Datapath.load(node=NODE, conntrack_entries=1024)
    try:
        assert second.networks() == LEFT | many
        problems = Problems()
        await one_round(MapWriter(second, problems), WANTED)
        problems.end_round()
        assert not problems.present
        assert second.networks() == as_networks(WANTED)
    finally:
        second.close()
