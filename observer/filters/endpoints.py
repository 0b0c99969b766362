"""Filters by endpoint and service: identity, pod, workload, service, cluster, labels.

Each is a predicate over interned values, judged once for each value. Where both sides of a
request ask the same, they share the verdicts.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from api.proto.flow.flow_pb2 import FlowFilter
from observer.entities import Endpoint, Service
from observer.filters.condition import Condition, Cost, Mask, RefVerdicts, RowSlice, constant
from observer.filters.context import Context
from observer.filters.errors import FilterError
from observer.filters.labels import parse_labels
from observer.filters.selector import Selector, parse_selector
from observer.table.ring import FlowTable

_SIDES = ("source", "destination")
_DEFAULT_NAMESPACE = "default"
_MANY_SETS = 512
"""So many sets of labels are judged as rows refer to them; fewer are all judged at once."""
_EMPTY_NAME = "invalid filter, name must not be empty"


class NamePattern(NamedTuple):
    """`[namespace/]prefix`: an exact namespace ("" for any) and the beginning of a name."""

    namespace: str
    prefix: str

    def matches(self, namespace: str, name: str) -> bool:
        """Judge a name; what has neither namespace nor name never matches."""
        if not (namespace or name):
            return False
        return self.namespace in ("", namespace) and name.startswith(self.prefix)


def parse_name_pattern(value: str) -> NamePattern:
    """Return the pattern: without a slash the namespace is `default`.

    Raises:
        FilterError: the value is empty.
    """
    if not value:
        raise FilterError(_EMPTY_NAME)
    parts = value.split("/")
    return NamePattern(*parts[:2]) if len(parts) > 1 else NamePattern(_DEFAULT_NAMESPACE, value)


def _endpoint_condition(side: str, verdicts: RefVerdicts[Endpoint]) -> Condition:
    def mask(rows: RowSlice) -> Mask:
        return verdicts.mask(rows.interns.endpoints, rows.column(f"{side}_ref"))

    def judge(table: FlowTable) -> Iterator[None]:
        return verdicts.judge(table.interns.endpoints)

    return Condition(cost=Cost.REFERENCE, mask=mask, judge=judge)


def identities(flow_filter: FlowFilter, context: Context) -> Iterator[Condition]:
    """Compile source_identity and destination_identity; a missing endpoint has none."""
    fields = (flow_filter.source_identity, flow_filter.destination_identity)
    for side, values in zip(_SIDES, fields, strict=True):
        if values:
            wanted = frozenset(values)
            verdicts = context.endpoint_verdicts(("identity", wanted), _has_identity(wanted))
            yield _endpoint_condition(side, verdicts)


def _has_identity(wanted: frozenset[int]) -> Callable[[Endpoint], bool]:
    return lambda endpoint: endpoint.identity in wanted


def pods(flow_filter: FlowFilter, context: Context) -> Iterator[Condition]:
    """Compile source_pod and destination_pod.

    Raises:
        FilterError: a value is empty.
    """
    fields = (flow_filter.source_pod, flow_filter.destination_pod)
    for side, values in zip(_SIDES, fields, strict=True):
        if values:
            patterns = tuple(parse_name_pattern(value) for value in values)
            yield _endpoint_condition(
                side, context.endpoint_verdicts(("pod", patterns), _is_pod(patterns))
            )


def _is_pod(patterns: Sequence[NamePattern]) -> Callable[[Endpoint], bool]:
    return lambda endpoint: any(
        pattern.matches(endpoint.namespace, endpoint.pod_name) for pattern in patterns
    )


def workloads(flow_filter: FlowFilter, context: Context) -> Iterator[Condition]:
    """Compile source_workload and destination_workload; an empty name or kind is any."""
    fields = (flow_filter.source_workload, flow_filter.destination_workload)
    for side, values in zip(_SIDES, fields, strict=True):
        if values:
            wanted = tuple((value.kind, value.name) for value in values)
            yield _endpoint_condition(
                side, context.endpoint_verdicts(("workload", wanted), _has_workload(wanted))
            )


def _has_workload(wanted: Sequence[tuple[str, str]]) -> Callable[[Endpoint], bool]:
    return lambda endpoint: any(
        kind in ("", workload.kind) and name in ("", workload.name)
        for workload in endpoint.workloads
        for kind, name in wanted
    )


def clusters(flow_filter: FlowFilter, context: Context) -> Iterator[Condition]:
    """Compile source_cluster_name and destination_cluster_name: exact names.

    Raises:
        FilterError: a name is empty.
    """
    fields = (flow_filter.source_cluster_name, flow_filter.destination_cluster_name)
    for side, values in zip(_SIDES, fields, strict=True):
        if values:
            wanted = frozenset(values)
            if "" in wanted:
                raise FilterError(_EMPTY_NAME)
            verdicts = context.endpoint_verdicts(("cluster", wanted), _in_cluster(wanted))
            yield _endpoint_condition(side, verdicts)


def _in_cluster(wanted: frozenset[str]) -> Callable[[Endpoint], bool]:
    return lambda endpoint: endpoint.cluster_name in wanted


def services(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile source_service and destination_service: as pods, over the services' names.

    Raises:
        FilterError: a value is empty.
    """
    fields = (flow_filter.source_service, flow_filter.destination_service)
    for side, values in zip(_SIDES, fields, strict=True):
        if values:
            try:
                patterns = [parse_name_pattern(value) for value in values]
            except FilterError as error:
                raise FilterError(f"invalid {side} service filter: {error}") from None
            yield _service_condition(f"{side}_service_ref", patterns)


