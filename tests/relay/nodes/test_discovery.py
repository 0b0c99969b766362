"""The peer service followed: changes, its loss and return, and nodes that it no longer names."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from relay.nodes.discovery import Discovery, peer_server_name
from relay.nodes.link import LinkState
from relay.nodes.pool import NodePool
from tests.relay.processes import DELETED, UPDATED, Book

LONGEST_S = 20.0


@asynccontextmanager
async def discovered(
    folder: Path, settled_s: float = 60.0
) -> AsyncIterator[tuple[NodePool, Discovery]]:
    async with asyncio.TaskGroup() as tasks:
        pool = NodePool(tasks, tls=None, numbers=lambda: 0.5)
        discovery = Discovery(
            f"unix://{folder}/peers.sock",
            tls=None,
            server_name="",
            pool=pool,
            longest_wait_s=0.05,
            on_change=pool.changes.tell,
            numbers=lambda: 0.5,
            settled_s=settled_s,
        )
        running = tasks.create_task(discovery.run())
        yield pool, discovery
        running.cancel()
        pool.keep_only(())


async def until_known(pool: NodePool, **addresses: str) -> None:
    async with asyncio.timeout(LONGEST_S):
        while {link.name: link.peer.address for link in pool.links} != addresses:
            await pool.changes.next()


async def test_nodes_come_change_and_go(tmp_path: Path) -> None:
    book = Book()
    book.tell("a", "unix:///nowhere/a")
    server = await book.serve(f"unix://{tmp_path}/peers.sock")
    async with discovered(tmp_path) as (pool, discovery):
        await until_known(pool, a="unix:///nowhere/a")
        assert discovery.is_connected
        link = pool.links[0]
        book.tell("b", "no address")
        book.tell("a", "unix:///nowhere/c", kind=UPDATED)
        await until_known(pool, a="unix:///nowhere/c", b="no address")
        assert pool.links[0] is link
        async with asyncio.timeout(LONGEST_S):
            while pool.links[1].state != LinkState.NIL_CONNECTION:
                await pool.changes.next()
        assert "no usable address: 'no address'" in pool.links[1].account.last_error
        book.tell("a", kind=DELETED)
        await until_known(pool, b="no address")
        assert not pool.holds(link)
    await server.stop(0)


async def test_a_peer_service_that_returns_with_fewer_nodes(tmp_path: Path) -> None:
    book = Book()
    book.tell("a", "unix:///a")
    book.tell("b", "unix:///b")
    server = await book.serve(f"unix://{tmp_path}/peers.sock")
    async with discovered(tmp_path, settled_s=0.3) as (pool, discovery):
        await until_known(pool, a="unix:///a", b="unix:///b")
        await server.stop(0)
        async with asyncio.timeout(LONGEST_S):
            while discovery.is_connected:
                await pool.changes.next()
        # nobody is let go of for that
        assert len(pool.links) == 2
        book.tell("a", kind=DELETED)
        server = await book.serve(f"unix://{tmp_path}/peers.sock")
        await until_known(pool, b="unix:///b")
        assert discovery.is_connected
    await server.stop(0)


async def test_a_peer_service_that_is_not_there_yet(tmp_path: Path) -> None:
    async with discovered(tmp_path) as (pool, discovery):
        async with asyncio.timeout(LONGEST_S):
            while not discovery.last_error:  # noqa: ASYNC110 - nothing rings for it
                await asyncio.sleep(0.01)
        assert "no such file" in discovery.last_error
        book = Book()
        book.tell("a", "unix:///a")
        server = await book.serve(f"unix://{tmp_path}/peers.sock")
        await until_known(pool, a="unix:///a")
        await server.stop(0)


def test_the_name_in_its_certificate() -> None:
    assert peer_server_name("my.cluster") == "hubble-peer.my-cluster.hubble-grpc.cilium.io"
