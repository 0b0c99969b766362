"""Compiling filters: each field of FlowFilter has its compiler in one table.

The table's order is Hubble's: where several values are wrong, the first error in this order is
the one that a client sees. What comes out is sorted by cost.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from api.proto.flow.flow_pb2 import FlowFilter
from observer.filters import addresses, application, endpoints, events, names, transport
from observer.filters.condition import Condition
from observer.filters.context import Context
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
    application.expressions,
    events.interfaces,
    events.ip_trace_ids,
)


def compile_filters(
    allow: Sequence[FlowFilter],
    deny: Sequence[FlowFilter],
    *,
    node_name: str = "",
    node_labels: tuple[str, ...] = (),
) -> Selection:
    """Compile a request's whitelist and blacklist for the table of one node.

    Raises:
        FilterError: a value is not understood; the text is for the client.
    """
    context = Context(node_name=node_name, node_labels=node_labels)
    return Selection(
        allow=tuple(_compile(each, context) for each in allow),
        deny=tuple(_compile(each, context) for each in deny),
    )


def _compile(flow_filter: FlowFilter, context: Context) -> Conditions:
    conditions = [each for compiler in COMPILERS for each in compiler(flow_filter, context)]
    return tuple(sorted(conditions, key=lambda condition: condition.cost))
