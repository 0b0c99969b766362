"""Filters by IP address: source_ip, destination_ip, source_ip_xlated, ip_version, encrypted.

An address without a prefix length is compared as text, as Hubble does, so that `::0001` never
equals `::1`: only the canonical spelling can match, and that one is compared as two words. A
prefix is compared bit by bit; an IPv4 prefix never matches an IPv6 flow.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import numpy as np

from api.proto.flow.flow_pb2 import FlowFilter, IPVersion
from observer.entities import address_bytes, address_text
from observer.filters.condition import Condition, Cost, Mask, RefVerdicts, RowSlice, one_of
from observer.filters.context import Context
from observer.filters.errors import FilterError
from observer.filters.ranges import MAPPED_PREFIX, AddressRange, AddressRanges, words_of
from observer.table.columns import RowFlag
from observer.table.ring import FlowTable

_PREFIX_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,2}")
_OCTETS: Final = 4
_MAX_OCTET: Final = 255
_V6_BITS: Final = 128
_MAPPED_BITS: Final = 96


def _range(address: IPv4Address | IPv6Address, bits: int) -> AddressRange:
    v6 = isinstance(address, IPv6Address)
    bits += 0 if v6 else _MAPPED_BITS
    mask = ((1 << bits) - 1) << (_V6_BITS - bits)
    network = int.from_bytes(address_bytes(address)) & mask
    return AddressRange(
        network=words_of(network.to_bytes(16)), mask=words_of(mask.to_bytes(16)), v6=v6
    )


def parse_address(value: str) -> AddressRange | None:
    """Return the one address whose text is the value; None if no flow's text can equal it.

    Raises:
        FilterError: the value is no IP address.
    """
    try:
        address = ip_address(value)
    except ValueError:
        raise FilterError(
            f'invalid IP address "{value}" in filter: {_address_error(value)}'
        ) from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return None
    if address_text(address_bytes(address)) != value:
        return None
    return _range(address, address.max_prefixlen)


def parse_prefix(value: str) -> AddressRange:
    """Return the addresses of a CIDR; bits below the prefix are ignored.

    Raises:
        FilterError: the value is no CIDR.
    """
    text, _, length = value.rpartition("/")
    try:
        address = ip_address(text)
    except ValueError:
        raise _prefix_error(value, _address_error(text)) from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise _prefix_error(value, "IPv6 zones cannot be present in a prefix")
    if not _PREFIX_LENGTH.fullmatch(length):
        raise _prefix_error(value, f'bad bits after slash: "{length}"')
    if int(length) > address.max_prefixlen:
        raise _prefix_error(value, "prefix length out of range")
    return _range(address, int(length))


def _address_error(value: str) -> str:
    """Say what is wrong with an address in the words that users of Hubble know."""
    separator = re.search(r"[.:%]", value)
    # Mistakes in IPv4 are worth a word of their own.
    dotted = separator is not None and separator[0] == "."
    return f'ParseAddr("{value}"): ' + (_ipv4_error(value) if dotted else "unable to parse IP")


def _ipv4_error(value: str) -> str:
    fields = value.split(".")
    for index, field in enumerate(fields):
        rest = ".".join(fields[index:])
        strange = re.search(r"[^0-9]", field)
        if not field:
            at = rest if index == 0 or index < len(fields) - 1 else "."
            return f'IPv4 field must have at least one digit (at "{at}")'
        if len(field) > 1 and field.startswith("0") and field[1].isdigit():
            return "IPv4 field has octet with leading zero"
        if strange:
            return f'unexpected character (at "{rest[strange.start() :]}")'
        if int(field) > _MAX_OCTET:
            return "IPv4 field has value >255"
    return "IPv4 address too short" if len(fields) < _OCTETS else "IPv4 address too long"


def _prefix_error(value: str, reason: str) -> FilterError:
    inner = f'netip.ParsePrefix("{value}"): {reason}'
    return FilterError(f'invalid IP prefix "{value}" in filter: {inner}')


def parse_ranges(values: Sequence[str]) -> list[AddressRange]:
    """Return what the values of a field match, without those that match nothing."""
    ranges = [parse_prefix(value) if "/" in value else parse_address(value) for value in values]
    return [each for each in ranges if each is not None]


def ip_addresses(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile source_ip, destination_ip and source_ip_xlated."""
    sides = (("source_ip", flow_filter.source_ip), ("destination_ip", flow_filter.destination_ip))
    for column, values in sides:
        if values:
            ranges = AddressRanges(parse_ranges(values))
            yield Condition(cost=Cost.WIDE, mask=_column_mask(column, ranges))
    if flow_filter.source_ip_xlated:
        verdicts = RefVerdicts(_is_in(AddressRanges(parse_ranges(flow_filter.source_ip_xlated))))

        def translated(rows: RowSlice) -> Mask:
            return verdicts.mask(rows.interns.addresses, rows.column("xlated_ref"))

        def judge(table: FlowTable) -> Iterator[None]:
            return verdicts.judge(table.interns.addresses)

        yield Condition(cost=Cost.REFERENCE, mask=translated, judge=judge)


def _column_mask(column: str, ranges: AddressRanges) -> Callable[[RowSlice], Mask]:
    return lambda rows: ranges.contain(rows.column(column), rows.column("ip_version"))


def _is_in(ranges: AddressRanges) -> Callable[[bytes], bool]:
    def contains(packed: bytes) -> bool:
        words = np.frombuffer(packed, np.uint64).reshape(1, 2)
        mapped = packed.startswith(MAPPED_PREFIX)
        version = np.array([IPVersion.IPv4 if mapped else IPVersion.IPv6], np.uint8)
        return bool(ranges.contain(words, version)[0])

    return contains


def ip_versions(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile ip_version; IP_NOT_USED matches rows without IP."""
    if flow_filter.ip_version:
        yield one_of("ip_version", flow_filter.ip_version)


def encryption(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile encrypted; rows without IP count as not encrypted."""
    wanted = set(flow_filter.encrypted)
    if wanted:

        def mask(rows: RowSlice) -> Mask:
            encrypted: Mask = (rows.column("flags") & RowFlag.ENCRYPTED) != 0
            encrypted &= rows.column("ip_version") != IPVersion.IP_NOT_USED
            if len(wanted) > 1:
                return np.ones(len(rows), np.bool_)
            return encrypted if True in wanted else ~encrypted

        yield Condition(cost=Cost.COLUMN, mask=mask)
