"""One client's stream: all nodes asked, their answers merged, sent as fast as the client reads.

    node task ──► collect ──► Source ┐
    node task ──► collect ──► Source ┼─► Merge ──► Limit ──► client
    pool changes ──► new node tasks ─┘      notices ────────►

Without `follow` the nodes that are there are asked once; with it each is asked again whenever it
has come back, and new ones are, until the client hangs up. One node's failure is a notice in the
stream and never the end of it. Only where every node refuses the request itself, the client is
refused.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from api.lane.backoff import Backoff
from api.lane.status import Code, RpcError
from api.lane.stream import Wakeup
from api.proto.relay.relay_pb2 import NodeState
from relay.collect import Collector, progress_metadata
from relay.limit import LIMIT_KEY, NoLimit, limit_of
from relay.merge import Merge
from relay.notices import Notices
from relay.times import stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.lane.call import Call
    from api.lane.metadata import Metadata
    from relay.limit import Limit
    from relay.merge import Source
    from relay.nodes.connection import NodeConnection
    from relay.nodes.discovery import Discovery
    from relay.nodes.link import NodeLink
    from relay.nodes.pool import NodePool

logger = logging.getLogger(__name__)

_FIRST_TRY_S: Final = 1.0
"""How long a call waits for nodes that were never tried: the relay has just started."""
_FIRST_RETRY_S: Final = 0.5
_LONGEST_RETRY_S: Final = 30.0
_OURS: Final = ("leavitt-progress", "leavitt-progress-interval", LIMIT_KEY)
"""Metadata that is between client and relay, or relay and node."""
_REQUEST_FAULTS: Final = frozenset(
    {
        Code.INVALID_ARGUMENT,
        Code.UNKNOWN,
        Code.UNIMPLEMENTED,
        Code.OUT_OF_RANGE,
        Code.FAILED_PRECONDITION,
    }
)
"""What a node says of a request that it cannot serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all streams of a relay share."""

    pool: NodePool
    discovery: Discovery
    node_name: str
    """Of the relay itself, for its notices."""
    patience_s: float
    """How long the others wait for a node that is silent."""
    clock_s: Callable[[], float]
    wall_ns: Callable[[], int]


class Session:
    """Serves one call.

    Args:
        call: The client's; its path says which method.
        request: The client's, of any of the three streams.
        around: What all sessions share.
        has_notices: Whether responses of this kind can say how nodes are.
    """

    def __init__(
        self,
        call: Call,
        request: Any,  # noqa: ANN401 - three types with the same fields
        *,
        around: Surroundings,
        has_notices: bool,
    ) -> None:
        self._call = call
        self._request = request
        self._around = around
        self._has_notices = has_notices
        self._wakeup = Wakeup()
        self._merge = Merge(
            patience_s=around.patience_s,
            clock_s=around.clock_s,
            wake=self._wakeup.notify,
            follows=request.follow,
        )
        self._notices = Notices(
            node_name=around.node_name, clock_s=around.clock_s, wall_ns=around.wall_ns
        )
        is_for_cluster = (LIMIT_KEY, "cluster") in call.metadata
        self._limit: Limit = limit_of(request) if is_for_cluster else NoLimit()
        self._metadata: Metadata = tuple(
            (key, value) for key, value in call.metadata if key not in _OURS and _can_travel(value)
        )
        self._now = stamp_of(around.wall_ns())
        self._tasks: dict[NodeLink, asyncio.Task[None]] = {}
        self._collectors: list[Collector] = []
        self._streaming = 0
        self._ended_well = 0
        self._faults: dict[str, RpcError] = {}

    async def run(self) -> None:
        """Serve until the nodes have ended, or the client hangs up.

        Raises:
            RpcError: every node refused the request, or the client's stream failed.
        """
        pool = self._around.pool
        self._call.send_headers()
        await pool.tried(longest_s=_FIRST_TRY_S)
        links = pool.links
        connected = [link for link in links if link.connection is not None]
        missing = [link.name for link in links if link.connection is None]
        self._say(NodeState.NODE_CONNECTED, *(link.name for link in connected))
        self._say(NodeState.NODE_UNAVAILABLE, *missing)
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            for link in connected:
                self._start(tasks, link, self._merge.add())
            others = [tasks.create_task(self._follow_pool(tasks))] if self._request.follow else []
            try:
                await self._send()
            except Exception as error:  # passed on as it is, not as one of a group
                failure = error
            for task in (*self._tasks.values(), *others):
                task.cancel()
        if failure is not None:
            raise failure

    async def _send(self) -> None:
        """Send what can go, wait for more; returns when there will be nothing."""
        while True:
            if (notice := self._notices.take()) is not None:
                await self._call.send(notice)
            self._merge.give_up()
            framed = self._merge.take()
            if framed is not None:
                passed = self._limit.pass_on(framed)
                if passed.count:
                    await self._call.send(passed)
                if self._limit.is_reached:
                    return
                # A fast client never makes us wait: let the nodes' streams be read.
                await asyncio.sleep(0)
                continue
            if self._is_refused():
                raise next(iter(self._faults.values()))
            if self._limit.keeps and (self._is_done() or self._history_is_over()):
                await self._call.send(self._limit.history_is_over())
                continue
            if self._is_done():
                break
            await self._wait()
            # Several nodes may have said something: one take for all of them.
            await asyncio.sleep(0)
        if (notice := self._notices.take(at_once=True)) is not None:
            await self._call.send(notice)

    async def _wait(self) -> None:
        """Wait until something comes, or is due."""
        dues_s = [each for each in (self._merge.due_s(), self._notices.due_s()) if each is not None]
        if self._limit.keeps:
            dues_s.append(self._merge.last_heard_s + self._around.patience_s)
        longest_s = min(dues_s) - self._around.clock_s() if dues_s else None
        try:
            async with asyncio.timeout(longest_s):
                await self._wakeup.wait()
        except TimeoutError:
            return

    def _is_done(self) -> bool:
        """Whether nothing more will come."""
        if self._streaming or not self._merge.is_empty:
            return False
        return not self._request.follow or self._ended_well > 0

    def _is_refused(self) -> bool:
        """Whether it is the request that is at fault: no node that answered takes it."""
        if not self._faults or any(collector.received for collector in self._collectors):
            return False
        return len(self._faults) == len(self._collectors) or self._is_done()

    def _history_is_over(self) -> bool:
        """Whether all that was there when the call came has been taken, as far as nodes say so."""
        quiet_s = self._around.clock_s() - self._merge.last_heard_s
        return self._merge.horizon >= self._now or quiet_s >= self._around.patience_s

    async def _follow_pool(self, tasks: asyncio.TaskGroup) -> None:
        """Take in nodes that are new, let go of those that are gone."""
        pool = self._around.pool
        while True:
            for link in pool.links:
                if link not in self._tasks:
                    self._start(tasks, link, None)
            for link in [each for each in self._tasks if not pool.holds(each)]:
                self._tasks.pop(link).cancel()
                self._say(NodeState.NODE_GONE, link.name)
            await pool.changes.next()

    def _start(self, tasks: asyncio.TaskGroup, link: NodeLink, source: Source | None) -> None:
        collector = Collector(
            link,
            self._call.path,
            self._request,
            metadata=self._metadata,
            progress=progress_metadata(len(self._around.pool.links)),
        )
        self._collectors.append(collector)
        self._tasks[link] = tasks.create_task(self._serve(collector, source))

    async def _serve(self, collector: Collector, source: Source | None) -> None:
        """Collect from one node; with follow again and again, whenever it is back."""
        link = collector.link
        backoff = Backoff(first_s=_FIRST_RETRY_S, max_s=_LONGEST_RETRY_S, random=random.random)
        connection: NodeConnection | None = link.connection
        on_answer = _Once() if source is not None else _Once(self._say_connected, link.name)
        while True:
            while link.connection is None:
                await self._around.pool.changes.next()
            connection = link.connection
            error = await self._collect(collector, connection, source, on_answer)
            if error is None or not self._request.follow:
                return
            source, on_answer = None, _Once(self._say_connected, link.name)
            await link.other_connection(connection, longest_s=backoff.failed())

    async def _collect(
        self,
        collector: Collector,
        connection: NodeConnection,
        source: Source | None,
        on_answer: Callable[[], None],
    ) -> RpcError | None:
        """Collect from one stream of a node; return what it failed with."""
        # Who comes later than the others does not hold them up until it has caught up.
        source = source or self._merge.add(limits=False)
        self._streaming += 1
        try:
            await collector.collect(connection, source, on_answer)
            if self._request.follow and not self._request.HasField("until"):
                # some servers end so when they are stopped
                raise RpcError(Code.UNAVAILABLE, "node ended the stream")
        except RpcError as error:
            self._failed(collector, error)
            return error
        else:
            self._ended_well += 1
            return None
        finally:
            self._streaming -= 1
            source.end()

    def _failed(self, collector: Collector, error: RpcError) -> None:
        name, account = collector.link.name, collector.link.account
        # The text of the original: code and all, but for errors that have none worth telling.
        text = error.message if error.code == Code.UNKNOWN else str(error)
        account.failed(self._around.wall_ns(), text)
        if error.code in _REQUEST_FAULTS:
            self._faults[name] = error
        logger.info("stream of node failed name=%s path=%s: %s", name, self._call.path, error)
        if self._has_notices:
            self._notices.failed(name, text)
        self._wakeup.notify()

    def _say_connected(self, name: str) -> None:
        self._say(NodeState.NODE_CONNECTED, name)

    def _say(self, state: NodeState, *names: str) -> None:
        if self._has_notices:
            self._notices.say(state, names)
            self._wakeup.notify()


class _Once:
    """Calls something the first time that it is called."""

    def __init__(self, function: Callable[[str], None] | None = None, name: str = "") -> None:
        self._function = function
        self._name = name

    def __call__(self) -> None:
        function, self._function = self._function, None
        if function is not None:
            function(self._name)


def _can_travel(value: str | bytes) -> bool:
    """Tell whether a value of metadata can be passed on as it came."""
    return isinstance(value, bytes) or (value.isascii() and value.isprintable())
