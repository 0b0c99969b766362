"""Rules of endpoints as the programs read them, and what a change of them leaves."""

import struct
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from observer.kernel import layout
from observer.kernel.errors import KernelError
from observer.kernel.policytable import PolicyTable, _rule
from policy.entries import NO_RULE, Direction, PolicyEntry


def test_the_bytes_of_a_rule() -> None:
    entry = PolicyEntry(
        direction=Direction.EGRESS,
        identity=300,
        protocol=6,
        port=0x1F90,
        port_prefix_bits=12,
        deny=True,
        cookie=99,
    )
    key, value = _rule(7, entry)
    assert key == struct.pack("=IIIBB", 72 + 20, 7, 300, 2, 6) + b"\x1f\x90"
    assert value == struct.pack("=IHBB", 99, 0, 20, 1)


class FakeTable:
    """A map with room for so many entries, that writes a part of a batch before it refuses."""

    def __init__(self, room: int = 1_000) -> None:
        self.room = room
        self.held: dict[bytes, bytes] = {}
        self.written: list[tuple[bytes, bytes | None]] = []

    def read(self) -> dict[bytes, bytes]:
        return dict(self.held)

    def put_all(self, entries: dict[bytes, bytes]) -> None:
        for key, value in entries.items():
            if key not in self.held and len(self.held) == self.room:
                raise KernelError(f"write map policy: it is full: {self.room} entries")
            self.held[key] = value
            self.written.append((key, value))

    def drop(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self.held.pop(key, None)
            self.written.append((key, None))


def rule(identity: int, *, deny: bool = False, audit: bool = False, cookie: int = 1) -> PolicyEntry:
    return PolicyEntry(
        direction=Direction.INGRESS,
        identity=identity,
        protocol=0,
        port=0,
        port_prefix_bits=0,
        deny=deny,
        audit=audit,
        cookie=cookie,
    )


def identity_of(key: bytes) -> int:
    return int(np.frombuffer(key, layout.POLICY_KEY)[0]["identity"])


def test_denials_come_first_and_go_last() -> None:
    table = FakeTable()
    policy = PolicyTable(table)  # type: ignore[arg-type] # a table's three methods are enough
    first = [
        rule(NO_RULE, deny=True),
        rule(300),
        rule(301, deny=True),
        rule(302, deny=True, audit=True),
    ]
    policy.replace(7, first)
    assert [identity_of(key) for key, _ in table.written] == [301, 300, 302, NO_RULE]
    table.written.clear()
    policy.replace(7, [rule(303), first[0]])
    done = [(identity_of(key), value is None) for key, value in table.written]
    assert done[:2] == [(303, False), (300, True)]
    assert set(done[2:]) == {(301, True), (302, True)}
    assert {identity_of(key) for key in table.held} == {303, NO_RULE}


def test_a_full_map_leaves_the_rules_as_they_were() -> None:
    table = FakeTable(room=4)
    policy = PolicyTable(table)  # type: ignore[arg-type] # as above
    policy.replace(7, [rule(identity, cookie=1) for identity in (300, 301)])
    policy.replace(8, [rule(300)])
    before = dict(table.held)
    with pytest.raises(KernelError, match="it is full: 4 entries"):
        policy.replace(7, [rule(identity, cookie=2) for identity in (300, 301, 302, 303)])
    assert table.held == before
    table.room = 9
    policy.replace(7, [rule(identity, cookie=2) for identity in (300, 301, 302, 303)])
    assert len(table.held) == 5
    policy.replace(7, [])
    assert len(table.held) == 1


@given(
    st.integers(1, 65535),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.booleans(),
    st.integers(0, 16),
    st.integers(0, 65535),
)
def test_the_bytes_of_any_rule_are_those_of_the_structs(
    endpoint: int, identity: int, deny: bool, audit: bool, bits: int, port: int
) -> None:
    entry = PolicyEntry(
        direction=Direction.EGRESS,
        identity=identity,
        protocol=17,
        port=port & ~(0xFFFF >> bits),
        port_prefix_bits=bits,
        deny=deny,
        audit=deny and audit,
        cookie=identity ^ 5,
    )
    key, value = _rule(endpoint, entry)
    found = np.frombuffer(key, layout.POLICY_KEY)[0]
    assert (found["prefix_bits"], found["endpoint_id"], found["identity"]) == (
        layout.POLICY_EXACT_BITS + 8 + bits,
        endpoint,
        identity,
    )
    assert (found["direction"], found["protocol"], found["port"]) == (2, 17, entry.port)
    said = np.frombuffer(value, layout.POLICY_VALUE)[0]
    assert (said["cookie"], said["proxy_port"], said["prefix_bits"]) == (identity ^ 5, 0, 8 + bits)
    assert said["flags"] == deny + 2 * (deny and audit)
