"""Ranges of addresses by the hundred, against ipaddress."""

from ipaddress import ip_address, ip_network

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from api.proto.flow.flow_pb2 import FlowFilter, IPVersion
from observer.entities import address_bytes
from observer.filters import compile_filters
from observer.table.columns import EventKind
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from observer.table.rows import Rows

# Few bits differ, so that ranges are met.
V4 = st.integers(0, 63).map(lambda n: f"10.0.{n >> 3}.{n & 7}")
V6 = st.integers(0, 63).map(lambda n: f"fd00::{n >> 3:x}:{n & 7:x}") | st.sampled_from(
    ["::1", "::", "::ffff:0:0", "::a00:1"]
)
ADDRESS = V4 | V6
RANGE = (
    st.tuples(V4, st.sampled_from([0, 8, 24, 29, 30, 32])).map(lambda pair: f"{pair[0]}/{pair[1]}")
    | st.tuples(V6, st.sampled_from([0, 1, 96, 112, 125, 128])).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    )
    | ADDRESS.map(lambda text: str(ip_address(text)))
)


def table_of(addresses: list[str]) -> FlowTable:
    rows = Rows.zeros(len(addresses))
    rows.columns["kind"][:] = EventKind.TRACE
    for index, text in enumerate(addresses):
        if text:
            address = ip_address(text)
            rows.columns["source_ip"][index] = np.frombuffer(address_bytes(address), np.uint64)
            rows.columns["ip_version"][index] = (
                IPVersion.IPv4 if address.version == 4 else IPVersion.IPv6
            )
    table = FlowTable(capacity=127, interns=Interns(), seed=1)
    table.append(rows)
    return table


def lies_in(text: str, wanted: str) -> bool:
    if not text:
        return False
    if "/" not in wanted:
        return str(ip_address(text)) == wanted
    network = ip_network(wanted, strict=False)
    return ip_address(text) in network


@given(
    addresses=st.lists(ADDRESS | st.just(""), min_size=1, max_size=60),
    ranges=st.lists(RANGE, min_size=1, max_size=40),
)
@settings(max_examples=300, deadline=None)
def test_many_ranges(addresses: list[str], ranges: list[str]) -> None:
    addresses = [text for text in addresses if not text.startswith("::ffff")]
    if not addresses:
        return
    table = table_of(addresses)
    selection = compile_filters([FlowFilter(source_ip=ranges)], [])
    found = selection.mask(table, slice(0, len(addresses))).tolist()
    assert found == [any(lies_in(text, wanted) for wanted in ranges) for text in addresses]
