"""Turns: each pass of the loop gives one, round and round, and no more wait than there is room."""

import asyncio

import pytest

from api.lane.turns import MOST_WAITING, Turns


class Worker:
    def __init__(self, name: str, turns: int, log: list[str]) -> None:
        self.name, self.left, self.log = name, turns, log

    def __call__(self) -> bool:
        self.log.append(self.name)
        self.left -= 1
        return not self.left


async def passes(log: list[str], count: int) -> list[str]:
    """Let the loop go round so often; return what happened in each pass, joined."""
    found = []
    for _ in range(count):
        before = len(log)
        await asyncio.sleep(0)
        found.append("".join(log[before:]))
    return found


async def test_one_turn_a_pass_round_and_round() -> None:
    log: list[str] = []
    turns = Turns()
    for name, count in (("a", 3), ("b", 1), ("c", 2)):
        assert turns.add(Worker(name, count, log))
    assert await passes(log, 8) == ["a", "b", "c", "a", "c", "a", "", ""]


async def test_who_comes_later_waits_behind() -> None:
    log: list[str] = []
    turns = Turns()
    turns.add(Worker("a", 3, log))
    assert await passes(log, 1) == ["a"]
    turns.add(Worker("b", 1, log))
    assert await passes(log, 4) == ["a", "b", "a", ""]


async def test_a_full_queue_takes_nobody() -> None:
    log: list[str] = []
    turns = Turns()
    taken = [turns.add(Worker("a", 1, log)) for _ in range(MOST_WAITING + 1)]
    assert taken == [True] * MOST_WAITING + [False]
    await passes(log, MOST_WAITING)
    assert len(log) == MOST_WAITING
    assert turns.add(Worker("b", 1, log))
    assert await passes(log, 1) == ["b"]


async def test_a_failure_is_logged_and_the_others_go_on() -> None:
    log: list[str] = []
    seen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: seen.append(context["exception"])
    )

    def fail() -> bool:
        raise LookupError("bug")

    turns = Turns()
    turns.add(fail)
    turns.add(Worker("a", 2, log))
    assert await passes(log, 4) == ["", "a", "a", ""]
    assert [type(each) for each in seen] == [LookupError]


@pytest.mark.parametrize("again", [1, 3])
async def test_the_same_may_come_back(again: int) -> None:
    log: list[str] = []
    turns = Turns()
    for _ in range(again):
        turns.add(Worker("a", 2, log))
        assert await passes(log, 3) == ["a", "a", ""]
