"""What is refused, in which words and order, and how filters combine."""

import numpy as np
import pytest

from api.proto.flow import flow_pb2
from api.proto.flow.flow_pb2 import FlowFilter, Verdict
from observer.entities import Endpoint, LostEvents
from observer.filters import FilterError, compile_filters
from observer.table.columns import EventKind
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from observer.table.rows import Rows

SYNTAX = 'strconv.ParseUint: parsing "{}": invalid syntax'


def refusal(asked: FlowFilter) -> str:
    with pytest.raises(FilterError) as caught:
        compile_filters([asked], [])
    with pytest.raises(FilterError):
        compile_filters([], [asked])
    return str(caught.value)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (
            FlowFilter(source_ip=["10.0.0.256"]),
            (
                'invalid IP address "10.0.0.256" in filter: ParseAddr("10.0.0.256"): '
                "unable to parse IP"
            ),
        ),
        (
            FlowFilter(destination_ip=["10.0.0.0/33"]),
            (
                'invalid IP prefix "10.0.0.0/33" in filter: netip.ParsePrefix("10.0.0.0/33"): '
                "prefix length out of range"
            ),
        ),
        (
            FlowFilter(source_ip_xlated=["fd00::/+8"]),
            (
                'invalid IP prefix "fd00::/+8" in filter: netip.ParsePrefix("fd00::/+8"): '
                'bad bits after slash: "+8"'
            ),
        ),
        (
            FlowFilter(source_ip=["fe80::1%eth0/64"]),
            (
                'invalid IP prefix "fe80::1%eth0/64" in filter: '
                'netip.ParsePrefix("fe80::1%eth0/64"): '
                "IPv6 zones cannot be present in a prefix"
            ),
        ),
        (FlowFilter(source_pod=[""]), "invalid filter, name must not be empty"),
        (
            FlowFilter(destination_service=[""]),
            "invalid destination service filter: invalid filter, name must not be empty",
        ),
        (FlowFilter(source_cluster_name=[""]), "invalid filter, name must not be empty"),
        (FlowFilter(source_fqdn=[" "]), "empty pattern"),
        (FlowFilter(destination_fqdn=["a.."]), "multiple trailing dots in pattern"),
        (FlowFilter(source_fqdn=["a?b"]), "'?': invalid rune in pattern"),
        (FlowFilter(node_name=["a/b/c"]), "too many slashes in pattern"),
        (FlowFilter(node_name=[""]), "empty pattern"),
        (FlowFilter(node_name=["Ü"]), "'ü': invalid rune in pattern"),
        (FlowFilter(protocol=["tpc"]), 'invalid protocol filter: unknown protocol: "tpc"'),
        (
            FlowFilter(source_port=["x"]),
            f'invalid source port filter: invalid port "x": {SYNTAX.format("x")}',
        ),
        (
            FlowFilter(destination_port=["-1"]),
            f'invalid destination port filter: invalid port "-1": {SYNTAX.format("-1")}',
        ),
        (
            FlowFilter(destination_port=["65536"]),
            (
                'invalid destination port filter: invalid port "65536": '
                'strconv.ParseUint: parsing "65536": value out of range'
            ),
        ),
        (
            FlowFilter(dns_query=["("]),
            (
                "invalid DNS query filter: failed to compile regexp: error parsing regexp: "
                "missing ), unterminated subpattern at position 0: `(`"
            ),
        ),
        (
            FlowFilter(http_path=["(?=x)"]),
            (
                "invalid http path filter: (?=x): error parsing regexp: "
                "invalid or unsupported Perl syntax: `(?=`"
            ),
        ),
        (
            FlowFilter(http_status_code=["600"]),
            'invalid http status code filter: invalid status code prefix: "600"',
        ),
        (
            FlowFilter(http_status_code=["++"]),
            'invalid http status code filter: invalid status code prefix: "++"',
        ),
        (
            FlowFilter(http_url=["a"], event_type=[flow_pb2.EventTypeFilter(type=4)]),
            "filtering by http url requires the event type filter to only match 'l7' events",
        ),
        (
            FlowFilter(http_header=[{}], event_type=[flow_pb2.EventTypeFilter(type=4)]),
            "filtering by http headers requires the event type filter to only match 'l7' events",
        ),
        (
            FlowFilter(experimental={"cel_expression": ["true"]}),
            "error compiling CEL expression: CEL is not supported by this server",
        ),
    ],
)
def test_a_bad_value_is_refused_by_name(asked: FlowFilter, text: str) -> None:
    assert refusal(asked) == text


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("a in x", "unable to parse requirement: expected: '('"),
        ("a in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'"),
        (
            "a in ()",
            (
                "unable to parse requirement: values: Invalid value: "
                "for 'in', 'notin' operators, values set can't be empty"
            ),
        ),
        (
            "a>x",
            (
                'unable to parse requirement: values[0]: Invalid value: "x": '
                "for Gt, Lt the value must be an integer"
            ),
        ),
        (
            "a=b@c",
            (
                'unable to parse requirement: values[0][a]: Invalid value: "b@c": '
                "not a valid label value"
            ),
        ),
        (
            "k8s:a@b",
            (
                'unable to parse requirement: key: Invalid value: "k8s.a@b": '
                "name part must be a valid label name"
            ),
        ),
    ],
)
@pytest.mark.parametrize("side", ["source", "destination", "node"])
def test_a_bad_selector_says_what_was_found(side: str, selector: str, text: str) -> None:
    field = "node_labels" if side == "node" else f"{side}_label"
    asked = FlowFilter()
    getattr(asked, field).append(selector)
    whole = f'couldn\'t parse the selector string "{selector}": {text}'
    assert refusal(asked) == f"invalid {side} label filter: {whole}"


