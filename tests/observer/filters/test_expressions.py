"""CEL expressions: what compiles, which rows they leave, and what they may cost."""

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from api.proto.flow.flow_pb2 import EventTypeFilter, Flow, FlowFilter, Verdict
from observer.filters import CostlyFilterError, FilterError, compile_filters
from observer.filters.compile import MAX_EXPRESSIONS, MAX_FILTERS
from observer.filters.condition import RowSlice
from observer.filters.programs import MAX_CHARS, MAX_TOKENS, Compiler
from observer.table.columns import EventKind
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from observer.table.rows import Rows


def flow() -> Flow:
    made = Flow(verdict=Verdict.DROPPED, drop_reason_desc="POLICY_DENIED")
    made.source.namespace, made.source.pod_name = "default", "xwing"
    made.source.labels.extend(["k8s:app=xwing", "k8s:org=alliance"])
    made.l4.TCP.destination_port = 443
    made.IP.source = "10.0.0.1"
    made.time.seconds = 1_772_600_000
    return made


def cel(*expressions: str) -> FlowFilter:
    return FlowFilter(experimental={"cel_expression": expressions})


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("true", True),
        ("false", False),
        ("_flow.verdict == Verdict.DROPPED", True),
        ("_flow.verdict == Verdict.FORWARDED", False),
        ("_flow.verdict == flow.Verdict.DROPPED", True),
        ("_flow.verdict == 2", True),
        ("_flow.drop_reason_desc == DropReason.POLICY_DENIED", True),
        ("_flow.l4.TCP.destination_port == 443u", True),
        ("int(_flow.l4.TCP.destination_port) == 443", True),
        ("has(_flow.l4.UDP)", False),
        ("_flow.source.labels.exists(l, l.startsWith('k8s:org='))", True),
        ("_flow.source.labels.filter(l, l.contains('empire')).size() == 1", False),
        ("_flow.source.namespace + '/' + _flow.source.pod_name == 'default/xwing'", True),
        ("_flow.IP.source.matches('^10[.]')", True),
        ("_flow.time < timestamp('2020-01-01T00:00:00Z')", False),
        ("_flow.is_reply == null", True),
        ("_flow.is_reply == true", False),
        ("_flow.is_reply || true", True),
    ],
)
def test_expressions_over_a_flow(text: str, answer: bool) -> None:
    assert Compiler().compile(text)(flow()) is answer


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "_flow.l4.TCP.destination_port == 80",
            (
                "ERROR: <input>:1:31: found no matching overload for '_==_' "
                "applied to '(uint, int)'\n"
                " | _flow.l4.TCP.destination_port == 80\n"
                " | ..............................^"
            ),
        ),
        (
            "verdict == 1",
            (
                "ERROR: <input>:1:1: undeclared reference to 'verdict' (in container 'flow')\n"
                " | verdict == 1\n"
                " | ^"
            ),
        ),
        ("_flow.nope", "ERROR: <input>:1:6: undefined field 'nope'"),
        ("(", "ERROR: <input>:1:2: Syntax error: mismatched input '<EOF>'"),
        ("", "ERROR: <input>:1:1: Syntax error: mismatched input '<EOF>'"),
        ("\x00", "ERROR: <input>:1:1: Syntax error"),
        ("dyn(true)", 'got "dyn", wanted "bool" result type'),
        ("_flow.verdict", 'got "int", wanted "bool" result type'),
        ("_flow.l4.TCP.source_port", 'got "uint", wanted "bool" result type'),
        ("_flow.source.labels", 'got "list(string)", wanted "bool" result type'),
        ("{'a': [1]}", 'got "map(string, list(int))", wanted "bool" result type'),
        ("null", 'got "null_type", wanted "bool" result type'),
        ("_flow.time", 'got "google.protobuf.Timestamp", wanted "bool" result type'),
        ("_flow", 'got "flow.Flow", wanted "bool" result type'),
        ("(" * 40 + "true" + ")" * 40, "Expression recursion limit exceeded. limit: 32"),
        ("'" + "é" * MAX_CHARS + "' == ''", "2056 characters in one request, at most 2048"),
        ("[" + "1," * 130 + "] == []", "266 words and signs in one request, at most 256: [1,1,"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(FilterError) as caught:
        Compiler().compile(text)
    assert str(caught.value).startswith(f"error compiling CEL expression: {reason}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("_flow.is_reply", "no value"),
        ("1 / int(_flow.verdict - _flow.verdict) == 0", "divide by zero"),
        ("_flow.source.labels[99] == ''", "index=99"),
    ],
)
def test_failing_on_a_flow_is_logged_once_and_matches_nothing(
    text: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    program = Compiler().compile(text)
    with caplog.at_level(logging.ERROR):
        assert [program(flow()) for _ in range(3)] == [False] * 3
    assert len(caplog.records) == 1
    assert caplog.messages[0].startswith("error running CEL program")
    assert reason in caplog.messages[0]
    assert program.failure_count == 3


def test_an_expression_that_takes_long_is_refused_when_it_runs() -> None:
    clock: Iterator[int] = iter((0, 20_000_000, 0, 20_999_999))
    program = Compiler(clock_ns=clock.__next__).compile("true")
    assert program(flow())
    with pytest.raises(FilterError, match="20 ms for one flow, at most 20: true"):
        program(flow())


LABELS = "_flow.source.labels"


@pytest.mark.parametrize(
    "text",
    [
        f"{LABELS}.all(a, {LABELS}.all(b, {LABELS}.all(c, a != b)))",
        f"{LABELS}.all(a, {LABELS}.all(b, 'x'.matches('(' + a + '){{1000}}')))",
        "['(a{1000}){1000}'].exists(p, 'x'.matches(p))",
        "'a'.matches('(((a{10}){10}){10})')",
        LABELS + ".map(a, a+a)" * 5 + f".all(a, {LABELS}.all(b, a.contains(b)))",
        f"{LABELS}.all(a, {LABELS}.all(b, Flow{{source: _flow.source}} == _flow))",
        f"{LABELS}.all(a, {LABELS}.all(b, timestamp(a).getFullYear(b) > 0))",
    ],
)
def test_what_could_hold_the_loop_is_refused_before_it_runs(text: str) -> None:
    with pytest.raises(CostlyFilterError, match=r"may take [0-9.]+ ms for one flow") as caught:
        Compiler().compile(text)
    assert str(caught.value).endswith(text)


@pytest.mark.parametrize(
    "text",
    [
        "_flow.IP.source.matches('^10[.]([0-9]{1,3}[.]){2}[0-9]{1,3}$')",
        f"{LABELS}.exists(a, _flow.destination.labels.exists(b, a == b))",
        "_flow.destination_names.exists(n, n.matches('.*[.]example[.]com$'))",
        " || ".join(f"_flow.source.pod_name.startsWith('pod-{n}')" for n in range(20)),
        f"'k8s:app=x' in {LABELS} && {LABELS}.filter(l, l.contains('k8s:')).size() > 1",
        "1 == 0" + "+1" * 20,
    ],
)
def test_what_people_ask_for_is_not_too_much(text: str) -> None:
    Compiler().compile(text)


def test_expressions_of_a_request_share_what_they_may_cost() -> None:
    compiler = Compiler()
    text = f"{LABELS}.exists(a, _flow.destination.labels.exists(b, a == b))"
    compiler.compile(text)
    compiler.compile(text)
    with pytest.raises(CostlyFilterError, match="at most 2 in one request"):
        compiler.compile(text)
    twice = [cel(text, text), cel(text)]
    with pytest.raises(CostlyFilterError, match="at most 2 in one request"):
        compile_filters(twice, [], flows=Source())
    with pytest.raises(CostlyFilterError, match=f"at most {MAX_TOKENS}"):
        compile_filters([cel("1==1" + "+1" * 28)] * 5, [], flows=Source())


KINDS = (EventKind.DROP, EventKind.TRACE, EventKind.LOST, EventKind.TRACE)


class Source:
    """Makes flows of rows, and remembers which."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def __call__(self, rows: RowSlice) -> Sequence[Flow]:
        slots = np.arange(rows.slots.start, rows.slots.stop)
        chosen = slots if rows.picked is None else slots[rows.picked]
        self.asked.append(chosen.tolist())
        return [Flow(verdict=Verdict.Name(int(n))) for n in rows.column("verdict")]


@pytest.fixture
def table() -> FlowTable:
    made = FlowTable(capacity=7, interns=Interns(), seed=1)
    rows = Rows.zeros(len(KINDS))
    rows.columns["kind"][:] = KINDS
    rows.columns["verdict"][:] = (2, 1, 0, 2)
    made.append(rows)
    return made


def passing(table: FlowTable, allow: list[FlowFilter], deny: list[FlowFilter]) -> list[bool]:
    found = compile_filters(allow, deny, flows=Source()).mask(table, slice(0, len(KINDS)))
    return [bool(each) for each in found]


def test_expressions_of_a_filter_are_alternatives(table: FlowTable) -> None:
    either = cel("_flow.verdict == 7", "_flow.verdict == Verdict.DROPPED")
    assert passing(table, [either], []) == [True, False, True, True]
    assert passing(table, [], [either]) == [False, True, True, False]


def test_only_rows_that_other_fields_leave_become_messages(table: FlowTable) -> None:
    source = Source()
    wanted = cel("_flow.verdict == 2")
    wanted.event_type.append(EventTypeFilter(type=EventKind.TRACE))
    selection = compile_filters([wanted], [], flows=source)
    assert selection.mask(table, slice(0, 4)).tolist() == [False, False, True, True]
    assert source.asked == [[1, 3]]


def test_where_there_are_no_messages_they_are_refused() -> None:
    with pytest.raises(FilterError, match="CEL is not supported here"):
        compile_filters([cel("true")], [])


def test_too_many_are_refused() -> None:
    compile_filters([FlowFilter()] * MAX_FILTERS, [])
    with pytest.raises(FilterError, match="too many filters: 129, at most 128"):
        compile_filters([FlowFilter()] * MAX_FILTERS, [FlowFilter()])
    with pytest.raises(CostlyFilterError, match="too many values in filters: 1025, at most 1024"):
        compile_filters([FlowFilter(source_port=["1"] * 1_000)], [FlowFilter(reply=[True] * 25)])
    with pytest.raises(CostlyFilterError, match="filters too large: 20004 bytes, at most 16384"):
        compile_filters([FlowFilter(source_label=["a" * 20_000])], [])
    compile_filters([cel(*["true"] * MAX_EXPRESSIONS)], [], flows=Source())
    with pytest.raises(FilterError, match="too many CEL expressions: 17, at most 16"):
        compile_filters([cel(*["true"] * MAX_EXPRESSIONS)], [cel("true")], flows=Source())


def test_a_step_is_shorter_the_more_it_has_to_do() -> None:
    def most_rows(*filters: FlowFilter) -> int:
        return compile_filters(filters, [], flows=Source()).most_rows

    one = most_rows(cel("true"))
    assert 10 < one < 30
    assert 0 < most_rows(*[cel("true", "true")] * 8) <= one / 8
    assert most_rows() == 1 << 17
    assert most_rows(*[FlowFilter(verdict=[Verdict.DROPPED])] * 128) == 1024
