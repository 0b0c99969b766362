"""What the datapath must do with a packet, step by step, with a memory as simple as can be.

In: frames, as `tests.kernel.reading` reads them, and rules as `policy.lookup` judges them. Out:
the events and the end of each packet. The model is told of a whole conversation: it remembers
connections and the ports of first fragments.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from policy.entries import Direction, PolicyEntry
from policy.lookup import judge
from tests.kernel.events import Event
from tests.kernel.frames import ACK, FIN, ICMPV6, IGMP, RST, SYN, Address
from tests.kernel.reading import Packet, Refused, Talk, read, read_inner

OK, SHOT, REDIRECT = 0, 2, 7
SPOOFED, NO_RULE, NO_FIRST, NOT_FOR_PODS, BY_RULE = 132, 133, 175, 176, 181
HOST, WORLD = 1, 2
LINK = IPv6Network("fe80::/10")
MULTICAST = IPv6Network("ff00::/8")
LISTENER = {130, 131, 132, 143}
ROUTER_ADVERT, SOLICIT, REDIRECT_MESSAGE = 134, 135, 137
DISCOVERY = range(133, 138)

End = tuple[Address, int]
Key = tuple[frozenset[End], int, Talk | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An endpoint of the node."""

    endpoint_id: int
    identity: int
    addresses: tuple[IPv4Address, IPv6Address]
    rules: Mapping[Direction, Sequence[PolicyEntry]] = field(default_factory=dict)
    """Of the directions that are enforced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is seen of a packet."""

    events: tuple[str, ...]
    action: int
    counter: str

    @property
    def label(self) -> str:
        """The last event, or what was counted: how people would put it."""
        return self.events[-1] if self.events else self.counter


@dataclass(slots=True, kw_only=True)
class Connection:
    """Who began it, where, and the TCP flags that each side has sent."""

    origin: End
    via_stack: bool
    flags: dict[End, int] = field(default_factory=dict)

    @property
    def is_closed(self) -> bool:
        """Reset by one side, or finished by both."""
        seen = list(self.flags.values())
        both = len(seen) == 2 and all(each & FIN for each in seen)
        return both or any(each & RST for each in seen)


def told(event: Event) -> str:
    """Write an event with all that a packet and the rules decide of it."""
    if event.kind != "verdict":
        return f"{event.name} of {event.endpoint}"
    return _verdict(
        event.direction, event.verdict, event.match, event.cookie, event.endpoint, event.port
    )


def _verdict(
    direction: int, verdict: int, match: int, cookie: int, endpoint: int, port: int
) -> str:
    return f"verdict {Direction(direction).name} {verdict} {match=} {cookie=} {endpoint=} {port=}"


