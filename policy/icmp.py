"""ICMP types as CiliumNetworkPolicies name them.

In: `icmps` of a rule. Out: port ranges of the protocols ICMP and ICMPv6, in which the type stands
for the port. Names are those of the Cilium documentation, numbers IANA's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.ports import ICMP_PROTOCOL, ICMPV6_PROTOCOL, PortRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policy.fields import Field

LAST_TYPE = 255
PROTOCOLS = {"IPv4": ICMP_PROTOCOL, "IPv6": ICMPV6_PROTOCOL}
TYPES = {
    ICMP_PROTOCOL: {
        "EchoReply": 0,
        "DestinationUnreachable": 3,
        "Redirect": 5,
        "Echo": 8,
        "EchoRequest": 8,
        "RouterAdvertisement": 9,
        "RouterSelection": 10,
        "TimeExceeded": 11,
        "ParameterProblem": 12,
        "Timestamp": 13,
        "TimestampReply": 14,
        "Photuris": 40,
        "ExtendedEchoRequest": 42,
        "ExtendedEchoReply": 43,
    },
    ICMPV6_PROTOCOL: {
        "DestinationUnreachable": 1,
        "PacketTooBig": 2,
        "TimeExceeded": 3,
        "ParameterProblem": 4,
        "EchoRequest": 128,
        "EchoReply": 129,
        "MulticastListenerQuery": 130,
        "MulticastListenerReport": 131,
        "MulticastListenerDone": 132,
        "RouterSolicitation": 133,
        "RouterAdvertisement": 134,
        "NeighborSolicitation": 135,
        "NeighborAdvertisement": 136,
        "RedirectMessage": 137,
        "RouterRenumbering": 138,
        "ICMPNodeInformationQuery": 139,
        "ICMPNodeInformationResponse": 140,
        "InverseNeighborDiscoverySolicitation": 141,
        "InverseNeighborDiscoveryAdvertisement": 142,
        "HomeAgentAddressDiscoveryRequest": 144,
        "HomeAgentAddressDiscoveryReply": 145,
        "MobilePrefixSolicitation": 146,
        "MobilePrefixAdvertisement": 147,
        "DuplicateAddressRequestCodeSuffix": 157,
        "DuplicateAddressConfirmationCodeSuffix": 158,
        "ExtendedEchoRequest": 160,
        "ExtendedEchoReply": 161,
    },
}


def read_icmps(field: Field) -> tuple[PortRange, ...]:
    """Read the list `icmps`; FieldError where a family or type is not known."""
    return tuple(found for rule in field.items() for found in _read_rule(rule))


def _read_rule(field: Field) -> Iterator[PortRange]:
    field.only("fields")
    types = list(field["fields"].items())
    if not types:
        raise field["fields"].error("at least one type")
    for each in types:
        each.only("family", "type")
        family = each["family"]
        protocol = PROTOCOLS[family.choice(*PROTOCOLS)] if family.present else ICMP_PROTOCOL
        number = _read_type(each["type"], TYPES[protocol])
        yield PortRange(protocol=protocol, first=number, last=number)


def _read_type(field: Field, names: dict[str, int]) -> int:
    value = field.value
    if not isinstance(value, str):
        return field.number(0, LAST_TYPE)
    if value in names:
        return names[value]
    if value.isascii() and value.isdigit() and len(value) <= 3 and int(value) <= LAST_TYPE:
        return int(value)
    raise field.error(f"a number within 0..{LAST_TYPE} or the name of a type")
