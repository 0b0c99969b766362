"""`--follow --retry`: an answer that goes on when its server is lost and comes back.

    ask ──► shown, its last time kept ──► lost: wait, longer each time ──► ask from that time on
                                                                           less what was shown

Flows of the very last time come again and are left out by their bytes. What servers say they no
longer keep from in between is a gap: a lost event without a count stands in its place, and the
error stream tells of it. Errors that no waiting mends end the answer. Hubble's servers
refuse a wrong filter with status Unknown, as they do what may pass: it ends the answer until the
same request was taken once, which shows by flows or by time. Only then waits begin anew, too.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from api.lane.backoff import Backoff
from api.lane.client import Channel
from api.lane.status import Code, RpcError
from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli.connection import ServerOptions, connected, rpc_text
from cli.errors import CliError
from cli.flags.values import duration_text
from cli.hints import oldest_flows
from cli.memory import Memory
from cli.surroundings import Surroundings
from cli.times import SECOND_NS, time_text

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 15.0
_FINAL: Final = frozenset(
    {
        Code.INVALID_ARGUMENT,
        Code.NOT_FOUND,
        Code.PERMISSION_DENIED,
        Code.UNAUTHENTICATED,
        Code.UNIMPLEMENTED,
    }
)
_MILLI_NS = 1_000_000
_TAKEN_S = 2.0
"""A request that is answered this long, without a flow even, was not refused."""
Ask = Callable[[Channel], Awaitable[None]]
"""Asks for what was not shown yet and shows it; returns at its end, raises RpcError."""


class Retrying:
    """Asks again and again, until the answer is refused or nobody wants it any more."""

    def __init__(
        self,
        memory: Memory,
        server: ServerOptions,
        surroundings: Surroundings,
        *,
        quiet: bool,
    ) -> None:
        """Take what was shown, the server, and whether the error stream is to stay silent."""
        self._memory = memory
        self._server = server
        self._surroundings = surroundings
        self._warn = _silent if quiet else surroundings.warn
        self._backoff = Backoff(first_s=_FIRST_WAIT_S, max_s=_LONGEST_WAIT_S, random=random.random)
        self._lost_ns: int | None = None
        self._answered_s: float | None = None
        """When the answer that is under way began, on the loop's clock."""
        self._was_taken = False
        """Whether a server has taken the request, not only begun an answer."""
        self._gaps_told = ""
        self._marks: list[bytes] = []
        """What is to be told and shown of gaps once there is an answer."""

    async def run(self, ask: Ask) -> None:
        """Ask until cancelled.

        Raises:
            RpcError, CliError: what waiting does not mend.
        """
        while True:
            self._answered_s, shown_ns = None, self._memory.time_ns
            try:
                async with connected(self._server, self._surroundings.warn) as channel:
                    if self._lost_ns is not None:
                        await self._look_for_gaps(channel)
                    await ask(channel)
                self._note_taken(shown_ns)
                reason = "the server ended the answer"
            except RpcError as error:
                self._note_taken(shown_ns)
                if error.code in _FINAL or (error.code is Code.UNKNOWN and not self._was_taken):
                    raise
                reason = rpc_text(error)
            except CliError as error:
                if self._lost_ns is None:
                    raise  # of a port-forward: what is wrong from the start stays wrong
                reason = str(error)
            if self._lost_ns is None:
                self._lost_ns = self._surroundings.now_ns()
            wait_s = self._backoff.failed()
            self._warn(f"connection lost: {reason}; trying again in {wait_s:.1f}s\n")
            await asyncio.sleep(wait_s)

    def answered(self) -> list[bytes]:
        """Note that a server has begun its answer, and tell it after a loss.

        Returns what to show before it: gaps, as responses of GetFlows.
        """
        self._answered_s = asyncio.get_running_loop().time()
        if self._lost_ns is not None:
            away_ns = self._surroundings.now_ns() - self._lost_ns
            away = duration_text(away_ns // _MILLI_NS * _MILLI_NS)
            self._warn(f"connected again after {away}{self._gaps_told}\n")
        marks, self._marks, self._gaps_told, self._lost_ns = self._marks, [], "", None
        return marks

    def _note_taken(self, shown_ns: int | None) -> None:
        """Note whether the answer that ended was one; take the latest time shown before it."""
        if self._answered_s is None:
            return
        lasted_s = asyncio.get_running_loop().time() - self._answered_s
        if self._memory.time_ns != shown_ns or lasted_s >= _TAKEN_S:
            self._was_taken = True
            self._backoff.succeeded()

    async def _look_for_gaps(self, channel: Channel) -> None:
        """Find what servers do not keep from in between; raises RpcError."""
        time_ns, now_ns = self._memory.time_ns, self._surroundings.now_ns()
        if time_ns is None or not self._memory.is_about_flows:
            return
        oldest = await oldest_flows(channel, timeout_s=self._server.request_timeout_s)
        gaps = gaps_between(time_ns, oldest, now_ns)
        self._gaps_told = f": {_told(time_ns, gaps)}"
        self._marks = [_lost(node, time_ns, end_ns) for node, end_ns in gaps.items()]


def gaps_between(time_ns: int, oldest: Mapping[str, int], now_ns: int) -> dict[str, int]:
    """Find nodes that do not keep all since a time: until when they know nothing, by name.

    Without any flow nothing is known until now, of no node by name.
    """
    if not oldest:
        return {"": now_ns}
    return {node: first_ns for node, first_ns in sorted(oldest.items()) if first_ns > time_ns}


def _lost(node: str, first_ns: int, last_ns: int) -> bytes:
    """Make a lost event without a count: how many there were nobody knows."""
    response = GetFlowsResponse(node_name=node)
    response.lost_events.first.FromNanoseconds(first_ns)
    response.lost_events.last.FromNanoseconds(last_ns)
    response.time.FromNanoseconds(last_ns)
    return response.SerializeToString()


def _told(time_ns: int, gaps: Mapping[str, int]) -> str:
    if not gaps:
        return "nothing is missing"
    text = time_text("RFC3339Milli")
    start = text(*divmod(time_ns, SECOND_NS))
    ends = (
        f"{text(*divmod(end_ns, SECOND_NS))}{f' of {node}' if node else ''}"
        for node, end_ns in gaps.items()
    )
    return f"flows may be missing from {start} to {', to '.join(ends)}"


def _silent(_: str) -> None:
    """Say nothing."""
