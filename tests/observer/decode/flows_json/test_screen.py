"""Filters over messages of a file against the slow evaluator, and what only files have."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from api.proto.flow.flow_pb2 import Flow, FlowFilter, Verdict
from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.decode.flows_json import Screen
from observer.filters import FilterError
from tests.observer.filters.reference import selected
from tests.observer.filters.test_reference import CASES, FLOWS, filters

RESPONSES = [GetFlowsResponse(flow=flow) for flow in FLOWS]
WITHOUT_RECORDS = [(name, value) for name, value in CASES if name != "http_method"]


def expected(allow: list[FlowFilter], deny: list[FlowFilter]) -> list[int]:
    return [index for index, flow in enumerate(FLOWS) if selected(flow, allow, deny)]


@pytest.mark.parametrize(("field", "value"), WITHOUT_RECORDS)
def test_each_value_alone(field: str, value: object) -> None:
    asked = FlowFilter(**{field: [value]})  # type: ignore[arg-type] # any field
    assert Screen([asked], []).passing(RESPONSES) == expected([asked], [])
    assert Screen([], [asked]).passing(RESPONSES) == expected([], [asked])


@given(allow=st.lists(filters(), max_size=3), deny=st.lists(filters(), max_size=2))
@settings(max_examples=60, deadline=None)
def test_filters_together(allow: list[FlowFilter], deny: list[FlowFilter]) -> None:
    assert Screen(allow, deny).passing(RESPONSES) == expected(allow, deny)


@given(asked=filters(), cuts=st.lists(st.integers(0, len(FLOWS)), max_size=4))
@settings(max_examples=60, deadline=None)
def test_batches_judge_as_the_whole_does(asked: FlowFilter, cuts: list[int]) -> None:
    screen, found = Screen([asked], []), []
    edges = [0, *sorted(cuts), len(FLOWS)]
    for start, stop in pairwise(edges):
        found += [start + index for index in screen.passing(RESPONSES[start:stop])]
    assert found == expected([asked], [])


def test_what_no_row_refers_to_is_forgotten() -> None:
    screen = Screen([FlowFilter(source_pod=["x"], source_service=["x"])], [])
    for number in range(50):
        flow = Flow()
        flow.source.pod_name = flow.source_service.name = f"pod-{number}"
        screen.passing([GetFlowsResponse(flow=flow)])
    assert len(screen._table.interns.endpoints) == 1
    assert len(screen._table.interns.services) <= 1


HEADER = {"key": "A", "value": "b"}


def drop(sub_type: int) -> dict[str, object]:
    return {"type": 1, "match_sub_type": True, "sub_type": sub_type}


def flow_with(**fields: object) -> GetFlowsResponse:
    return GetFlowsResponse(flow=json_format.ParseDict(fields, Flow()))


def http(**fields: object) -> GetFlowsResponse:
    return flow_with(l7={"http": fields}, l4={"TCP": {}}, event_type={"type": 129})


def passes(response: GetFlowsResponse, **fields: object) -> bool:
    asked = json_format.ParseDict(fields, FlowFilter())
    passing = Screen([asked], []).passing([response])
    assert Screen([], [asked]).passing([response]) == ([] if passing else [0])
    return passing == [0]


@pytest.mark.parametrize(
    ("record", "asked", "hit"),
    [
        ({"code": 404}, {"http_status_code": ["404"]}, True),
        ({"code": 404}, {"http_status_code": ["4+"]}, True),
        ({"code": 404}, {"http_status_code": ["40+", "2+"]}, True),
        ({"code": 404}, {"http_status_code": ["403", "5+"]}, False),
        ({"code": 0}, {"http_status_code": ["1+"]}, False),
        ({"method": "GET"}, {"http_method": ["get"]}, True),
        ({"method": "GET"}, {"http_method": ["put", "post"]}, False),
        ({"method": ""}, {"http_method": [""]}, False),
        ({"url": "http://h/a/b?c=d"}, {"http_path": ["^/a/b$"]}, True),
        ({"url": "/a%20b"}, {"http_path": ["^/a b$"]}, True),
        ({"url": "/a?x=/b"}, {"http_path": ["b"]}, False),
        ({"url": "*"}, {"http_path": [r"^\*$"]}, True),
        ({"url": "h/a"}, {"http_path": [""]}, False),
        ({"url": "/%zz"}, {"http_path": [""]}, False),
        ({"url": "/\u0661"}, {"http_path": [r"\d"]}, False),
        ({"url": "http://h/a?c=d"}, {"http_url": ["h/a.c=d$"]}, True),
        ({"url": "http://h/a"}, {"http_url": ["^a"]}, False),
        ({"headers": [HEADER]}, {"http_header": [{"key": "x"}, HEADER]}, True),
        ({"headers": [HEADER]}, {"http_header": [{"key": "a", "value": "b"}]}, False),
        ({}, {"protocol": ["http"]}, True),
        ({}, {"protocol": ["HTTP", "udp"]}, True),
        ({}, {"protocol": ["tcp"]}, True),
        ({}, {"protocol": ["dns"]}, False),
        ({}, {"event_type": [{"type": 129}]}, True),
    ],
)
def test_http_records(record: dict[str, Any], asked: dict[str, Any], hit: bool) -> None:
    assert passes(http(**record), **asked) is hit
    assert not any(
        passes(flow_with(l7={"dns": {}}), **{field: values})
        for field, values in asked.items()
        if field.startswith("http_")
    )


@pytest.mark.parametrize(
    ("flow", "asked", "hit"),
    [
        ({"l7": {"dns": {"query": "cilium.io."}}}, {"dns_query": [r"cilium\.io\.$"]}, True),
        ({"l7": {"dns": {"query": "cilium.io."}}}, {"dns_query": ["^io"]}, False),
        ({"l7": {"http": {}}}, {"dns_query": [""]}, False),
        ({}, {"dns_query": [""]}, False),
        ({"l7": {"kafka": {}}}, {"protocol": ["kafka"]}, True),
        ({"trace_context": {"parent": {"trace_id": "t"}}}, {"trace_id": ["t"]}, True),
        ({"trace_context": {"parent": {"trace_id": "t"}}}, {"trace_id": ["", "u"]}, False),
        ({}, {"trace_id": [""]}, True),
        ({"IP": {"source": "::0001"}}, {"source_ip": ["::1"]}, False),
        ({"IP": {"source": "::0001"}}, {"source_ip": ["::0001"]}, True),
        ({"IP": {"source": "::0001"}}, {"source_ip": ["::/64"]}, True),
        ({"IP": {"source": "::ffff:10.0.0.1"}}, {"source_ip": ["10.0.0.0/8"]}, False),
        ({"IP": {"source": "fe80::1%eth0"}}, {"source_ip": ["fe80::/16"]}, False),
        ({"IP": {"source": "nonsense"}}, {"source_ip": ["::/0", "0.0.0.0/0"]}, False),
        ({"IP": {"encrypted": True}}, {"encrypted": [True]}, True),
        ({}, {"encrypted": [False]}, True),
        ({"uuid": "anything"}, {"uuid": ["anything"]}, True),
        ({"node_name": "c/n"}, {"node_name": ["c/"]}, True),
        ({"node_labels": ["k=v"]}, {"node_labels": ["k=v"]}, True),
        ({"event_type": {"type": 1, "sub_type": 389}}, {"event_type": [drop(133)]}, False),
        ({"event_type": {"type": 1, "sub_type": 389}}, {"event_type": [drop(389)]}, True),
        ({}, {"event_type": [{}]}, False),
        ({"l4": {"TCP": {}}}, {"tcp_flags": [{}]}, False),
        ({"l4": {"TCP": {"source_port": 70000}}}, {"source_port": ["4464"]}, False),
        ({"verdict": 258}, {"verdict": [2]}, False),
        ({"verdict": 258}, {"verdict": [258]}, True),
    ],
)
def test_what_only_files_have(flow: dict[str, Any], asked: dict[str, Any], hit: bool) -> None:
    assert passes(flow_with(**flow), **asked) is hit


@pytest.mark.parametrize("kind", ["lost_events", "node_status", ""])
@pytest.mark.parametrize(
    ("asked", "hit"),
    [
        ({"event_type": [{"type": 4}]}, False),
        ({"protocol": ["tcp"]}, False),
        ({"source_label": [""]}, True),
        ({"encrypted": [True, False]}, True),
        ({"source_pod": ["/"]}, False),
        ({}, True),
    ],
)
def test_gaps_and_node_states_count_as_empty_flows(
    kind: str, asked: dict[str, Any], hit: bool
) -> None:
    response = json_format.ParseDict({kind: {}} if kind else {}, GetFlowsResponse())
    assert passes(response, **asked) is hit


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"protocol": ["x"]}, 'invalid protocol filter: unknown protocol: "x"'),
        ({"node_name": ["a/b/c"]}, "too many slashes in pattern"),
        ({"source_ip": ["1.2.3"]}, 'invalid IP address "1.2.3" in filter: '),
        ({"source_ip_xlated": ["1.2.3.4/64"]}, 'invalid IP prefix "1.2.3.4/64" in filter: '),
        ({"dns_query": ["("]}, "invalid DNS query filter: failed to compile regexp: "),
        ({"http_path": ["("]}, "invalid http path filter: (: "),
        ({"http_status_code": ["6"]}, "invalid http status code filter: invalid status code"),
        ({"http_method": ["GET"], "event_type": [{"type": 4}]}, "filtering by http method requi"),
        ({"node_labels": ["="]}, "invalid node label filter: "),
        ({"source_port": ["x"]}, 'invalid source port filter: invalid port "x": '),
    ],
)
def test_mistakes_are_told_as_by_a_server(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(FilterError) as caught:
        Screen([json_format.ParseDict(asked, FlowFilter())], [])
    assert str(caught.value).startswith(message)


def test_expressions_judge_the_messages_of_a_file() -> None:
    asked = FlowFilter(experimental={"cel_expression": ["_flow.verdict == Verdict.DROPPED"]})
    dropped = [
        index
        for index, response in enumerate(RESPONSES)
        if response.flow.verdict == Verdict.DROPPED
    ]
    assert dropped
    assert Screen([asked], []).passing(RESPONSES) == dropped
