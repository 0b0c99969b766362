"""Ranges become exactly their ports, in as few blocks as a trie allows."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from policy.entries import LAST_PORT
from policy.ports import PortBlock, blocks

PORTS = st.integers(0, LAST_PORT)


def ports_of(block: PortBlock) -> range:
    return range(block.port, block.port + (1 << (16 - block.prefix_bits)))


@given(PORTS, PORTS)
def test_blocks_hold_each_port_of_the_range_once(one: int, other: int) -> None:
    first, last = sorted((one, other))
    found = list(blocks(first, last))
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
    assert all(block.port % len(ports_of(block)) == 0 for block in blocks(first, last))


def test_known_ranges() -> None:
    assert list(blocks(0, LAST_PORT)) == [PortBlock(0, 0)]
    assert list(blocks(80, 80)) == [PortBlock(80, 16)]
    assert list(blocks(8080, 8090)) == [
        PortBlock(8080, 13),
        PortBlock(8088, 15),
        PortBlock(8090, 16),
    ]
    assert len(list(blocks(1, LAST_PORT))) == 16
    assert len(list(blocks(1, LAST_PORT - 1))) == 30
