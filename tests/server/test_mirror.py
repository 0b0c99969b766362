"""Tables elsewhere follow; what is refused is tried again."""

import asyncio

import pytest

from observer.kernel.errors import KernelError
from server.mirror import Mirror
from server.pace import Pace
from server.problems import Problems


class Table:
    """A table that refuses some keys."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.refused: set[str] = set()
        self.writes = 0

    def put(self, entries: dict[str, int]) -> None:
        self.writes += 1
        for key, value in entries.items():
            if key in self.refused:
                raise KernelError("it is full")
            self.rows[key] = value

    def drop(self, key: str) -> None:
        if key in self.refused:
            raise OSError(1, "not permitted")
        self.rows.pop(key, None)


@pytest.fixture
def table() -> Table:
    return Table()


def mirror(table: Table, problems: Problems, batch: int = 1) -> Mirror[str, int]:
    return Mirror(
        "row", put=lambda e: table.put(dict(e)), drop=table.drop, problems=problems, batch=batch
    )


async def bring(mirror: Mirror[str, int], wanted: dict[str, int]) -> None:
    await mirror.put_all(wanted, Pace())
    await mirror.drop_rest(wanted, Pace())


async def test_only_differences_are_written(table: Table) -> None:
    rows = mirror(table, Problems(), batch=2)
    await bring(rows, {"a": 1, "b": 2, "c": 3})
    assert (table.rows, table.writes) == ({"a": 1, "b": 2, "c": 3}, 2)
    await bring(rows, {"a": 1, "b": 5})
    assert (table.rows, table.writes) == ({"a": 1, "b": 5}, 3)


async def test_a_refusal_is_named_and_tried_again_and_holds_nobody_up(table: Table) -> None:
    problems = Problems()
    rows = mirror(table, problems)
    table.refused = {"a"}
    await bring(rows, {"a": 1, "b": 2})
    problems.end_round()
    assert table.rows == {"b": 2}
    assert problems.present == ("row a: set: it is full",)
    table.refused = set()
    await bring(rows, {"a": 1, "b": 2})
    problems.end_round()
    assert table.rows == {"a": 1, "b": 2}
    assert not problems.present


async def test_what_a_failed_write_left_is_written_again_even_if_it_is_wanted_as_before(
    table: Table,
) -> None:
    rows = mirror(table, Problems(), batch=2)
    await bring(rows, {"a": 1, "b": 1})
    table.refused = {"b"}
    await bring(rows, {"a": 2, "b": 2})
    assert table.rows == {"a": 2, "b": 1}  # half of the batch was written
    table.refused = set()
    await bring(rows, {"a": 1, "b": 1})
    assert table.rows == {"a": 1, "b": 1}


async def test_a_row_that_cannot_be_removed_is_tried_again(table: Table) -> None:
    rows = mirror(table, Problems())
    await bring(rows, {"a": 1})
    table.refused = {"a"}
    await bring(rows, {})
    assert table.rows == {"a": 1}
    table.refused = set()
    await bring(rows, {})
    assert table.rows == {}


async def test_others_run_while_a_long_round_is_on() -> None:
    ticks = iter(range(1000))
    pace = Pace(clock=lambda: next(ticks) * 0.0011)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        for _ in range(20):
            await pace.step()
        task.cancel()
    assert turns >= 10


def test_a_problem_is_logged_when_it_begins_changes_and_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    problems = Problems()
    for reason in ("no route", "no route", "no address", None, None):
        if reason is not None:
            problems.meet("Pod default/a", reason)
        problems.end_round()
    assert [record.getMessage() for record in caplog.records] == [
        "problem about='Pod default/a' reason='no route'",
        "problem about='Pod default/a' reason='no address'",
        "problem over about='Pod default/a'",
    ]
