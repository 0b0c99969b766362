"""Filters by name pattern: source_fqdn, destination_fqdn and node_name.

A pattern is a DNS name in which `*` stands for any run of letters, digits, dots and dashes. Node
patterns have the form `[cluster/]node`, and a node's name without a slash is in cluster `default`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
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

_ALLOWED: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.*")
# As in Hubble: an underscore is a letter of names, but not of what `*` covers.
_STAR: Final = "[-.0-9a-z]*"
_ANY_NAME: Final = r"[-0-9_a-z]+(\.[-0-9_a-z]+)*"
_MAX_NODE_PARTS: Final = 2


def pattern_text(pattern: str) -> str:
    """Return the regular expression of a name pattern, without anchors.

    Raises:
        FilterError: the pattern is empty or holds a character that no name has.
    """
    name = pattern.strip().removesuffix(".").lower()
    if not name:
        raise FilterError("empty pattern")
    if name.endswith("."):
        raise FilterError("multiple trailing dots in pattern")
    for character in name:
        if character not in _ALLOWED:
            raise FilterError(f"'{character}': invalid rune in pattern")
    return _STAR.join(re.escape(part) for part in name.split("*"))


def node_pattern_text(pattern: str) -> str:
    """Return the regular expression, over `cluster/node`, of a node pattern.

    Raises:
        FilterError: the pattern is empty or malformed.
    """
    parts = pattern.split("/")
    if len(parts) > _MAX_NODE_PARTS:
        raise FilterError("too many slashes in pattern")
    if not pattern:
        raise FilterError("empty pattern")
    if len(parts) == 1:
        parts.insert(0, "")
    return "/".join(pattern_text(part) if part else _ANY_NAME for part in parts)


def _compiled(texts: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{text})" for text in texts))


def fqdns(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile source_fqdn and destination_fqdn: one of the side's names must match.

    Raises:
        FilterError: a pattern is malformed.
    """
    for column, patterns in (
        ("source_names_ref", flow_filter.source_fqdn),
        ("destination_names_ref", flow_filter.destination_fqdn),
    ):
        if patterns:
            verdicts = RefVerdicts(_any_name([pattern_text(pattern) for pattern in patterns]))
            yield Condition(cost=Cost.REFERENCE, mask=_names_mask(column, verdicts))


def _any_name(texts: Sequence[str]) -> Callable[[tuple[str, ...]], bool]:
    compiled = _compiled(texts)
    return lambda names: any(compiled.fullmatch(name) for name in names)


def _names_mask(column: str, verdicts: RefVerdicts[tuple[str, ...]]) -> Callable[[RowSlice], Mask]:
    return lambda rows: verdicts.mask(rows.interns.names, rows.column(column))


def node_names(flow_filter: FlowFilter, context: Context) -> Iterator[Condition]:
    """Compile node_name: all rows of a table come from one node.

    Raises:
        FilterError: a pattern is malformed.
    """
    if flow_filter.node_name:
        compiled = _compiled([node_pattern_text(pattern) for pattern in flow_filter.node_name])
        name = context.node_name
        if name and "/" not in name:
            name = f"default/{name}"
        yield constant(bool(name) and compiled.fullmatch(name) is not None)
