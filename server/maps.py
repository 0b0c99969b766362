"""Writes what a view of the node says into the datapath: endpoints, policies, identities, links.

In: `NodeView` and the endpoints that could be placed. Out: calls of the datapath for what differs.
The policies of all pods come first, then the pods, then the identities of addresses, and interfaces
are attached last; removals go the other way round. What an earlier process left is taken over.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Protocol

from observer.entities import address_bytes, address_text
from server.agent_events import AgentEvents, NoLog
from server.claims import Left
from server.mirror import REFUSALS, Mirror, one_by_one

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from observer.kernel.datapath import EndpointEntry
    from policy.entries import PolicyEntry
    from server.pace import Pace
    from server.placement import PlacedEndpoint
    from server.problems import Problems
    from server.view import NodeView

IDENTITY_BATCH = 64
"""Addresses written to the kernel at once: about 25 µs, and some 300 to tell of them."""


class EndpointMaps(Protocol):
    """The part of observer.kernel.datapath.Datapath that is written here; raises KernelError."""

    @property
    def endpoint_ids(self) -> frozenset[int]:
        """Endpoints that the maps hold, those of an earlier process included."""

    def endpoint_addresses(self) -> Mapping[bytes, int]:
        """Give the endpoint of each address (16 bytes), those of an earlier process included."""

    def endpoint_interfaces(self) -> Mapping[int, int]:
        """Give the endpoint behind each interface, those of an earlier process included."""

    def upsert_endpoint(self, entry: EndpointEntry) -> None:
        """Add an endpoint, or change it to this."""

    def remove_endpoint(self, endpoint_id: int) -> None:
        """Forget an endpoint and its rules."""

    def upsert_identities(self, identities: Mapping[IPv4Network | IPv6Network, int]) -> None:
        """Let addresses of these networks have these identities."""

    def remove_identity(self, network: IPv4Network | IPv6Network) -> None:
        """Forget a network."""

    def networks(self) -> Mapping[IPv4Network | IPv6Network, int]:
        """Networks that the map holds, those of an earlier process included; in any thread."""

    def replace_policy(self, endpoint_id: int, entries: Sequence[PolicyEntry]) -> None:
        """Let exactly these entries hold for the endpoint."""

    def attach(self, ifindex: int) -> None:
        """Attach the programs to the host side of a pod's interface, if they are not."""

    def detach(self, ifindex: int) -> None:
        """Take them off; one that is gone is no error."""

    def attached(self) -> frozenset[int]:
        """Interfaces with the programs."""


