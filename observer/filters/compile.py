"""Compiling filters: each field of FlowFilter has its compiler in one table.

The table's order is Hubble's: where several values are wrong, the first error in this order is
the one that a client sees. What comes out is sorted by cost.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from api.proto.flow.flow_pb2 import FlowFilter
from observer.filters import (
    addresses,
    application,
    endpoints,
    events,
    expressions,
    names,
    transport,
)
from observer.filters.condition import Condition
from observer.filters.context import Context, FlowSource
from observer.filters.errors import CostlyFilterError
from observer.filters.selection import Conditions, Selection

Compiler = Callable[[FlowFilter, Context], Iterator[Condition]]

COMPILERS: Final[tuple[Compiler, ...]] = (
    events.uuids,
    events.event_types,
    events.verdicts,
    events.drop_reasons,
    events.replies,
    addresses.encryption,
    endpoints.identities,
    transport.protocols,
    addresses.ip_addresses,
    endpoints.pods,
    endpoints.workloads,
    endpoints.services,
    names.fqdns,
    application.dns_queries,
    endpoints.labels,
    transport.ports,
    application.http,
    transport.tcp_flags,
    names.node_names,
    endpoints.clusters,
    addresses.ip_versions,
    events.trace_ids,
    events.directions,
    expressions.expressions,
    events.interfaces,
    events.ip_trace_ids,
)


MAX_FILTERS: Final = 128
"""In a request: each costs a look at every row."""
MAX_EXPRESSIONS: Final = 16
"""In a request: each may run on every row."""


def compile_filters(
    allow: Sequence[FlowFilter],
    deny: Sequence[FlowFilter],
    *,
    node_name: str = "",
    node_labels: tuple[str, ...] = (),
    flows: FlowSource | None = None,
) -> Selection:
    """Compile a request's whitelist and blacklist for the table of one node.

    Raises:
        FilterError: a value is not understood, or there are too many of them; the text is for
            the client.
    """
    check_counts(allow, deny)
    context = Context(node_name=node_name, node_labels=node_labels, flows=flows)
    return Selection(
        allow=tuple(_compile(each, context) for each in allow),
        deny=tuple(_compile(each, context) for each in deny),
    )


def check_counts(allow: Sequence[FlowFilter], deny: Sequence[FlowFilter]) -> None:
    """Refuse what would make each step of a query long.

    Raises:
        CostlyFilterError: there are more than 128 filters, or more than 16 expressions in them.
    """
    filter_count = len(allow) + len(deny)
    if filter_count > MAX_FILTERS:
        raise CostlyFilterError(f"too many filters: {filter_count}, at most {MAX_FILTERS}")
    expression_count = sum(
        len(each.experimental.cel_expression) for filters in (allow, deny) for each in filters
    )
    if expression_count > MAX_EXPRESSIONS:
        raise CostlyFilterError(
            f"too many CEL expressions: {expression_count}, at most {MAX_EXPRESSIONS}"
        )


def _compile(flow_filter: FlowFilter, context: Context) -> Conditions:
    conditions = [each for compiler in COMPILERS for each in compiler(flow_filter, context)]
    return tuple(sorted(conditions, key=lambda condition: condition.cost))
