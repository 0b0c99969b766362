"""Queries that follow: where they begin, when they end, what they skip."""

import asyncio

import pytest

from tests.observer.query.asking import Follower, request
from tests.observer.query.rows import (
    Node,
)


async def test_following_begins_with_the_newest_row() -> None:
    node = Node(63)
    node.append_flows(10)
    follower = Follower(node, request(follow=True))
    assert await follower.next() == [9]
    node.append_flows(2)
    assert await follower.next() == [10, 11]
    await follower.stream.aclose()


async def test_following_an_empty_table_waits_for_the_first_row() -> None:
    node = Node(63)
    follower = Follower(node, request(follow=True))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(follower.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        node.append_flows(1)
    assert waiting.result() == [0]
    await follower.stream.aclose()


async def test_following_with_a_number_begins_that_far_back_and_does_not_end() -> None:
    node = Node(63)
    node.append_flows(10)
    follower = Follower(node, request(follow=True, number=3))
    assert await follower.next() == [7, 8, 9]
    node.append_flows(5)
    assert await follower.next() == [10, 11, 12, 13, 14]
    await follower.stream.aclose()


async def test_following_since_a_time() -> None:
    node = Node(63)
    node.append_flows(10)
    follower = Follower(node, request(follow=True, since=8))
    assert await follower.next() == [8, 9]
    await follower.stream.aclose()


async def test_following_until_a_time_ends_at_the_first_younger_flow() -> None:
    node = Node(63)
    node.append_flows(3)
    follower = Follower(node, request(follow=True, until=4))
    assert await follower.next() == [2]
    node.append_flows(10)
    assert await follower.next() == [3, 4]
    with pytest.raises(StopAsyncIteration):
        await follower.next()


async def test_following_with_a_filter_skips_what_does_not_match() -> None:
    node = Node(63)
    follower = Follower(node, request(follow=True, dropped=True))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(follower.next())
        await asyncio.sleep(0)
        node.append_flows(5)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
        node.append_flows(1, dropped=True)
    assert waiting.result() == [5]
    await follower.stream.aclose()


async def test_closing_a_waiting_query_leaves_nothing_behind() -> None:
    node = Node(63)
    follower = Follower(node, request(follow=True))
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(follower.next())
        await asyncio.sleep(0)
        waiting.cancel()
    await follower.stream.aclose()
    node.append_flows(1)
    assert node.ledger.snapshot() == ()
