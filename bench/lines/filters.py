"""Filter: how long a query takes that looks at 65,535 rows and finds one in a thousand.

The table is written at 50,000 rows a second meanwhile. Every label selector is one that the
server has never seen. The time is that of the client: request sent until end of stream, on an
open connection. When the writing has ended, the whole table is read and each filter's answer is
compared with what the same filter, written here in Python, finds in it.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from api.proto.flow import flow_pb2
from api.proto.observer import observer_pb2
from bench.clients import GET_FLOWS
from bench.errors import WrongAnswerError
from bench.framing import messages
from bench.http2 import RawConnection
from bench.ingest_node import CAPACITY, SEED
from bench.measurement import Budget, Conditions, Measurement
from bench.node import Node, replaying
from bench.recorded import record
from bench.workload import (
    EVENTS_PER_SECOND,
    FIRST_IDENTITY,
    LABEL_SETS,
    LOCAL_ENDPOINTS,
    SyntheticNode,
)

_LINE: Final = "filter"
_WRITTEN_PER_S: Final = 50_000
_PAUSE_S: Final = 0.01
_SETS_PER_SELECTOR: Final = 4
_MEDIAN_MS: Final = 2.0
_P99_MS: Final = 5.0
_MATCHES: Final = range(CAPACITY // 5_000, CAPACITY // 200)

Flows = list[flow_pb2.Flow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A filter on the wire, and the same one in Python."""

    request: observer_pb2.GetFlowsRequest
    matches: Callable[[flow_pb2.Flow], bool]


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Median and 99th percentile of both kinds of filters, in milliseconds."""
    queries = conditions.repeats(200, quick=20)
    samples = CAPACITY + int(_WRITTEN_PER_S * (1 + 2 * queries * 3 * _PAUSE_S))
    recorded = record(conditions.folder / "filter.rec", samples=samples, batch_rows=256)
    labels = random.Random(SEED)  # noqa: S311 - picks selectors
    rare = rare_label_sets(SyntheticNode(SEED))
    kinds: dict[str, Callable[[], Question]] = {
        "verdict": verdict_question,
        "label never seen": lambda: label_question(labels, rare),
    }
    speed = str(_WRITTEN_PER_S / EVENTS_PER_SECOND)
    with replaying(recorded.path, speed=speed) as node:
        node.wait_until_seen(CAPACITY)
        times = {name: _ask(node, question, queries) for name, question in kinds.items()}
        node.wait_until_seen(recorded.rows_per_part)
        for question in kinds.values():
            check(node, question())
    for name, found in times.items():
        for what, fraction, limit in (("median", 0.5, _MEDIAN_MS), ("p99", 0.99, _P99_MS)):
            yield Measurement(
                line=_LINE,
                what=f"{name}, {what}",
                unit="ms",
                values=found,
                budget=Budget(limit=limit, ceiling=True),
                fraction=fraction,
            )


def verdict_question() -> Question:
    """Ask for the one verdict in a thousand that is rare."""
    rare = flow_pb2.FlowFilter(verdict=[flow_pb2.AUDIT])
    return Question(
        request=observer_pb2.GetFlowsRequest(number=CAPACITY, whitelist=[rare]),
        matches=lambda flow: flow.verdict == flow_pb2.AUDIT,
    )


def rare_label_sets(node: SyntheticNode) -> list[int]:
    """Label sets that neither the address book nor the datapath gives to a pod of this node."""
    of_local = set(node.labels[:LOCAL_ENDPOINTS].tolist())
    return [
        number
        for number in range(LOCAL_ENDPOINTS, LABEL_SETS)
        if FIRST_IDENTITY + number not in of_local
    ]


def label_question(choice: random.Random, rare: Sequence[int]) -> Question:
    """Ask for some rare label sets, as `--label` does: on either side."""
    sets = choice.sample(rare, _SETS_PER_SELECTOR)
    selector = f"app in ({', '.join(f'app-{number}' for number in sets)})"
    sides = (
        flow_pb2.FlowFilter(source_label=[selector]),
        flow_pb2.FlowFilter(destination_label=[selector]),
    )
    wanted = {f"k8s:app=app-{number}" for number in sets}
    return Question(
        request=observer_pb2.GetFlowsRequest(number=CAPACITY, whitelist=sides),
        matches=lambda flow: (
            not wanted.isdisjoint(flow.source.labels)
            or not wanted.isdisjoint(flow.destination.labels)
        ),
    )


def check(node: Node, question: Question) -> None:
    """Compare a filter's answer with what is in the table, which is not written any more.

    Raises:
        WrongAnswerError: flows are missing or too many, or are not rare as they should be.
    """
    whole = _read(node, observer_pb2.GetFlowsRequest(number=CAPACITY))
    wanted = [flow.uuid for flow in whole if question.matches(flow)]
    found = [flow.uuid for flow in _read(node, question.request)]
    if found != wanted or len(found) not in _MATCHES:
        raise WrongAnswerError(
            f"filter {question.request.whitelist}: {len(found)} flows, "
            f"{len(wanted)} of {len(whole)} match"
        )


def _ask(node: Node, question: Callable[[], Question], queries: int) -> tuple[float, ...]:
    """Times of so many queries, ms, while the table is being written."""
    before = node.status().seen_flows
    started = time.monotonic()
    with RawConnection(node.target) as connection:
        times = list(_times(connection, question, queries))
    rate = (node.status().seen_flows - before) / (time.monotonic() - started)
    if rate < _WRITTEN_PER_S / 2:
        raise WrongAnswerError(f"filter: the table was written at {rate:.0f} rows a second only")
    return tuple(times)


def _times(
    connection: RawConnection, question: Callable[[], Question], queries: int
) -> Iterator[float]:
    for _ in range(queries):
        asked = question()
        answer = connection.call(GET_FLOWS, asked.request.SerializeToString())
        _check_all(asked, _flows(answer.data()))
        yield answer.seconds * 1e3
        time.sleep(_PAUSE_S)


def _check_all(asked: Question, flows: Sequence[flow_pb2.Flow]) -> None:
    wrong = [flow for flow in flows if not asked.matches(flow)]
    if wrong or len(flows) not in _MATCHES:
        whitelist = asked.request.whitelist
        raise WrongAnswerError(f"filter {whitelist}: {len(flows)} flows, {len(wrong)} wrong")


def _read(node: Node, request: observer_pb2.GetFlowsRequest) -> Flows:
    with RawConnection(node.target) as connection:
        return _flows(connection.call(GET_FLOWS, request.SerializeToString()).data())


def _flows(data: bytes) -> Flows:
    parse = observer_pb2.GetFlowsResponse.FromString
    return [parse(message).flow for message in messages(data)]
