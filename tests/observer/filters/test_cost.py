"""What expressions are estimated to cost: what makes them dearer, and that syntax is read whole."""

from itertools import pairwise

import pytest
from google.protobuf import descriptor_pool

from observer.filters.cost import LIST_ITEMS, estimated_ns
from observer.filters.syntax import (
    Call,
    Constant,
    Literal,
    Loop,
    Name,
    Node,
    Select,
    SyntaxFormatError,
    read_syntax,
)

LABELS = "_flow.source.labels"
IN_LOOP = f"{LABELS}.exists(a, BODY)"


def syntax(text: str) -> Node:
    from cel_expr_python import cel

    variables = {"_flow": cel.Type("flow.Flow")}
    env = cel.NewEnv(descriptor_pool.Default(), variables=variables, container="flow")
    return read_syntax(env.compile(text).serialize())


def cost_ns(text: str) -> float:
    return estimated_ns(syntax(text), "_flow")


def test_every_kind_of_node_is_read() -> None:
    assert syntax("'é' == _flow.Summary") == Call(
        function="_==_",
        arguments=(Constant(text="é".encode()), Select(operand=Name(name="_flow"))),
    )
    assert syntax("[1, -2][0] == 1 ") == Call(
        function="_==_",
        arguments=(
            Call(
                function="_[_]",
                arguments=(
                    Literal(items=(Constant(text=None), Constant(text=None)), is_list=True),
                    Constant(text=None),
                ),
            ),
            Constant(text=None),
        ),
    )
    made = syntax("{'a': 1.5} == {'a': 2.5} && Endpoint{identity: 1u} == _flow.source")
    assert isinstance(made, Call)
    one, other = (each for each in made.arguments if isinstance(each, Call))
    assert one.arguments[0] == Literal(
        items=(Constant(text=b"a"), Constant(text=None)), is_list=False
    )
    assert other.arguments[0] == Literal(items=(Constant(text=None),), is_list=False)
    loop = syntax("[b'x'].exists(v, v == b'y')")
    assert isinstance(loop, Loop)
    assert (loop.variable, loop.range) == (
        "v",
        Literal(items=(Constant(text=b"x"),), is_list=True),
    )


@pytest.mark.parametrize("data", [b"", b"\x12\x00", b"\x12\x02\x22\x00", b"\x07", b"\x12\x7f"])
def test_what_is_no_expression_is_told(data: bytes) -> None:
    with pytest.raises(SyntaxFormatError):
        read_syntax(data)


def test_loops_multiply() -> None:
    inner = cost_ns("_flow.Summary == 'x'")
    once = cost_ns(IN_LOOP.replace("BODY", "_flow.Summary == 'x'"))
    twice = cost_ns(IN_LOOP.replace("BODY", f"{LABELS}.exists(b, _flow.Summary == 'x')"))
    assert once > LIST_ITEMS * inner
    assert twice > LIST_ITEMS * once


def test_loops_after_each_other_add_up() -> None:
    one = cost_ns(f"{LABELS}.exists(a, a == '')")
    assert cost_ns(" || ".join([f"{LABELS}.exists(a, a == '')"] * 3)) < 4 * one


def test_literal_lists_have_the_length_that_they_have() -> None:
    short = cost_ns("[1, 2].exists(a, a == 3)")
    long = cost_ns(f"[{', '.join(['1'] * 40)}].exists(a, a == 3)")
    assert long > 10 * short


@pytest.mark.parametrize(
    ("cheap", "dear"),
    [
        ("'x'.matches('a')", "'x'.matches('(a{50}){50}')"),
        ("'x'.matches('(a{50}){50}')", "'x'.matches(_flow.Summary)"),
        ("'x'.matches('a{3}')", "'x'.matches('[^a]{3}')"),
        ("_flow.Summary == 'a'", "_flow == _flow"),
        ("[1].map(a, 'x' + 'y').size() > 0", "[1].map(a, 'x' + 'y').map(a, [a, a]).size() > 0"),
        ("'a' in ['b']", f"'a' in {LABELS}"),
        ("_flow.Summary == 'a'", "timestamp(_flow.Summary) == timestamp('x')"),
        ("_flow.Summary == 'a'", "string(_flow.Summary + _flow.Summary) == 'a'"),
        ("_flow.source == _flow.source", "_flow.source == Endpoint{}"),
    ],
)
def test_what_is_dearer(cheap: str, dear: str) -> None:
    assert cost_ns(dear) > 1.5 * cost_ns(cheap)


def test_texts_that_double_are_followed() -> None:
    text, costs = "['xxxxxxxxxxxxxxxx']", []
    for _ in range(6):
        text += ".map(a, a + a)"
        costs.append(cost_ns(f"{text}.all(a, a.contains('y'))"))
    gains = [after - before for before, after in pairwise(costs)]
    assert gains[-1] > 1.2 * gains[0]
