"""One question to all connected nodes at once: each answer, or why there is none."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from google.protobuf.message import Message

from api.lane.status import Code, RpcError

if TYPE_CHECKING:
    from relay.nodes.link import NodeLink
    from relay.nodes.pool import NodePool

M = TypeVar("M", bound=Message)

_LONGEST_S: Final = 3.0
"""A node that stopped must not hold up the answer for those that did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[M]):
    """What a node said."""

    link: NodeLink
    message: M | None = None
    error: RpcError | None = None


async def ask_all(
    pool: NodePool, path: str, request: Message, response_type: type[M]
) -> list[Answer[M]]:
    """Ask every node of the pool; answers are sorted by name. Takes three seconds at most."""
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_ask(link, path, request, response_type)) for link in pool.links]
    return [task.result() for task in asked]


async def _ask(link: NodeLink, path: str, request: Message, response_type: type[M]) -> Answer[M]:
    connection = link.connection
    if connection is None:
        error = RpcError(Code.UNAVAILABLE, link.account.last_error or "not connected yet")
        return Answer(link=link, error=error)
    try:
        message = await connection.channel.unary(path, request, response_type, timeout_s=_LONGEST_S)
    except RpcError as error:
        return Answer(link=link, error=error)
    link.heard(0)
    return Answer(link=link, message=message)
