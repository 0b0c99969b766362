"""Filters as JSON, in and out."""

import pytest

from api.proto.flow.flow_pb2 import FlowFilter, Verdict
from cli.errors import UsageError
from cli.filters.raw import parse_filters, raw_filters_yaml


def test_reads_all_filters_of_all_values() -> None:
    filters = parse_filters(
        "allowlist", ['{"source_pod":["a"]} {}', '{"sourcePod":["b"],"verdict":[2,"AUDIT"]}\n', " "]
    )
    assert filters == [
        FlowFilter(source_pod=["a"]),
        FlowFilter(),
        FlowFilter(source_pod=["b"], verdict=[Verdict.DROPPED, Verdict.AUDIT]),
    ]


@pytest.mark.parametrize(
    "text", ["x", "{", "[]", '{"bogus":1}', '{"verdict":["X"]}', '{"source_pod":5}', "{} x", "null"]
)
def test_names_flag_and_value(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filters("denylist", [text])
    assert str(caught.value).startswith(f"invalid --denylist flag: failed to decode '{text}': ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"uuid":["a"]}', '\'{"uuid":["a"]}\''),
        ("it's", "'it''s'"),
        ("a: b #c " + "x" * 200, "'a: b #c " + "x" * 200 + "'"),
        ("é\\u2028", "'é\\u2028'"),
        ("\x7f", '"\\x7F"'),
        ('"🐝\\', '"\\"\\U0001F41D\\\\"'),
    ],
)
def test_yaml_of_a_filter(text: str, line: str) -> None:
    assert raw_filters_yaml([text], []) == f"allowlist:\n    - {line}\n"


def test_yaml_of_both_lists() -> None:
    assert raw_filters_yaml(["{}"], ["{}", "{}"]) == (
        "allowlist:\n    - '{}'\ndenylist:\n    - '{}'\n    - '{}'\n"
    )


def test_yaml_of_nothing() -> None:
    assert raw_filters_yaml([], []) == "{}\n"
