"""Where samples come from: this node's perf rings, or a recording played again.

Out: `SampleBatch` and, from recordings, the changes of the cluster that happened between them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from observer.kernel.recording import RecordedChange, Recording
from observer.kernel.rings import PerfRings
from observer.samples import SampleBatch

Item = SampleBatch | RecordedChange


async def live(rings: PerfRings) -> AsyncIterator[Item]:
    """Batches of the perf rings, for ever. Cancel to stop."""
    async for batch in rings.batches():
        yield batch


async def replayed(
    recording: Recording,
    *,
    speed: float | None,
    clock: Callable[[], float] | None = None,
) -> AsyncIterator[Item]:
    """Items of a recording at `speed` times the pace they were recorded at; None: at once.

    Flows keep the times they had. Ends with the recording.
    """
    now = asyncio.get_running_loop().time if clock is None else clock
    started_s = now()
    first_ns: int | None = None
    for item in recording.items():
        if speed is not None and isinstance(item, SampleBatch) and len(item):
            at_ns = int(item.mono_ns[0])
            first_ns = at_ns if first_ns is None else first_ns
            due_s = started_s + (at_ns - first_ns) / 1e9 / speed
            await asyncio.sleep(max(0.0, due_s - now()))
        else:
            await asyncio.sleep(0)  # readers are served between two batches
        yield item