def _service_condition(column: str, patterns: Sequence[NamePattern]) -> Condition:
    verdicts: RefVerdicts[Service] = RefVerdicts(
        lambda service: any(
            pattern.matches(service.namespace, service.name) for pattern in patterns
        )
    )

    def mask(rows: RowSlice) -> Mask:
        return verdicts.mask(rows.interns.services, rows.column(column))

    def judge(table: FlowTable) -> Iterator[None]:
        return verdicts.judge(table.interns.services)

    return Condition(cost=Cost.REFERENCE, mask=mask, judge=judge)


def labels(flow_filter: FlowFilter, context: Context) -> Iterator[Condition]:
    """Compile source_label, destination_label and node_labels: any of the selectors.

    Raises:
        FilterError: a selector cannot be parsed.
    """
    fields = (flow_filter.source_label, flow_filter.destination_label)
    for side, values in zip(_SIDES, fields, strict=True):
        if values:
            selectors = tuple(values)
            # Mostly both sides are asked alike: what was parsed needs not be again.
            if selectors not in context.label_verdicts:
                context.label_verdicts[selectors] = _label_verdicts(_any_selector(values, side))
            yield _label_condition(side, context.label_verdicts[selectors])
    if flow_filter.node_labels:
        accepts = _any_selector(flow_filter.node_labels, "node")
        yield constant(accepts(parse_labels(context.node_labels)))


def _label_verdicts(accepts: Selector) -> RefVerdicts[tuple[str, ...]]:
    return RefVerdicts(lambda texts: accepts(parse_labels(texts)), absent=accepts({}))


def _label_condition(side: str, verdicts: RefVerdicts[tuple[str, ...]]) -> Condition:
    def mask(rows: RowSlice) -> Mask:
        sets, by_endpoint = rows.table.label_sets.sets, rows.table.label_sets.by_endpoint()
        refs = rows.column(f"{side}_ref")
        if len(sets) > _MANY_SETS:
            return verdicts.mask(sets, by_endpoint.take(refs))
        return verdicts.mask(sets, by_endpoint).take(refs)

    def judge(table: FlowTable) -> Iterator[None]:
        table.label_sets.by_endpoint()
        return verdicts.judge(table.label_sets.sets)

    return Condition(cost=Cost.REFERENCE, mask=mask, judge=judge)


def _any_selector(values: Sequence[str], side: str) -> Selector:
    try:
        selectors = [parse_selector(value) for value in values]
    except FilterError as error:
        raise FilterError(f"invalid {side} label filter: {error}") from None
    if len(selectors) == 1:
        return selectors[0]
    return lambda labels: any(selector(labels) for selector in selectors)
