"""Why a sample could not be decoded: the reasons under which the ledger counts it."""

from enum import IntEnum
from typing import Final


class Undecodable(IntEnum):
    """Reasons as numbers, for columns; 0 is "decoded"."""

    TYPE = 1
    VERSION = 2
    EXT_VERSION = 3
    ETHERNET_SHORT = 4
    VLAN_SHORT = 5
    IPV4_SHORT = 6
    IPV4_INVALID = 7
    IPV6_SHORT = 8
    IPV6_INVALID = 9
    IPV6_EXTENSION_SHORT = 10
    L4_SHORT = 11
    TCP_INVALID = 12


REASON_TEXTS: Final[dict[Undecodable, str]] = {
    Undecodable.TYPE: "unknown event type",
    Undecodable.VERSION: "unknown header version",
    Undecodable.EXT_VERSION: "unknown extension version",
    Undecodable.ETHERNET_SHORT: "ethernet header cut short",
    Undecodable.VLAN_SHORT: "vlan tag cut short",
    Undecodable.IPV4_SHORT: "ipv4 header cut short",
    Undecodable.IPV4_INVALID: "ipv4 header invalid",
    Undecodable.IPV6_SHORT: "ipv6 header cut short",
    Undecodable.IPV6_INVALID: "ipv6 header invalid",
    Undecodable.IPV6_EXTENSION_SHORT: "ipv6 extension header cut short",
    Undecodable.L4_SHORT: "transport header cut short",
    Undecodable.TCP_INVALID: "tcp header invalid",
}
