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

OPERATORS = "in, notin, =, ==, !=, gt, lt"
NO_INTEGER = "for 'Gt', 'Lt' operators, the value must be an integer"
TOO_LONG = "must be no more than 63 bytes"
CHARACTERS = (
    "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character"
)
NAME_RULE = (
    f"{CHARACTERS} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE_RULE = (
    f"be an empty string or {CHARACTERS} (e.g. 'MyValue',  or 'my_value',  or '12345', regex "
    "used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
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
                "IPv4 field has value >255"
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
                "missing closing ): `(`"
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
            "error compiling CEL expression: CEL is not supported here",
        ),
    ],
)
def test_a_bad_value_is_refused_by_name(asked: FlowFilter, text: str) -> None:
    assert refusal(asked) == text


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ("a b", f"found 'b', expected: {OPERATORS}"),
        ("a!b", f"found '!', expected: {OPERATORS}"),
        ("a gt 1", f"found 'gt', expected: {OPERATORS}"),
        ("a=(", "found '(', expected: identifier"),
        ("!!a", "found '!', expected: identifier"),
        ("a in x", "found 'x' expected: '('"),
        ("a notin", "found '' expected: '('"),
        ("a in (x", "found '', expected: ',' or ')'"),
        ("a in (x y)", "found 'y', expected: ',' or ')'"),
        ("a in (", "found '', expected: ',', ')' or identifier"),
        ("a in (!)", "found '!', expected: ',', ')' or identifier"),
        ("a in (a,", "found '', expected: ',', or identifier"),
        ("a>x", f'values[0]: Invalid value: "x": {NO_INTEGER}'),
        ("a=b@c", f'values[0][any.a]: Invalid value: "b@c": a valid label must {VALUE_RULE}'),
        ("k8s:a@b", f'<nil>: Invalid value: "k8s.a@b": name part must {NAME_RULE}'),
        ("=x", f'<nil>: Invalid value: "any.": name part must {NAME_RULE}'),
        ("a,,b", f'<nil>: Invalid value: "any.": name part must {NAME_RULE}'),
        ("(a)", f'<nil>: Invalid value: "any.": name part must {NAME_RULE}'),
        (
            "a//b",
            (
                f'<nil>: Invalid value: "any.a//b": a valid label key must {NAME_RULE} with an '
                "optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            ),
        ),
        (f"a={'x' * 64}", f'values[0][any.a]: Invalid value: "{"x" * 64}": {TOO_LONG}'),
        (f"x/{'a' * 64}", f'<nil>: Invalid value: "any.x/{"a" * 64}": name part {TOO_LONG}'),
        (
            "A_/b",
            (
                '<nil>: Invalid value: "any.A_/b": prefix part a lowercase RFC 1123 subdomain must '
                "consist of lower case alphanumeric characters, '-' or '.', and must start and end "
                "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
                r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ),
        ),
    ],
)
def test_a_requirement_that_cannot_be_parsed(selector: str, text: str) -> None:
    whole = f"invalid source label filter: unable to parse requirement: {text}"
    assert refusal(FlowFilter(source_label=[selector])) == whole


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
    ],
)
@pytest.mark.parametrize("side", ["source", "destination", "node"])
def test_a_bad_selector_says_what_was_found(side: str, selector: str, text: str) -> None:
    field = "node_labels" if side == "node" else f"{side}_label"
    asked = FlowFilter()
    getattr(asked, field).append(selector)
    assert refusal(asked) == f"invalid {side} label filter: {text}"


@pytest.mark.parametrize(
    "asked",
    [
        FlowFilter(http_status_code=["404", "4+", "40+"]),
        FlowFilter(http_path=[r"/v1/.*", r"a\\+"], http_method=["get"]),
        FlowFilter(dns_query=[r"(?i)cilium\.io\.$"]),
        FlowFilter(http_url=["a"], event_type=[{"type": 4}, {"type": 129}]),
        FlowFilter(source_label=["a in (b,,c)", "a=", "a.b/c-d.e_f notin (x)", "a in ()", "a <5"]),
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


def test_labels_are_judged_alike_when_there_are_many_sets_of_them() -> None:
    table = table_with([f"p{n}" for n in range(20)], capacity=1023)
    selection = compile_filters([FlowFilter(source_label=["app in (p3, p700)"])], [])
    assert np.flatnonzero(selection.mask(table, slice(0, 20))).tolist() == [3]
    append(table, [f"p{n}" for n in range(900)])
    assert np.flatnonzero(selection.mask(table, slice(0, 920))).tolist() == [3, 23, 720]


def test_an_endpoint_with_other_labels_in_the_place_of_one_that_is_gone_is_judged_anew() -> None:
    table = table_with(["a"], capacity=1)
    selection = compile_filters([FlowFilter(source_label=["app=a"])], [])
    verdicts = []
    for pod in ("a", "b", "a", "c", "b", "a"):
        append(table, [pod])
        slot = (table.head - 1) & table.capacity
        verdicts.append(selection.mask(table, slice(slot, slot + 1))[0])
    assert verdicts == [True, False, True, False, False, True]


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


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("foo", "unable to parse IP"),
        ("", "unable to parse IP"),
        ("1.2.3", "IPv4 address too short"),
        ("1.2.3.4.5", "IPv4 address too long"),
        ("01.2.3.4", "IPv4 field has octet with leading zero"),
        ("1..2.3", 'IPv4 field must have at least one digit (at ".2.3")'),
        ("1.2.3.", 'IPv4 field must have at least one digit (at ".")'),
        (".1.2.3", 'IPv4 field must have at least one digit (at ".1.2.3")'),
        ("1.2.3.4x", 'unexpected character (at "x")'),
        ("a.b.c.d", 'unexpected character (at "a.b.c.d")'),
        ("300.1", "IPv4 field has value >255"),
    ],
)
def test_what_is_wrong_with_an_address(address: str, text: str) -> None:
    inner = f'ParseAddr("{address}"): {text}'
    whole = f'invalid IP address "{address}" in filter: {inner}'
    assert refusal(FlowFilter(source_ip=[address])) == whole


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(", "missing closing ): `(`"),
        (")", "unexpected ): `)`"),
        ("[a", "missing closing ]: `[a`"),
        ("*", "missing argument to repetition operator: `*`"),
        ("a++", "invalid nested repetition operator: `++`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        ("(?<=x)", "invalid or unsupported Perl syntax: `(?<=`"),
        ("(?>x)", "invalid or unsupported Perl syntax: `(?>`"),
    ],
)
def test_what_is_wrong_with_a_regular_expression(pattern: str, text: str) -> None:
    whole = f"invalid http url filter: {pattern}: error parsing regexp: {text}"
    assert refusal(FlowFilter(http_url=[pattern])) == whole