class Model:
    """A node with its endpoints; packets come one by one."""

    def __init__(self, places: Sequence[Place], identities: Mapping[Address, int]) -> None:
        self._places = {address: place for place in places for address in place.addresses}
        self._identities = identities
        self._ports: dict[tuple[Address, Address, int, int], Packet] = {}
        self._connections: dict[Key, Connection] = {}
        self._events: list[str] = []

    def from_endpoint(self, place: Place, frame: bytes) -> Outcome:
        """Say what must happen to a frame that the endpoint sends."""
        self._events = []
        if frame[12:14] == b"\x08\x06":
            return self._arp(place, frame[14:])
        try:
            packet = self._read(frame)
        except Refused as refused:
            return self._drop(refused.reason, place)
        if self._is_link_control(packet) and self._stays_on_link(packet):
            return self._link_control(place, packet)
        if packet.source not in place.addresses:
            return self._drop(SPOOFED, place)
        to = self._places.get(packet.destination)
        reason = self._admit(packet, place, to, via_stack=False)
        if reason is None:
            return Outcome(events=tuple(self._events), action=SHOT, counter="dropped")
        if to is None or self._goes_back(packet, reason) or packet.ttl <= 1:
            return self._pass("to_stack", OK, f"to-stack {reason} of {place.endpoint_id}")
        return self._pass("to_endpoint", REDIRECT, f"to-endpoint {reason} of {to.endpoint_id}")

    def _goes_back(self, packet: Packet, reason: str) -> bool:
        """Whether it answers what came from the stack, itself or as an error."""
        asked = read_inner(packet) if reason == "related" else packet
        connection = self._connections.get(_key(asked)) if asked else None
        if connection is None or not connection.via_stack or asked is None:
            return False
        from_origin = connection.origin == (asked.source, asked.source_port)
        return from_origin if reason == "related" else not from_origin

    def to_endpoint(self, place: Place, frame: bytes) -> Outcome:
        """Say what must happen to a frame that the stack sends to the endpoint."""
        self._events = []
        if frame[12:14] not in (b"\x08\x00", b"\x86\xdd"):
            return self._pass("link_control", OK)
        try:
            packet = self._read(frame)
        except Refused as refused:
            return self._drop(refused.reason, place)
        if self._is_link_control(packet):
            return self._pass("link_control", OK)
        reason = self._admit(packet, None, place, via_stack=True)
        if reason is None:
            return Outcome(events=tuple(self._events), action=SHOT, counter="dropped")
        return self._pass("to_endpoint", OK, f"to-endpoint {reason} of {place.endpoint_id}")

    def _pass(self, counter: str, action: int, *events: str) -> Outcome:
        return Outcome(events=(*self._events, *events), action=action, counter=counter)

    def _drop(self, reason: int, place: Place) -> Outcome:
        return self._pass("dropped", SHOT, f"drop {reason} of {place.endpoint_id}")

    def _read(self, frame: bytes) -> Packet:
        packet = read(frame)
        if packet.fragment is None:
            return packet
        key = (packet.source, packet.destination, packet.fragment, packet.protocol)
        if not packet.later:
            self._ports[key] = packet
            return packet
        first = self._ports.get(key)
        if first is None:
            raise Refused(NO_FIRST)
        return replace(
            packet,
            source_port=first.source_port,
            destination_port=first.destination_port,
            policy_port=first.policy_port,
            talk=first.talk,
        )

    def parts(self) -> Iterable[tuple[Address, Address, int, int]]:
        """Source, destination, id and protocol of the datagrams whose first part was seen."""
        return self._ports.keys()

    # Talk of the link.

    def _arp(self, place: Place, body: bytes) -> Outcome:
        own = place.addresses[0].packed
        is_request = body[:4] + body[6:8] == b"\0\1\x08\0\0\1" and len(body) >= 28
        if not is_request or body[14:18] == bytes(4) or body[24:28] == own:
            return self._pass("link_control", OK)
        return self._pass("neighbour_answered", REDIRECT)

    def _is_link_control(self, packet: Packet) -> bool:
        if packet.protocol == IGMP:
            return True
        if packet.protocol != ICMPV6:
            return False
        if packet.icmp_type in DISCOVERY:
            return packet.ttl == 255
        return packet.icmp_type in LISTENER and _is_of_the_link(packet.destination)

    def _stays_on_link(self, packet: Packet) -> bool:
        own = self._identities.get(packet.destination) == HOST
        return packet.protocol == IGMP or own or _is_of_the_link(packet.destination)

    def _link_control(self, place: Place, packet: Packet) -> Outcome:
        if packet.icmp_type in (ROUTER_ADVERT, REDIRECT_MESSAGE):
            return self._drop(NOT_FOR_PODS, place)
        target = packet.l4[8:24]
        if (
            packet.icmp_type != SOLICIT
            or packet.extended
            or not any(packet.source.packed[:8])
            or len(target) < 16
            or target == place.addresses[1].packed
        ):
            return self._pass("link_control", OK)
        return self._pass("neighbour_answered", REDIRECT)

    # Connections and rules.

    def _admit(
        self, packet: Packet, sender: Place | None, receiver: Place | None, *, via_stack: bool
    ) -> str | None:
        """Say as what it passes; None if it does not, which has been told."""
        key, end = _key(packet), (packet.source, packet.source_port)
        known = None if packet.is_error else self._connections.get(key)
        begins = packet.flags & (SYN | ACK) == SYN
        if known and not (begins and known.is_closed):
            known.flags[end] = known.flags.get(end, 0) | packet.flags
            return "established" if known.origin == end else "reply"
        if packet.is_error and self._speaks_of_known(packet):
            return "related"
        if not self._judge(packet, sender, receiver):
            return None
        if not packet.is_error:
            began = Connection(origin=end, via_stack=via_stack, flags={end: packet.flags})
            self._connections[key] = began
        return "new"

    def _speaks_of_known(self, packet: Packet) -> bool:
        inner = read_inner(packet)
        return (
            inner is not None
            and inner.source == packet.destination
            and _key(inner) in self._connections
        )

    def _judge(self, packet: Packet, sender: Place | None, receiver: Place | None) -> bool:
        source = sender.identity if sender else self._identities.get(packet.source, WORLD)
        peer = self._identities.get(packet.destination, WORLD)
        sides = (
            (Direction.EGRESS, sender, receiver.identity if receiver else peer),
            (Direction.INGRESS, receiver, source),
        )
        for direction, place, identity in sides:
            if place is None or direction not in place.rules:
                continue
            verdict = judge(
                place.rules[direction],
                direction=direction,
                identity=identity,
                protocol=packet.protocol,
                port=packet.policy_port,
            )
            reason = 0 if verdict.allowed else BY_RULE if verdict.match_type else NO_RULE
            self._events.append(
                _verdict(
                    direction,
                    -reason,
                    int(verdict.match_type),
                    verdict.cookie,
                    place.endpoint_id,
                    packet.policy_port,
                )
            )
            if reason:
                self._events.append(f"drop {reason} of {place.endpoint_id}")
                return False
        return True


def _key(packet: Packet) -> Key:
    ends = (packet.source, packet.source_port), (packet.destination, packet.destination_port)
    return frozenset(ends), packet.protocol, packet.talk


def _is_of_the_link(address: Address) -> bool:
    return isinstance(address, IPv6Address) and (address in LINK or address in MULTICAST)
