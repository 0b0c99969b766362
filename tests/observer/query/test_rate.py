"""Flows per second: over a minute, or over the table's own span."""

import pytest

from observer.query import flows_rate
from tests.observer.query.rows import START_NS, Event, Node

S = 10**9


@pytest.mark.parametrize(
    ("offsets_s", "now_s", "rate"),
    [
        ([], 10, 0.0),
        ([0], 0, 0.0),
        ([5], 0, 0.0),
        ([0, 1, 2, 3], 4, 1.0),
        ([0, 10, 59], 60, 3 / 60),
        ([0, 30, 90, 100], 100, 2 / 60),
        ([0, 1], 1000, 0.0),
    ],
    ids=["empty", "now", "future", "young", "a minute", "older", "long ago"],
)
def test_rate(offsets_s: list[int], now_s: int, rate: float) -> None:
    node = Node(63)
    node.append([Event(START_NS + offset * S) for offset in offsets_s])
    assert flows_rate(node.table, START_NS + now_s * S) == pytest.approx(rate)


def test_gaps_are_no_flows() -> None:
    node = Node(63)
    node.append([Event(START_NS), Event(START_NS + S, lost=True), Event(START_NS + 2 * S)])
    assert flows_rate(node.table, START_NS + 4 * S) == pytest.approx(0.5)
