"""Conditions on what no column holds: judged message by message.

Texts of addresses are compared as they were written, so that `::0001` in a file is not `::1`; a
file has flows of many nodes, L7 records, and uuids that were not derived from positions. Each
compiler here takes the place of the one of `observer.filters` for the same field, and lets that
one check the values first: the error texts are the same.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import numpy as np

from api.proto.flow.flow_pb2 import Flow, FlowFilter
from observer.decode.flows_json.columns import MessageTable
from observer.decode.flows_json.urls import request_path
from observer.filters import addresses, application, endpoints, names, transport
from observer.filters.condition import Condition, Cost, Mask, RowSlice
from observer.filters.context import Context
from observer.filters.labels import parse_labels
from observer.filters.selector import parse_selector

Judge = Callable[[Flow], bool]

_L7_NAMES: Final = frozenset(("dns", "http", "kafka"))
_L4_NAMES: Final = {"icmp": ("icmpv4", "icmpv6")}
_KEPT: Final = 65_536


def messages_of(rows: RowSlice) -> Sequence[Flow]:
    """Return the messages behind rows of a MessageTable."""
    table = rows.table
    if not isinstance(table, MessageTable):
        raise TypeError(f"judge messages: rows of a {type(table).__name__}")
    flows = table.flows[rows.slots]
    return flows if rows.picked is None else [flows[row] for row in rows.picked.tolist()]


def judged_by(judge: Judge) -> Condition:
    """Make a condition of a function that judges one message."""

    def mask(rows: RowSlice) -> Mask:
        return np.fromiter(map(judge, messages_of(rows)), np.bool_, len(rows))

    return Condition(cost=Cost.REFERENCE, mask=mask)


def uuids(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile uuid: equal texts."""
    wanted = frozenset(flow_filter.uuid)
    if wanted:
        yield judged_by(lambda flow: flow.uuid in wanted)