class MapWriter:
    """Writes endpoints, identities and policies into the datapath."""

    def __init__(
        self, maps: EndpointMaps, problems: Problems, events: AgentEvents | None = None
    ) -> None:
        """Take where to write, and who is told what was written."""
        self._maps = maps
        self._events = events or AgentEvents(NoLog())
        self._problems = problems
        self._is_taken_over = False
        self._addresses_left = maps.endpoint_addresses()
        self._identities: Mirror[bytes, int] = Mirror(
            "address",
            put=self._put_identities,
            drop=self._drop_identity,
            shown=address_text,
            problems=problems,
            batch=IDENTITY_BATCH,
        )
        # Apart from single addresses: those of pods and nodes count, whatever network they are in.
        self._networks: Mirror[IPv4Network | IPv6Network, int] = Mirror(
            "network", put=self._put_networks, drop=self._drop_network, problems=problems
        )
        self._placed: Mapping[int, PlacedEndpoint] = {}
        self._policies: Mirror[int, tuple[PolicyEntry, ...]] = Mirror(
            "policy of endpoint",
            put=one_by_one(lambda i, _: self._put_policy(i, self._placed[i])),
            drop=lambda _: None,  # goes with its endpoint
            problems=problems,
        )
        self._endpoints: Mirror[int, PlacedEndpoint | None] = Mirror(
            "endpoint",
            put=one_by_one(self._put_endpoint),
            drop=self._drop_endpoint,
            problems=problems,
        )
        self._links: Mirror[int, tuple[bytes, int]] = Mirror(
            "interface",
            put=one_by_one(lambda ifindex, _: maps.attach(ifindex)),
            drop=maps.detach,
            problems=problems,
        )
        # Left by an earlier process: known to be there, written anew or removed in the first round.
        self._endpoints.held = dict.fromkeys(maps.endpoint_ids)
        self._links.held = dict.fromkeys(maps.attached(), (b"", 0))

    async def write(
        self,
        view: NodeView,
        placed: Mapping[int, PlacedEndpoint],
        networks: Mapping[IPv4Network | IPv6Network, int],
        pace: Pace,
    ) -> None:
        """Bring the maps and links to what the view says; networks are those outside of it."""
        self._events.see(view)
        await self._links.drop_rest(_links_of(placed), pace)
        # the new ones first: an address or an interface may pass from an old one to them
        ready = await self._write_policies(placed, pace)
        await self._endpoints.put_all(ready, pace)
        await self._endpoints.drop_rest(placed, pace)
        wide = {each: i for each, i in networks.items() if each.prefixlen < each.max_prefixlen}
        single = {_address(each): i for each, i in networks.items() if each not in wide}
        addresses = view.addresses if not single else {**single, **view.addresses}
        await self._identities.put_all(addresses, pace)
        await self._networks.put_all(wide, pace)
        await self._identities.drop_rest(addresses, pace)
        await self._networks.drop_rest(wide, pace)
        written = {i: each for i, each in placed.items() if self._endpoints.holds(i, each)}
        await self._links.put_all(_links_of(written), pace)

    async def _write_policies(
        self, placed: Mapping[int, PlacedEndpoint], pace: Pace
    ) -> Mapping[int, PlacedEndpoint]:
        """Write the entries of all; returns the endpoints that have theirs.

        Of all, before any endpoint or address changes: the identity that one of them is about to
        get must be known to the others. Who cannot have his entries stays as he was.
        """
        self._placed = placed
        wanted = {endpoint_id: each.policy for endpoint_id, each in placed.items()}
        await self._policies.put_all(wanted, pace)
        return {i: each for i, each in placed.items() if self._policies.holds(i, each.policy)}

    async def take_over(self) -> Left:
        """Learn which identities an earlier process left: who is gone by now must not keep his.

        Call it at the begin of each round. In a thread, since it goes through them all. If it fails
        the next round tries again; what is wanted is written meanwhile.
        """
        if not self._is_taken_over:
            await self._read_identities()
        return Left(endpoints=self._addresses_left, identities=self._identities.held)

    async def _read_identities(self) -> None:
        try:
            hosts, networks = await asyncio.to_thread(_left_by, self._maps)
        except REFUSALS as error:
            self._problems.meet("addresses", f"read: {error}")
            return
        self._identities.held = hosts | self._identities.held
        self._networks.held = networks
        self._is_taken_over = True

    def _put_policy(self, endpoint_id: int, new: PlacedEndpoint) -> None:
        """Write the entries of an endpoint, before the endpoint itself.

        A direction that is no longer enforced is opened before its entries go; one that becomes
        enforced has its entries first.
        """
        old = self._endpoints.held.get(endpoint_id)
        if old is not None:
            opened = replace(
                old.entry,
                enforce_ingress=old.entry.enforce_ingress and new.entry.enforce_ingress,
                enforce_egress=old.entry.enforce_egress and new.entry.enforce_egress,
            )
            if opened != old.entry:
                self._maps.upsert_endpoint(opened)
        self._maps.replace_policy(endpoint_id, new.policy)

    def _put_endpoint(self, endpoint_id: int, new: PlacedEndpoint | None) -> None:
        if new is None:
            return
        self._maps.upsert_endpoint(new.entry)
        if endpoint_id not in self._endpoints.held:
            self._events.endpoint_created(endpoint_id)

    def _drop_endpoint(self, endpoint_id: int) -> None:
        self._maps.remove_endpoint(endpoint_id)
        self._policies.held.pop(endpoint_id, None)
        self._events.endpoint_deleted(endpoint_id)

    def _put_identities(self, entries: Mapping[bytes, int]) -> None:
        self._maps.upsert_identities(
            {_network(address): identity for address, identity in entries.items()}
        )
        self._events.addresses_upserted(entries, self._identities.held)

    def _drop_identity(self, address: bytes) -> None:
        self._maps.remove_identity(_network(address))
        self._events.address_deleted(address, self._identities.held.get(address, 0))

    def _put_networks(self, entries: Mapping[IPv4Network | IPv6Network, int]) -> None:
        self._maps.upsert_identities(entries)
        self._events.networks_upserted(entries, self._networks.held)

    def _drop_network(self, network: IPv4Network | IPv6Network) -> None:
        self._maps.remove_identity(network)
        self._events.network_deleted(network, self._networks.held.get(network, 0))


def _left_by(
    maps: EndpointMaps,
) -> tuple[dict[bytes, int], dict[IPv4Network | IPv6Network, int]]:
    """Read the identities in the map: of single addresses, and of networks."""
    hosts: dict[bytes, int] = {}
    networks: dict[IPv4Network | IPv6Network, int] = {}
    for network, identity in maps.networks().items():
        if network.prefixlen == network.max_prefixlen:
            hosts[address_bytes(network.network_address)] = identity
        else:
            networks[network] = identity
    return hosts, networks


def _address(network: IPv4Network | IPv6Network) -> bytes:
    return address_bytes(network.network_address)


def _network(address: bytes) -> IPv4Network | IPv6Network:
    return ip_network(address_text(address))


def _links_of(placed: Mapping[int, PlacedEndpoint]) -> dict[int, tuple[bytes, int]]:
    """Give the interfaces by index; with MAC and incarnation, to see when one becomes another."""
    return {each.entry.ifindex: (each.entry.host_mac, each.incarnation) for each in placed.values()}