@pytest.mark.parametrize(
    "asked",
    [
        FlowFilter(http_status_code=["404", "4+", "40+"]),
        FlowFilter(http_path=[r"/v1/.*", r"a\\+"], http_method=["get"]),
        FlowFilter(dns_query=[r"(?i)cilium\.io\.$"]),
        FlowFilter(http_url=["a"], event_type=[{"type": 4}, {"type": 129}]),
        FlowFilter(source_label=["a in (b,,c)", "a=", "a.b/c-d.e_f notin (x)"]),
        FlowFilter(source_ip=["fe80::1%eth0", "0.0.0.0/0"]),
    ],
)
def test_good_values_are_accepted(asked: FlowFilter) -> None:
    compile_filters([asked], [asked])


def test_the_first_error_in_hubbles_order_is_told() -> None:
    asked = FlowFilter(node_name=[""], source_port=["x"], protocol=["y"], source_pod=[""])
    assert refusal(asked) == 'invalid protocol filter: unknown protocol: "y"'


def test_the_whitelist_is_compiled_before_the_blacklist() -> None:
    with pytest.raises(FilterError, match="empty pattern"):
        compile_filters([FlowFilter(node_name=[""])], [FlowFilter(protocol=["y"])])


@pytest.mark.parametrize(
    ("allow", "deny", "everything"),
    [
        ([], [], True),
        ([FlowFilter()], [], True),
        ([FlowFilter(verdict=[Verdict.DROPPED]), FlowFilter()], [], True),
        ([FlowFilter(verdict=[Verdict.DROPPED])], [], False),
        ([], [FlowFilter()], False),
    ],
)
def test_whether_everything_passes(
    allow: list[FlowFilter], deny: list[FlowFilter], everything: bool
) -> None:
    assert compile_filters(allow, deny).everything is everything


def endpoint(pod_name: str) -> Endpoint:
    return Endpoint(
        endpoint_id=1,
        identity=1,
        cluster_name="",
        namespace="default",
        labels=("k8s:app=" + pod_name,),
        pod_name=pod_name,
        workloads=(),
    )


def table_with(pods: list[str], capacity: int = 63) -> FlowTable:
    table = FlowTable(capacity=capacity, interns=Interns(), seed=0)
    append(table, pods)
    return table


def append(table: FlowTable, pods: list[str]) -> None:
    rows = Rows.zeros(len(pods))
    rows.columns["kind"][:] = EventKind.TRACE
    rows.columns["source_ref"][:] = [table.interns.endpoints.ref(endpoint(pod)) for pod in pods]
    table.append(rows)


def test_an_empty_filter_in_the_blacklist_removes_all_but_gaps() -> None:
    table = table_with(["a"])
    table.append_lost(LostEvents(source=1, count=1, cpu=0, first_ns=None, last_ns=None), 1)
    found = compile_filters([], [FlowFilter()]).mask(table, slice(0, 2))
    assert found.tolist() == [False, True]


def test_endpoints_that_come_later_are_judged_when_they_come() -> None:
    table = table_with(["a", "b"])
    selection = compile_filters([FlowFilter(source_label=["app in (a, d)"])], [])
    assert selection.mask(table, slice(0, 2)).tolist() == [True, False]
    append(table, ["c", "d", "a"])
    assert selection.mask(table, slice(0, 5)).tolist() == [True, False, False, True, True]
    append(table, [f"p{n}" for n in range(40)])
    assert np.flatnonzero(selection.mask(table, slice(0, 45))).tolist() == [0, 3, 4]


def test_a_ref_that_is_used_again_is_judged_again() -> None:
    table = table_with(["a"], capacity=1)
    selection = compile_filters([FlowFilter(source_pod=["a"])], [])
    verdicts = []
    for pod in ("a", "b", "a", "c", "b", "a"):
        append(table, [pod])
        slot = (table.head - 1) & table.capacity
        verdicts.append(selection.mask(table, slice(slot, slot + 1))[0])
    assert verdicts == [True, False, True, False, False, True]


def test_both_sides_of_the_same_question_share_the_verdicts() -> None:
    allow = [FlowFilter(source_label=["app=a"]), FlowFilter(destination_label=["app=a"])]
    table = table_with(["a", "b"])
    assert compile_filters(allow, []).mask(table, slice(0, 2)).tolist() == [True, False]
