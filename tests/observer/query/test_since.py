"""`since` holds for rows that come later, too: it may lie ahead of what there is."""

import asyncio
from contextlib import aclosing

from api.proto.observer.observer_pb2 import GetFlowsRequest
from tests.observer.query.rows import START_NS, Node, responses, times


async def test_a_follower_from_a_time_to_come_hears_of_nothing_older() -> None:
    node = Node(63)
    node.append_flows(3)
    request = GetFlowsRequest(follow=True)
    request.since.FromNanoseconds(START_NS + 7)
    stream = node.query(request).run()
    async with aclosing(stream), asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(anext(stream))
        for _ in range(20):
            await asyncio.sleep(0)
        node.append_flows(2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not first.done()
        node.append_flows(5)
        assert times(responses(await first)) == [7, 8, 9]
