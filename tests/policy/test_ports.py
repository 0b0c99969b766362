"""Ranges become exactly their ports, in as few blocks as a trie allows."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from policy.entries import LAST_PORT
from policy.ports import EVERYTHING, PortBlock, PortRange, blocks

PORTS = st.integers(0, LAST_PORT)


def tcp(first: int, last: int) -> PortRange:
    return PortRange(protocol=6, first=first, last=last)


def ports_of(block: PortBlock) -> range:
    return range(block.port, block.port + (1 << (16 - block.prefix_bits)))


@given(PORTS, PORTS)
def test_blocks_hold_each_port_of_the_range_once(one: int, other: int) -> None:
    first, last = sorted((one, other))
    found = list(blocks(tcp(first, last)))
    covered = [port for block in found for port in (ports_of(block)[0], ports_of(block)[-1])]
    assert covered == sorted(covered)
    assert covered[0] == first
    assert covered[-1] == last
    for before, after in itertools.pairwise(found):
        assert ports_of(before)[-1] + 1 == after.port
    assert len(found) <= 30


@given(PORTS, PORTS)
def test_blocks_begin_at_a_multiple_of_their_size(one: int, other: int) -> None:
    first, last = sorted((one, other))
    assert all(block.port % len(ports_of(block)) == 0 for block in blocks(tcp(first, last)))


def test_known_ranges() -> None:
    assert blocks(EVERYTHING) == (PortBlock(0, 0, 0),)
    assert blocks(PortRange(protocol=6)) == (PortBlock(6, 0, 0),)
    assert blocks(tcp(80, 80)) == (PortBlock(6, 80, 16),)
    assert blocks(tcp(8080, 8090)) == (
        PortBlock(6, 8080, 13),
        PortBlock(6, 8088, 15),
        PortBlock(6, 8090, 16),
    )
    assert len(blocks(tcp(1, LAST_PORT))) == 16
    assert len(blocks(tcp(1, LAST_PORT - 1))) == 30


def test_a_block_is_covered_by_itself_and_by_all_that_hold_it() -> None:
    block = PortBlock(6, 80, 16)
    found = list(block.covering())
    assert found[0] == PortBlock(0, 0, 0)
    assert found[1] == PortBlock(6, 0, 0)
    assert found[-1] == block
    assert all(80 in ports_of(each) for each in found)
    assert len(found) == len(set(found)) == 18
