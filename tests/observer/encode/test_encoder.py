"""Encoded rows, decoded by protobuf, equal what the slow reference builds."""

import numpy as np
import pytest

from api.proto.flow.flow_pb2 import Verdict
from api.proto.leavitt.flow_details_pb2 import FlowDetails
from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.encode import FieldMask
from observer.entities import Endpoint, LostEvents
from observer.table.columns import EventKind
from observer.table.rows import Rows
from tests.observer.encode.reference import NODE_NAME, lost_of, response_of, stamp
from tests.observer.encode.rows import BASE_NS, ENDPOINTS, fill, new_table
from tests.observer.encode.wire import encoder_of, messages, responses


def repack(response: GetFlowsResponse) -> None:
    """Write the extension again: ours has varints of fixed width, an Any compares bytes."""
    details = FlowDetails()
    assert response.flow.extensions.Unpack(details)
    response.flow.extensions.Pack(details)


@pytest.mark.parametrize("details", [False, True], ids=["plain", "details"])
@pytest.mark.parametrize("seed", range(4))
def test_rows_of_every_kind_become_the_flows_that_hubble_gives(seed: int, details: bool) -> None:
    table = new_table()
    fill(table, 600, seed)
    positions = np.arange(table.oldest, table.head)
    framed = encoder_of(table).encode(positions, paths=None, details=details)
    for position, response in zip(positions.tolist(), responses(framed), strict=True):
        if details and response.HasField("flow"):
            repack(response)
        assert response == response_of(table, position, details=details)


@pytest.mark.parametrize("count", [1, 2, 3, 64])
def test_any_slice_and_any_selection_of_rows_gives_the_same_messages(count: int) -> None:
    table = new_table()
    fill(table, 300, 9)
    encoder = encoder_of(table)
    whole = messages(encoder.encode(np.arange(300), paths=None, details=False))
    for start in range(0, 300 - count, 37):
        consecutive = encoder.encode(np.arange(start, start + count), paths=None, details=False)
        assert messages(consecutive) == whole[start : start + count]
    scattered = np.arange(0, 300, 7)
    assert messages(encoder.encode(scattered, paths=None, details=False)) == whole[::7]


def test_no_rows_are_no_bytes() -> None:
    framed = encoder_of(new_table()).encode(np.arange(0), paths=None, details=False)
    assert framed == (b"", 0)


def test_rows_across_the_end_of_the_ring() -> None:
    table = new_table(capacity=63)
    fill(table, 100, 3)
    positions = np.arange(table.oldest, table.head)
    framed = encoder_of(table).encode(positions, paths=None, details=False)
    for position, response in zip(positions.tolist(), responses(framed), strict=True):
        assert response == response_of(table, position)


def test_node_name_and_time_stand_before_the_flow() -> None:
    table = new_table()
    fill(table, 5, 3)
    framed = encoder_of(table).encode(np.arange(1), paths=None, details=False)
    node_name, time = b"\xc2\x3e", b"\xca\x3e"
    message = messages(framed)[0]
    assert message.startswith(node_name + bytes((len(NODE_NAME),)) + NODE_NAME.encode() + time)


def test_a_slice_that_spans_seconds_keeps_each_time() -> None:
    table = new_table()
    rows = Rows.zeros(50)
    rows.columns["time_ns"][:] = BASE_NS + np.arange(50) * 90_000_000
    rows.columns["kind"][:] = EventKind.TRACE
    table.append(rows)
    framed = encoder_of(table).encode(np.arange(50), paths=None, details=False)
    for index, response in enumerate(responses(framed)):
        assert response.time == response.flow.time == stamp(BASE_NS + index * 90_000_000)


def test_a_freed_ref_that_is_used_again_gives_the_new_value() -> None:
    table = new_table(capacity=3)
    encoder = encoder_of(table)
    seen = []
    for endpoint in ENDPOINTS * 3:
        rows = Rows.zeros(4)
        rows.columns["kind"][:] = EventKind.TRACE
        rows.columns["source_ref"][:] = table.interns.endpoints.ref(endpoint)
        table.append(rows)
        framed = encoder.encode(np.array([table.head - 1]), paths=None, details=False)
        seen.append(responses(framed)[0].flow.source.identity)
    assert len(table.interns.endpoints) == 1
    assert seen == [endpoint.identity for endpoint in ENDPOINTS * 3]


def test_labels_of_any_length_fit() -> None:
    table = new_table()
    labels = tuple(f"k8s:{n:05}={'x' * 60}" for n in range(4000))
    endpoint = Endpoint(
        endpoint_id=1,
        identity=1,
        cluster_name="",
        namespace="",
        labels=labels,
        pod_name="",
        workloads=(),
    )
    rows = Rows.zeros(1)
    rows.columns["kind"][:] = EventKind.TRACE
    rows.columns["verdict"][:] = Verdict.FORWARDED
    rows.columns["destination_ref"][:] = table.interns.endpoints.ref(endpoint)
    table.append(rows)
    framed = encoder_of(table).encode(np.arange(1), paths=None, details=False)
    assert tuple(responses(framed)[0].flow.destination.labels) == labels


def test_a_gap_that_is_not_in_the_table() -> None:
    lost = LostEvents(source=3, count=2**40, cpu=None, first_ns=BASE_NS, last_ns=BASE_NS + 1)
    framed = encoder_of(new_table()).lost(lost, time_ns=BASE_NS + 2)
    expected = GetFlowsResponse(
        lost_events=lost_of(lost), node_name=NODE_NAME, time=stamp(BASE_NS + 2)
    )
    assert responses(framed) == [expected]


def test_gaps_keep_node_name_and_time_under_a_mask_without_them() -> None:
    table = new_table()
    lost = LostEvents(source=1, count=7, cpu=3, first_ns=None, last_ns=None)
    table.append_lost(lost, BASE_NS)
    mask = FieldMask.from_paths(["verdict"])
    framed = encoder_of(table).encode(np.arange(1), paths=mask, details=False)
    assert responses(framed) == [response_of(table, 0)]


def test_more_distinct_rows_than_the_caches_hold() -> None:
    table = new_table(capacity=(1 << 15) - 1)
    count = 20_000
    rng = np.random.default_rng(1)
    rows = Rows.zeros(count)
    rows.columns["kind"][:] = EventKind.DROP
    rows.columns["line"][:] = rng.integers(0, 65536, count)
    rows.columns["file"][:] = 1
    rows.columns["ip_version"][:] = 2
    rows.columns["source_ip"][:] = rng.integers(2**60, 2**63, (count, 2))
    rows.columns["destination_ip"][:] = rng.integers(2**60, 2**63, (count, 2))
    table.append(rows)
    encoder = encoder_of(table)
    encoder.encode(np.arange(count), paths=None, details=False)
    framed = encoder.encode(np.arange(count), paths=None, details=False)
    for position, message in enumerate(messages(framed)):
        if position % 97 == 0:
            assert GetFlowsResponse.FromString(message) == response_of(table, position)
