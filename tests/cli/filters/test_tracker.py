"""Filter flags together: namespaces, --not, and what contradicts itself."""

import pytest
from google.protobuf import json_format

from api.proto.flow.flow_pb2 import FlowFilter
from cli.errors import UsageError
from cli.filters.tracker import FilterFlags

Flags = list[tuple[str, str]]


def lists(flags: Flags) -> tuple[list[object], list[object]]:
    filters = FilterFlags()
    for name, text in flags:
        filters.take(name, text)
    allow, deny = filters.finish()
    return _plain(allow), _plain(deny)


def _plain(filters: list[FlowFilter]) -> list[object]:
    return [json_format.MessageToDict(each, preserving_proto_field_name=True) for each in filters]


def pods(*names: str) -> list[object]:
    return [{"source_pod": list(names)}, {"destination_pod": list(names)}]


def test_no_flags_ask_for_everything() -> None:
    assert lists([]) == ([], [])


@pytest.mark.parametrize(
    ("flags", "allow"),
    [
        ([("namespace", "a"), ("namespace", "b"), ("pod", "x")], pods("a/x", "b/x")),
        ([("pod", "a/x"), ("namespace", "a")], pods("a/x")),
        ([("pod", "/x"), ("namespace", "a")], pods("/x")),
        ([("all-namespaces", "true"), ("pod", "x")], pods("/x")),
        (
            [("namespace", "a"), ("service", "s")],
            [{"source_service": ["a/s"]}, {"destination_service": ["a/s"]}],
        ),
        (
            [("from-namespace", "a"), ("to-namespace", "b")],
            [{"source_pod": ["a/"], "destination_pod": ["b/"]}],
        ),
        (
            [("from-namespace", "a"), ("pod", "x")],
            [{"source_pod": ["a/x"]}, {"source_pod": ["a/"], "destination_pod": ["x"]}],
        ),
        (
            [("from-pod", "x"), ("to-pod", "y"), ("verdict", "DROPPED")],
            [{"source_pod": ["x"], "destination_pod": ["y"], "verdict": ["DROPPED"]}],
        ),
        ([("pod", "x"), ("pod", "y")], pods("x", "y")),
    ],
)
def test_completes_names_with_namespaces(flags: Flags, allow: list[object]) -> None:
    assert lists(flags) == (allow, [])


def test_not_turns_only_the_next_filter() -> None:
    allow, deny = lists([("not", "true"), ("ip", "1.1.1.1"), ("port", "5")])
    assert deny == [{"source_ip": ["1.1.1.1"]}, {"destination_ip": ["1.1.1.1"]}]
    assert allow == [{"source_port": ["5"]}, {"destination_port": ["5"]}]


def test_filters_after_not_join() -> None:
    _, deny = lists([("not", "true"), ("from-pod", "c"), ("not", "true"), ("verdict", "DROPPED")])
    assert deny == [{"source_pod": ["c"], "verdict": ["DROPPED"]}]


def test_groups_count_within_one_list() -> None:
    allow, deny = lists([("namespace", "a"), ("not", "true"), ("from-pod", "x")])
    assert (allow, deny) == (pods("a/"), [{"source_pod": ["x"]}])


def test_not_twice() -> None:
    with pytest.raises(ValueError, match=r"^consecutive --not statements$"):
        lists([("not", "true"), ("not", "true")])


def test_not_at_the_end() -> None:
    with pytest.raises(UsageError, match=r"^trailing --not found in the arguments$"):
        lists([("ip", "1.1.1.1"), ("not", "true")])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([("namespace", "b"), ("pod", "a/x")], 'namespace conflict: "b" does not contain "a/x"'),
        ([("pod", "a/x"), ("namespace", "b")], 'namespace conflict: "b" does not contain "a/x"'),
        (
            [("all-namespaces", "true"), ("pod", "a/x")],
            'namespace conflict: "" does not contain "a/x"',
        ),
        (
            [("namespace", "a"), ("namespace", "b"), ("pod", "b/x")],
            'namespace conflict: "a" does not contain "b/x"',
        ),
        (
            [("from-namespace", "a"), ("from-service", "b/s")],
            'namespace conflict: "a" does not contain "b/s"',
        ),
        (
            [("pod", "shop/a"), ("service", "b")],
            'namespace of service "b" conflict with pod "shop"',
        ),
        (
            [("pod", "shop/a"), ("pod", "bank/b"), ("service", "shop/c")],
            'namespace of service "shop/c" conflict with pod "bank"',
        ),
    ],
)
def test_contradictions(flags: Flags, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the whole text is compared)
        lists(flags)
    assert str(caught.value) == message


def test_an_unqualified_pod_does_not_contradict_a_service() -> None:
    assert lists([("pod", "a"), ("service", "shop/b")])[0] == [
        {"source_pod": ["a"], "source_service": ["shop/b"]},
        {"destination_pod": ["a"], "destination_service": ["shop/b"]},
    ]
