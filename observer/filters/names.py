"""Filters by name pattern: source_fqdn, destination_fqdn and node_name.

A pattern is a DNS name in which `*` stands for any run of letters, digits, dots and dashes. Node
patterns have the form `[cluster/]node`, and a node's name without a slash is in cluster `default`.

Patterns come from clients, so they are matched in linear time and not as regular expressions.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from api.proto.flow.flow_pb2 import FlowFilter
from observer.filters.condition import (
    Condition,
    Cost,
    Mask,
    RefVerdicts,
    RowSlice,
    constant,
)
from observer.filters.context import Context
from observer.filters.errors import FilterError
from observer.table.ring import FlowTable

_ALLOWED: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.*")
# As in Hubble: an underscore is a letter of names, but not of what `*` covers.
_COVERED: Final = re.compile(r"[-.0-9a-z]*")
_ANY_NAME: Final = re.compile(r"[-0-9_a-z]+(\.[-0-9_a-z]+)*")
_DEFAULT_CLUSTER: Final = "default"
_NODE_PARTS: Final = 2


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A pattern, cut at its stars."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, pattern: str) -> "NamePattern":
        """Return the pattern.

        Raises:
            FilterError: it is empty or holds a character that no name has.
        """
        name = pattern.strip().removesuffix(".").lower()
        if not name:
            raise FilterError("empty pattern")
        if name.endswith("."):
            raise FilterError("multiple trailing dots in pattern")
        for character in name:
            if character not in _ALLOWED:
                raise FilterError(f"'{character}': invalid rune in pattern")
        return cls(tuple(name.split("*")))

    def matches(self, name: str) -> bool:
        """Judge a whole name.

        Each part is taken where it first occurs. A later place would do no better: what lies
        between would have to be covered by a star as well.
        """
        first, *rest = self.parts
        if not rest:
            return name == first
        *middle, last = rest
        at, end = len(first), len(name) - len(last)
        if at > end or not (name.startswith(first) and name.endswith(last)):
            return False
        for part in middle:
            found = name.find(part, at, end)
            if found < 0 or not _COVERED.fullmatch(name, at, found):
                return False
            at = found + len(part)
        return _COVERED.fullmatch(name, at, end) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePattern:
    """`[cluster/]node`; None is any name."""

    cluster: NamePattern | None
    node: NamePattern | None

    @classmethod
    def parse(cls, pattern: str) -> "NodePattern":
        """Return the pattern.

        Raises:
            FilterError: it is empty or malformed.
        """
        parts = pattern.split("/")
        if len(parts) > _NODE_PARTS:
            raise FilterError("too many slashes in pattern")
        if not pattern:
            raise FilterError("empty pattern")
        cluster, node = parts if len(parts) > 1 else ("", pattern)
        return cls(
            cluster=NamePattern.parse(cluster) if cluster else None,
            node=NamePattern.parse(node) if node else None,
        )

    def matches(self, name: str) -> bool:
        """Judge a node's name; an empty one never matches."""
        parts = name.split("/") if "/" in name else [_DEFAULT_CLUSTER, name]
        if len(parts) > _NODE_PARTS:
            return False
        pairs = zip((self.cluster, self.node), parts, strict=True)
        return all(_matches_or_any(pattern, part) for pattern, part in pairs)


def _matches_or_any(pattern: NamePattern | None, name: str) -> bool:
    if pattern is None:
        return _ANY_NAME.fullmatch(name) is not None
    return pattern.matches(name)


def fqdns(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile source_fqdn and destination_fqdn: one of the side's names must match.

    Raises:
        FilterError: a pattern is malformed.
    """
    for column, values in (
        ("source_names_ref", flow_filter.source_fqdn),
        ("destination_names_ref", flow_filter.destination_fqdn),
    ):
        if values:
            patterns = [NamePattern.parse(value) for value in values]
            verdicts = RefVerdicts(_any_name(patterns))
            yield _names_condition(column, verdicts)


def _any_name(patterns: Sequence[NamePattern]) -> Callable[[tuple[str, ...]], bool]:
    return lambda names: any(pattern.matches(name) for name in names for pattern in patterns)


def _names_condition(column: str, verdicts: RefVerdicts[tuple[str, ...]]) -> Condition:
    def mask(rows: RowSlice) -> Mask:
        return verdicts.mask(rows.interns.names, rows.column(column))

    def judge(table: FlowTable) -> Iterator[None]:
        return verdicts.judge(table.interns.names)

    return Condition(cost=Cost.REFERENCE, mask=mask, judge=judge)


def node_names(flow_filter: FlowFilter, context: Context) -> Iterator[Condition]:
    """Compile node_name: all rows of a table come from one node.

    Raises:
        FilterError: a pattern is malformed.
    """
    if flow_filter.node_name:
        patterns = [NodePattern.parse(value) for value in flow_filter.node_name]
        name = context.node_name
        yield constant(bool(name) and any(pattern.matches(name) for pattern in patterns))