def event_types(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile event_type: type 0 is any, but there must be one."""
    wanted = [(each.type, each.match_sub_type, each.sub_type) for each in flow_filter.event_type]

    def judge(flow: Flow) -> bool:
        if not flow.HasField("event_type"):
            return False
        event = flow.event_type
        return any(
            number in (0, event.type) and not (match_sub_type and sub_type != event.sub_type)
            for number, match_sub_type, sub_type in wanted
        )

    if wanted:
        yield judged_by(judge)


def encryption(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile encrypted; a flow without IP is not."""
    wanted = frozenset(flow_filter.encrypted)
    if wanted:
        yield judged_by(lambda flow: flow.IP.encrypted in wanted)


def protocols(flow_filter: FlowFilter, context: Context) -> Iterator[Condition]:
    """Compile protocol: transport protocols and kinds of L7 records, any of them."""
    if not flow_filter.protocol:
        return
    list(transport.protocols(flow_filter, context))
    lower = [name.lower() for name in flow_filter.protocol]
    wanted = {kind for name in lower for kind in _L4_NAMES.get(name, (name,))}
    records = wanted & _L7_NAMES

    def judge(flow: Flow) -> bool:
        if (flow.l4.WhichOneof("protocol") or "").lower() in wanted:
            return True
        return bool(records) and flow.l7.WhichOneof("record") in records

    yield judged_by(judge)


def ip_addresses(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile source_ip, destination_ip and source_ip_xlated: equal texts, or in a network."""
    for field, values in (
        ("source", flow_filter.source_ip),
        ("destination", flow_filter.destination_ip),
        ("source_xlated", flow_filter.source_ip_xlated),
    ):
        if values:
            addresses.parse_ranges(values)
            yield judged_by(_address_judge(field, values))


def _address_judge(field: str, values: Sequence[str]) -> Judge:
    texts = frozenset(value for value in values if "/" not in value)
    networks = [ip_network(value, strict=False) for value in values if "/" in value]
    # A file has few addresses and many flows.
    known: dict[str, bool] = {}

    def judge(flow: Flow) -> bool:
        text = getattr(flow.IP, field)
        verdict = known.get(text)
        if verdict is None:
            if len(known) >= _KEPT:
                known.clear()
            verdict = known[text] = text in texts or _in_networks(text, networks)
        return verdict

    return judge


def _in_networks(text: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    return any(address in network for network in networks)


def labels(flow_filter: FlowFilter, context: Context) -> Iterator[Condition]:
    """Compile the labels of both ends as ever, those of the node by message."""
    ends = FlowFilter(
        source_label=flow_filter.source_label, destination_label=flow_filter.destination_label
    )
    yield from endpoints.labels(ends, context)
    if flow_filter.node_labels:
        list(endpoints.labels(FlowFilter(node_labels=flow_filter.node_labels), context))
        selectors = [parse_selector(value) for value in flow_filter.node_labels]

        def judge(flow: Flow) -> bool:
            parsed = parse_labels(tuple(flow.node_labels))
            return any(selector(parsed) for selector in selectors)

        yield judged_by(judge)


def tcp_flags(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile tcp_flags: all of an entry must be set, and there must be flags."""
    wanted = sorted({transport.flag_bits(flags) for flags in flow_filter.tcp_flags})

    def judge(flow: Flow) -> bool:
        if flow.l4.WhichOneof("protocol") != "TCP" or not flow.l4.TCP.HasField("flags"):
            return False
        bits = transport.flag_bits(flow.l4.TCP.flags)
        return any(bits & each == each for each in wanted)

    if wanted:
        yield judged_by(judge)


def node_names(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile node_name."""
    if flow_filter.node_name:
        patterns = [names.NodePattern.parse(value) for value in flow_filter.node_name]

        def judge(flow: Flow) -> bool:
            name = flow.node_name
            return bool(name) and any(pattern.matches(name) for pattern in patterns)

        yield judged_by(judge)


def trace_ids(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile trace_id; an empty one is a flow without."""
    wanted = frozenset(flow_filter.trace_id)
    if wanted:
        yield judged_by(lambda flow: flow.trace_context.parent.trace_id in wanted)


def dns_queries(flow_filter: FlowFilter, context: Context) -> Iterator[Condition]:
    """Compile dns_query."""
    if flow_filter.dns_query:
        list(application.dns_queries(flow_filter, context))
        search = _any_pattern(flow_filter.dns_query)
        yield judged_by(
            lambda flow: flow.l7.WhichOneof("record") == "dns" and search(flow.l7.dns.query)
        )


def http(flow_filter: FlowFilter, context: Context) -> Iterator[Condition]:
    """Compile the http_* fields; flows without an HTTP record never match."""
    list(application.http(flow_filter, context))
    for values, judge_of in (
        (flow_filter.http_status_code, _status_judge),
        (flow_filter.http_method, _method_judge),
        (flow_filter.http_path, _path_judge),
        (flow_filter.http_url, _url_judge),
    ):
        if values:
            yield _of_http(judge_of(values))
    if flow_filter.http_header:
        wanted = {(each.key, each.value) for each in flow_filter.http_header}
        yield _of_http(
            lambda flow: any((each.key, each.value) in wanted for each in flow.l7.http.headers)
        )


def _of_http(judge: Judge) -> Condition:
    return judged_by(lambda flow: flow.l7.WhichOneof("record") == "http" and judge(flow))


def _status_judge(values: Sequence[str]) -> Judge:
    exact = frozenset(value for value in values if not value.endswith("+"))
    prefixes = tuple(value[:-1] for value in values if value.endswith("+"))

    def judge(flow: Flow) -> bool:
        # A request has none: 000 begins with no prefix that is allowed.
        code = f"{flow.l7.http.code:03}"
        return code in exact or code.startswith(prefixes)

    return judge


def _method_judge(values: Sequence[str]) -> Judge:
    wanted = frozenset(value.lower() for value in values)
    return lambda flow: bool(flow.l7.http.method) and flow.l7.http.method.lower() in wanted


def _path_judge(values: Sequence[str]) -> Judge:
    search = _any_pattern(values)

    def judge(flow: Flow) -> bool:
        path = request_path(flow.l7.http.url)
        return path is not None and search(path)

    return judge


def _url_judge(values: Sequence[str]) -> Judge:
    search = _any_pattern(values)
    return lambda flow: search(flow.l7.http.url)


def _any_pattern(values: Sequence[str]) -> Callable[[str], bool]:
    """Search a text for patterns; character classes are those of ASCII, as in RE2."""
    patterns = [re.compile(value, re.ASCII) for value in values]
    return lambda text: any(pattern.search(text) is not None for pattern in patterns)
