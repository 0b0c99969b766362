"""The trie of policy entries, all endpoints in one, and how the rules of one of them change.

In: an endpoint's entries, as policy.compiler made them. Out: writes of what differs, in an order in
which no packet passes that neither the old nor the new rules let pass, and none is lost that both
let pass. Nothing here bumps the revision: `observer.kernel.datapath` does.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from observer.kernel import layout
from observer.kernel.errors import KernelError
from observer.kernel.tables import Table
from policy.entries import LAST_PORT, NO_RULE, PolicyEntry

_PROTOCOL_BITS: Final = 8
_RULE_KEY: Final = struct.Struct("=IIIBB")
"""struct policy_key without its port, which is big-endian."""
_RULE_VALUE: Final = struct.Struct("=IHBB")


class PolicyTable:
    """Rules of all endpoints in one trie."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rules: dict[int, dict[bytes, bytes]] = {}
        for key, value in table.read().items():
            endpoint_id = int(np.frombuffer(key, layout.POLICY_KEY)[0]["endpoint_id"])
            self._rules.setdefault(endpoint_id, {})[key] = value

    def replace(self, endpoint_id: int, entries: Sequence[PolicyEntry]) -> None:
        """Let exactly these rules hold.

        At no moment does a packet pass that neither the old nor the new rules let pass, and none is
        lost that both let pass: denials come first, then goes what they overrule, since longer
        matches would hide them; then comes what lets pass, and what happens to packets that no rule
        is about; last go the old rules, denials at the end.

        Raises:
            KernelError: The map is full, or refused; the rules are as before.
        """
        before = self._rules.get(endpoint_id, {})
        now = dict(_rule(endpoint_id, entry) for entry in sorted(entries, key=_writing_order))
        different = {key: value for key, value in now.items() if before.get(key) != value}
        denying = {k: v for k, v in different.items() if _denies(v) and not _is_unmatched(k)}
        gone = before.keys() - now.keys()
        try:
            self._table.put_all(denying)
            self._table.drop(_overruled(gone, before, now))
            self._table.put_all({k: v for k, v in different.items() if k not in denying})
        except KernelError:
            self._restore(before, different)
            raise
        # what a failure below leaves behind is found by the next call
        self._rules[endpoint_id] = before | now
        self._table.drop(sorted(gone, key=lambda key: before[key][-1] & layout.POLICY_DENY))
        self._rules[endpoint_id] = now
        if not now:
            del self._rules[endpoint_id]

    def _restore(self, before: Mapping[bytes, bytes], written: Mapping[bytes, bytes]) -> None:
        """Take back what was done in part."""
        self._table.drop(written.keys() - before.keys())
        self._table.put_all(before)


def _writing_order(entry: PolicyEntry) -> bool:
    """What no rule is about comes last: its denial is meant for what nothing allows."""
    return entry.identity == NO_RULE


def _is_unmatched(key: bytes) -> bool:
    """Whether it says what happens to packets that no rule is about."""
    return bool(_RULE_KEY.unpack(key[: _RULE_KEY.size])[2] == NO_RULE)


def _denies(value: bytes) -> bool:
    """Whether a rule denies, and not only tells."""
    flags = value[-1]
    return bool(flags & layout.POLICY_DENY and not flags & layout.POLICY_AUDIT)


def _overruled(
    gone: Iterable[bytes], before: Mapping[bytes, bytes], now: Mapping[bytes, bytes]
) -> Iterator[bytes]:
    """Yield the old rules that let pass what a new rule of the same peer denies."""
    denied = {key for key, value in now.items() if _denies(value)}
    for key in gone if denied else ():
        if not _denies(before[key]) and not denied.isdisjoint(_around(key)):
            yield key


def _around(key: bytes) -> Iterator[bytes]:
    """Yield the keys of all rules that hold every packet of this one, itself included."""
    length, *same, protocol = _RULE_KEY.unpack(key[: _RULE_KEY.size])
    port = int.from_bytes(key[_RULE_KEY.size :], "big")
    yield _RULE_KEY.pack(layout.POLICY_EXACT_BITS, *same, 0) + bytes(2)
    for bits in range(length - layout.POLICY_EXACT_BITS - _PROTOCOL_BITS + 1):
        wider = layout.POLICY_EXACT_BITS + _PROTOCOL_BITS + bits
        masked = port & ~(LAST_PORT >> bits)
        yield _RULE_KEY.pack(wider, *same, protocol) + masked.to_bytes(2, "big")


def _rule(endpoint_id: int, entry: PolicyEntry) -> tuple[bytes, bytes]:
    """The bytes of struct policy_key and struct policy_value."""
    key = _RULE_KEY.pack(
        layout.POLICY_EXACT_BITS + entry.prefix_bits,
        endpoint_id,
        entry.identity,
        entry.direction,
        entry.protocol,
    )
    flags = layout.POLICY_DENY * entry.deny | layout.POLICY_AUDIT * entry.audit
    value = _RULE_VALUE.pack(entry.cookie, 0, entry.prefix_bits, flags)
    return key + entry.port.to_bytes(2, "big"), value
