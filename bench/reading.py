"""Somebody who reads a datapath's events as the server does, in a thread on a CPU of its own.

Rings, decoder, enricher, table and connection sweep are the real ones. While nobody is here the
programs find no ring to write to, which costs them next to nothing: that is "off".
"""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Final

import uvloop

from bench.errors import WrongAnswerError
from bench.ingest_node import IngestNode
from observer.kernel import syscall
from observer.kernel.datapath import Datapath
from observer.kernel.rings import PerfRings, online_cpus

_SWEEP_ENTRIES: Final = 2_048
_BETWEEN_SWEEPS_S: Final = 0.02
_START_S: Final = 10.0
_SETTLE_S: Final = 0.002
"""Until the last events may be taken; see RingSettings.settle_ns."""


@contextmanager
def reading(datapath: Datapath, node: IngestNode, *, cpu: int) -> Iterator[None]:
    """Read for the length of a `with`; afterwards no ring is left in the programs' map.

    Raises:
        WrongAnswerError: the reader died.
    """
    rings = PerfRings(install=datapath.install_ring)
    reader = _Reader(datapath, node, rings, cpu)
    try:
        reader.start()
        yield
    finally:
        reader.end()
        for number in online_cpus():
            syscall.delete(datapath.perf_map_fd, number.to_bytes(4, "little"))
        rings.close()
    if reader.failed:
        raise WrongAnswerError(f"read events: {reader.failed!r}") from reader.failed


class _Reader:
    def __init__(self, datapath: Datapath, node: IngestNode, rings: PerfRings, cpu: int) -> None:
        self._datapath, self._node, self._rings, self._cpu = datapath, node, rings, cpu
        self.failed: BaseException | None = None
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_running = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        if not self._is_running.wait(_START_S):
            raise WrongAnswerError("read events: the reader does not start")

    def end(self) -> None:
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        os.sched_setaffinity(0, {self._cpu})  # of this thread alone
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._main())
        except Exception as error:  # whoever waits for this thread tells it
            self.failed = error
            self._is_running.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(each) for each in (self._read(), self._sweep())]
            self._is_running.set()
            await self._stop.wait()
            for worker in workers:
                worker.cancel()
        await asyncio.sleep(_SETTLE_S)
        while (batch := self._rings.take()) is not None:
            self._node.pipeline.feed(batch)

    async def _read(self) -> None:
        async with aclosing(self._rings.batches()) as batches:
            async for batch in batches:
                self._node.pipeline.feed(batch)

    async def _sweep(self) -> None:
        while True:
            self._datapath.sweep(_SWEEP_ENTRIES)
            await asyncio.sleep(_BETWEEN_SWEEPS_S)
