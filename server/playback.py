"""A recording played again at its own pace, or faster.

Out: `SampleBatch`, and the cluster changes that happened between them. Next: `server.replay`.
"""

import asyncio
from collections.abc import AsyncIterator

from observer.kernel.recording import RecordedChange, Recording
from observer.samples import SampleBatch


async def replayed(
    recording: Recording, *, speed: float | None
) -> AsyncIterator[SampleBatch | RecordedChange]:
    """Items of a recording at `speed` times the pace they were recorded at; None: at once.

    Flows keep the times they had. Ends with the recording.
    """
    now = asyncio.get_running_loop().time
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
