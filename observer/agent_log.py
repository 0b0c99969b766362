"""The agent log: what this node's agent does, as rows among the flows.

In: flow.AgentEvent messages, at the moment the thing is done. Out: rows of kind AGENT, a little
later. The samples of that moment are still in the kernel's rings (they are read every 50 ms when
little happens), and rows ascend in time: an agent event written at once would make all of
them as young as itself. So it waits for them; its own time may be raised by as much.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from api.proto.flow.flow_pb2 import AgentEvent
from observer.entities import AgentNotice
from observer.table.columns import EventKind
from observer.table.ring import FlowTable
from observer.table.rows import Rows

DELAY_S: Final = 0.1
MOST_WAITING: Final = 4_096
"""What is more is written without waiting: better early than held without bound."""
BATCH: Final = 256
"""Rows written before others run: about a millisecond."""


class AgentLog:
    """Appends agent events to one table."""

    def __init__(self, table: FlowTable, *, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._table = table
        self._wall_ns = wall_ns
        self._waiting: deque[tuple[int, AgentEvent]] = deque()
        self._came = asyncio.Event()

    def add(self, events: Iterable[AgentEvent]) -> None:
        """Take events that happened now."""
        now_ns = self._wall_ns()
        self._waiting += [(now_ns, event) for event in events]
        self._came.set()
        while len(self._waiting) > MOST_WAITING:
            self.write()

    def write(self) -> None:
        """Append the oldest of what waits, at most a batch."""
        count = min(len(self._waiting), BATCH)
        waiting = [self._waiting.popleft() for _ in range(count)]
        rows = Rows.zeros(len(waiting))
        rows.columns["kind"][:] = EventKind.AGENT
        rows.columns["time_ns"][:] = np.fromiter((at for at, _ in waiting), np.int64, len(waiting))
        types = (event.type for _, event in waiting)
        rows.columns["sub_type"][:] = np.fromiter(types, np.uint8, len(waiting))
        for index, (_, event) in enumerate(waiting):
            rows.add_detail(index, AgentNotice(message=event.SerializeToString()))
        self._table.append(rows)

    async def run(self) -> None:
        """Write what was added, until cancelled; what waits then is written too."""
        try:
            while True:
                await self._came.wait()
                await asyncio.sleep(DELAY_S)
                self._came.clear()
                while self._waiting:
                    self.write()
                    await asyncio.sleep(0)
        finally:
            while self._waiting:
                self.write()
