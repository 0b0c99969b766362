"""Compiling filters: each field of FlowFilter has its compiler in one table.

The table's order is Hubble's: where several values are wrong, the first error in this order is
the one that a client sees. What comes out is sorted by cost.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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

COMPILERS: Final[tuple[tuple[Compiler, tuple[str, ...]], ...]] = (
    (events.uuids, ("uuid",)),
    (events.event_types, ("event_type",)),
    (events.verdicts, ("verdict",)),
    (events.drop_reasons, ("drop_reason_desc",)),
    (events.replies, ("reply",)),
    (addresses.encryption, ("encrypted",)),
    (endpoints.identities, ("source_identity", "destination_identity")),
    (transport.protocols, ("protocol",)),
    (addresses.ip_addresses, ("source_ip", "destination_ip", "source_ip_xlated")),
    (endpoints.pods, ("source_pod", "destination_pod")),
    (endpoints.workloads, ("source_workload", "destination_workload")),
    (endpoints.services, ("source_service", "destination_service")),
    (names.fqdns, ("source_fqdn", "destination_fqdn")),
    (application.dns_queries, ("dns_query",)),
    (endpoints.labels, ("source_label", "destination_label", "node_labels")),
    (transport.ports, ("source_port", "destination_port")),
    (
        application.http,
        ("http_status_code", "http_method", "http_path", "http_url", "http_header"),
    ),
    (transport.tcp_flags, ("tcp_flags",)),
    (names.node_names, ("node_name",)),
    (endpoints.clusters, ("source_cluster_name", "destination_cluster_name")),
    (addresses.ip_versions, ("ip_version",)),
    (events.trace_ids, ("trace_id",)),
    (events.directions, ("traffic_direction",)),
    (expressions.expressions, ("experimental",)),
    (events.interfaces, ("interface",)),
    (events.ip_trace_ids, ("ip_trace_id",)),
)
"""And the fields that each compiles."""

MAX_FILTERS: Final = 128
"""In a request: each costs a look at every row."""
MAX_EXPRESSIONS: Final = 16
"""In a request: each may run on every row."""
MAX_VALUES: Final = 1_024
"""In all fields of a request: to read one takes up to 7 µs, each may cost a look at every row."""
MAX_BYTES: Final = 16_384
"""Of all filters of a request: a single selector may hold thousands of words."""


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
        value_count=sum(_value_count(each) for each in (*allow, *deny)),
        allow=tuple(compile_conditions(each, context) for each in allow),
        deny=tuple(compile_conditions(each, context) for each in deny),
    )


def check_counts(allow: Sequence[FlowFilter], deny: Sequence[FlowFilter]) -> None:
    """Refuse what would make each step of a query long.

    Raises:
        CostlyFilterError: there are more than 128 filters, or more than 16 expressions or 1,024
            values in them, or they are larger than 16 KiB.
    """
    filter_count = len(allow) + len(deny)
    if filter_count > MAX_FILTERS:
        raise CostlyFilterError(f"too many filters: {filter_count}, at most {MAX_FILTERS}")
    both = (*allow, *deny)
    size_bytes = sum(each.ByteSize() for each in both)
    if size_bytes > MAX_BYTES:
        raise CostlyFilterError(f"filters too large: {size_bytes} bytes, at most {MAX_BYTES}")
    value_count = sum(_value_count(each) for each in both)
    if value_count > MAX_VALUES:
        raise CostlyFilterError(f"too many values in filters: {value_count}, at most {MAX_VALUES}")
    expression_count = sum(len(each.experimental.cel_expression) for each in both)
    if expression_count > MAX_EXPRESSIONS:
        raise CostlyFilterError(
            f"too many CEL expressions: {expression_count}, at most {MAX_EXPRESSIONS}"
        )


def _value_count(flow_filter: FlowFilter) -> int:
    fields = flow_filter.ListFields()
    return sum(len(values) if field.is_repeated else 1 for field, values in fields)


def compile_conditions(
    flow_filter: FlowFilter, context: Context, instead: Mapping[Compiler, Compiler] | None = None
) -> Conditions:
    """Compile one filter; `instead` names compilers for tables that have other columns.

    Raises:
        FilterError: a value is not understood.
    """
    given = {field.name for field, _ in flow_filter.ListFields()}
    chosen = (compiler for compiler, fields in COMPILERS if not given.isdisjoint(fields))
    if instead is not None:
        chosen = (instead.get(compiler, compiler) for compiler in chosen)
    conditions = [each for compiler in chosen for each in compiler(flow_filter, context)]
    return tuple(sorted(conditions, key=lambda condition: condition.cost))
