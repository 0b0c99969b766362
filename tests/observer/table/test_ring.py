import asyncio
import uuid
from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.entities import Endpoint, LostEvents, Service
from observer.table.columns import EventKind, RowFlag
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from observer.table.rows import Rows


def make_table(capacity: int = 7, interns: Interns | None = None, seed: int = 1) -> FlowTable:
    return FlowTable(capacity=capacity, interns=interns or Interns(), seed=seed)


def make_rows(times: list[int], **columns: list[Any]) -> Rows:
    rows = Rows.zeros(len(times))
    rows.columns["time_ns"][:] = times
    rows.columns["kind"][:] = EventKind.TRACE
    for name, values in columns.items():
        rows.columns[name][:] = values
    return rows


def endpoint(number: int) -> Endpoint:
    return Endpoint(
        endpoint_id=number,
        identity=number,
        cluster_name="default",
        namespace="ns",
        labels=(),
        pod_name=f"pod-{number}",
        workloads=(),
    )


def lost(count: int) -> LostEvents:
    return LostEvents(source=1, count=count, cpu=0, first_ns=None, last_ns=None)


def readable(table: FlowTable, name: str) -> list[Any]:
    parts = [table.columns[name][s] for s in table.segments(table.oldest, table.head)]
    return [value for part in parts for value in part.tolist()]


@pytest.mark.parametrize("capacity", [0, 2, 4096, -1, (1 << 24), (1 << 25) - 1])
def test_capacity_is_a_power_of_two_minus_one(capacity: int) -> None:
    with pytest.raises(ValueError, match=f"2\\^n - 1 with n in 1..24, got {capacity}"):
        make_table(capacity)


def test_the_newest_row_is_readable_at_once() -> None:
    table = make_table()
    assert table.append(make_rows([10])) == 0
    assert (table.oldest, table.head) == (0, 1)
    assert readable(table, "time_ns") == [10]


steps = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=30)


@settings(deadline=None)
@given(st.sampled_from([1, 3, 7, 15]), steps)
def test_a_table_is_a_deque_of_capacity_rows(
    capacity: int, batches: list[tuple[int, bool]]
) -> None:
    interns = Interns()
    table = make_table(capacity, interns)
    model: deque[tuple[int, int, int]] = deque(maxlen=capacity)
    appended = 0
    for size, loses in batches:
        refs = [interns.endpoints.ref(endpoint(1 + (appended + i) % 11)) for i in range(size)]
        services = [interns.services.ref(Service(namespace="a", name=str(i))) for i in range(size)]
        times = [appended + i for i in range(size)]
        rows = make_rows(times, source_ref=refs, destination_ref=refs, source_service_ref=services)
        assert table.append(rows) == appended
        model.extend((appended + i, ref, 0) for i, ref in enumerate(refs))
        appended += size
        if loses:
            assert table.append_lost(lost(size), appended) == appended
            model.append((appended, 0, size))
            appended += 1
        assert table.head == appended
        assert table.head - table.oldest == len(model)
        assert readable(table, "time_ns") == [time for time, _, _ in model]
        assert readable(table, "source_ref") == [ref for _, ref, _ in model]
        gaps = {time: lost(count) for time, ref, count in model if ref == 0}
        assert dict(table.details) == gaps
        held = [ref for _, ref, _ in model if ref]
        assert {ref for ref, _ in interns.endpoints.items()} == set(held)
        assert all(interns.endpoints.holders(ref) == 2 * held.count(ref) for ref in held)


def test_refs_shared_by_old_and_new_rows_survive() -> None:
    interns = Interns()
    table = make_table(3, interns)
    ref = interns.endpoints.ref(endpoint(5))
    for time in range(20):
        table.append(make_rows([time] * 3, source_ref=[ref] * 3))
    assert interns.endpoints[ref] == endpoint(5)
    table.append(make_rows([99] * 3))
    assert len(interns.endpoints) == 0


def test_many_distinct_values_leave_nothing_behind() -> None:
    interns = Interns()
    table = make_table(255, interns)
    for start in range(0, 20_000, 100):
        refs = [interns.addresses.ref(number.to_bytes(16)) for number in range(start, start + 100)]
        table.append(make_rows([start] * 100, xlated_ref=refs))
    assert len(interns.addresses) == 255
    assert interns.addresses.size <= 255 + 100 + 1


def test_segments_cover_positions_in_order() -> None:
    table = make_table(7)
    table.append(make_rows(list(range(12))))
    assert table.segments(8, 8) == []
    assert table.segments(5, 8) == [slice(5, 8)]
    assert table.segments(6, 11) == [slice(6, 8), slice(0, 3)]
    positions = np.arange(6, 11)
    assert table.columns["time_ns"][table.slots(positions)].tolist() == [6, 7, 8, 9, 10]


