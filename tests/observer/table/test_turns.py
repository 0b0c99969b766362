import asyncio
from itertools import pairwise

from observer.table.turns import Turns


async def _read(turns: Turns, name: str, count: int, log: list[tuple[str, int]]) -> None:
    for _ in range(count):
        await turns.next()
        log.append((name, Passes.now))
        await asyncio.sleep(0)


class Passes:
    """Counts the passes of the loop for as long as it is asked to."""

    now = 0

    @classmethod
    async def count(cls) -> None:
        while True:
            await asyncio.sleep(0)
            cls.now += 1


async def _run(*readers: tuple[str, int]) -> list[tuple[str, int]]:
    turns, log = Turns(), list[tuple[str, int]]()
    async with asyncio.TaskGroup() as tasks:
        counter = tasks.create_task(Passes.count())
        async with asyncio.TaskGroup() as group:
            for name, count in readers:
                group.create_task(_read(turns, name, count, log))
        counter.cancel()
    return log


async def test_who_is_alone_has_every_pass() -> None:
    passes = [number for _, number in await _run(("a", 5))]
    assert [later - earlier for earlier, later in pairwise(passes)] == [1] * 4


async def test_two_never_have_the_same_pass_and_take_turns() -> None:
    log = await _run(("a", 10), ("b", 10), ("c", 10))
    passes = [number for _, number in log]
    assert len(set(passes)) == 30
    assert [name for name, _ in log[3:27]] == [*"abc"] * 8
    assert passes[-1] - passes[0] <= 35  # hardly a pass is left unused


async def test_a_cancelled_reader_holds_up_nobody() -> None:
    turns = Turns()
    await turns.next()
    gone = [asyncio.Future[None]() for _ in range(2)]
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(turns.next()) for _ in gone]
        last = tasks.create_task(turns.next())
        for task in waiting:
            task.get_loop().call_soon(task.cancel)
    assert last.done()
    assert not last.cancelled()


async def test_it_is_free_again_when_all_have_gone() -> None:
    assert len(await _run(("a", 1))) == 1
    turns = Turns()
    await turns.next()
    await asyncio.sleep(0)
    await asyncio.wait_for(turns.next(), 1)


async def test_the_writer_goes_first() -> None:
    turns, log = Turns(), list[str]()

    async def take(name: str, *, is_writer: bool) -> None:
        await turns.next(is_writer=is_writer)
        log.append(name)

    async with asyncio.TaskGroup() as tasks:
        for name in ("a", "b", "writer"):
            tasks.create_task(take(name, is_writer=name == "writer"))
    assert log == ["a", "writer", "b"]
