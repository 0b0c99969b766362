"""Between two parts of an answer the loop runs: writing takes time as well."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator

from api.lane.wire import Framed
from api.proto.observer.observer_pb2 import GetFlowsRequest
from tests.observer.query.rows import Node

_ROWS = 8_191


class Passes:
    """Counts the passes of the loop."""

    def __init__(self) -> None:
        self.number = 0

    async def count(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.number += 1


async def _parts(passes: Passes, query: AsyncGenerator[Framed], seen: list[int]) -> int:
    rows = 0
    async for framed in query:
        rows += framed.count
        seen.append(passes.number)
    return rows


async def test_each_part_has_a_pass_of_its_own_whoever_else_reads() -> None:
    node, passes, seen = Node(_ROWS), Passes(), list[int]()
    node.append_flows(_ROWS)
    request = GetFlowsRequest(number=_ROWS)
    async with asyncio.TaskGroup() as tasks:
        counting = tasks.create_task(passes.count())
        readers = [
            tasks.create_task(_parts(passes, node.query(request).run(), seen)) for _ in range(3)
        ]
        await asyncio.wait(readers)
        counting.cancel()
    assert [reader.result() for reader in readers] == [_ROWS] * 3
    assert max(Counter(seen).values()) == 1