def test_time_never_runs_backwards() -> None:
    table = make_table(15)
    table.append(make_rows([10, 20]))
    rows = make_rows([5, 30, 25, 31])
    table.append(rows)
    assert readable(table, "time_ns") == [10, 20, 20, 30, 30, 31]
    assert rows.columns["time_ns"].tolist() == [20, 30, 30, 31]
    table.append_lost(lost(1), 7)
    assert readable(table, "time_ns")[-1] == 31


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), max_size=40), st.integers(-1, 52))
def test_position_at_is_the_first_row_not_before(times: list[int], wanted: int) -> None:
    table = make_table(15)
    table.append(make_rows(sorted(times)))
    expected = next(
        (table.oldest + i for i, time in enumerate(readable(table, "time_ns")) if time >= wanted),
        table.head,
    )
    assert table.position_at(wanted) == expected


def test_uuids_are_random_looking_stable_and_found_again() -> None:
    table = make_table(1023)
    table.append(make_rows(list(range(1500))))
    positions = np.arange(table.oldest, table.head)
    texts = [bytes(text).decode() for text in table.uuids(positions)]
    assert len(set(texts)) == len(texts)
    assert all(str(uuid.UUID(text)) == text for text in texts)
    assert {uuid.UUID(text).version for text in texts} == {4}
    assert {uuid.UUID(text).variant for text in texts} == {uuid.RFC_4122}
    assert [table.find_uuid(text) for text in texts] == positions.tolist()
    table.append(make_rows([2000]))
    assert [bytes(text).decode() for text in table.uuids(positions)] == texts


def test_uuids_are_of_positions_readable_or_not() -> None:
    table = make_table(7)
    table.append(make_rows(list(range(20))))
    for position in (3, 20):  # gone, still to come
        assert table.find_uuid(bytes(table.uuids(np.array([position]))[0]).decode()) == position
    there = bytes(table.uuids(np.array([19]))[0]).decode()
    foreign = bytes(make_table(7, seed=2).uuids(np.array([19]))[0]).decode()
    for text in (foreign, there.upper(), there[:-1], there + "0", "", "x" * 36):
        assert table.find_uuid(text) is None
    assert table.find_uuid(str(uuid.uuid4())) is None


def test_details_go_with_their_row() -> None:
    table = make_table(3)
    rows = make_rows([1, 2])
    rows.add_detail(1, "tunnel")
    table.append(rows)
    assert dict(table.details) == {1: "tunnel"}
    assert table.columns["flags"][1] == RowFlag.DETAIL
    table.append(make_rows([3, 4]))
    assert dict(table.details) == {1: "tunnel"}
    table.append(make_rows([5]))
    assert dict(table.details) == {}


def test_details_of_rows_that_are_overwritten_by_their_own_batch() -> None:
    table = make_table(3)
    rows = make_rows(list(range(10)))
    for index in (9, 2):
        rows.add_detail(index, index)
    table.append(rows)
    assert dict(table.details) == {9: 9}


def test_a_lost_row_says_what_was_lost() -> None:
    table = make_table()
    table.append_lost(lost(1234), 50)
    row = {name: column[0] for name, column in table.columns.items()}
    assert row["kind"] == EventKind.LOST
    assert row["sub_type"] == 1
    assert row["bytes"] == 1234
    assert table.statistics().appended == {EventKind.LOST: 1}


def test_statistics_count_by_kind() -> None:
    table = make_table(3)
    assert table.statistics().oldest_ns is None
    table.append(make_rows([1, 2, 3, 4], kind=[1, 4, 4, 5]))
    statistics = table.statistics()
    assert statistics.appended == {
        EventKind.DROP: 1,
        EventKind.TRACE: 2,
        EventKind.POLICY_VERDICT: 1,
    }
    assert (statistics.rows, statistics.capacity, statistics.oldest_ns) == (3, 3, 2)


async def test_waiting_readers_wake_when_their_row_stands() -> None:
    table = make_table()
    woken: list[str] = []

    async def read(name: str, position: int) -> None:
        await table.wait_beyond(position)
        woken.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(read("first", 0))
        group.create_task(read("second", 0))
        group.create_task(read("later", 2))
        await asyncio.sleep(0)
        table.append(make_rows([1]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sorted(woken) == ["first", "second"]
        table.append(make_rows([2, 3]))
    assert woken[2:] == ["later"]
    await table.wait_beyond(2)


async def test_a_cancelled_reader_leaves_nothing_behind() -> None:
    table = make_table()
    reader = asyncio.get_running_loop().create_task(table.wait_beyond(0))
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert not table._waiting
    table.append(make_rows([1]))


def test_an_overtaken_reader_finds_out_by_oldest() -> None:
    table = make_table(7)
    position = table.append(make_rows([1, 2]))
    table.append(make_rows(list(range(3, 23))))
    assert position < table.oldest
    assert table.oldest - position == 22 - 7
    assert readable(table, "time_ns")[0] == table.oldest + 1
