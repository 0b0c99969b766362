"""An honest client over mTLS: again and again a new connection, a status, a query with filters.

It may fail while the server is being restarted, and never else. A process of its own.
"""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from api.lane.client import Channel
from api.lane.status import RpcError
from api.lane.tls import ClientTls
from api.proto.flow import flow_pb2
from api.proto.observer import observer_pb2
from bench.clients import GET_FLOWS, SERVER_STATUS
from bench.processes import beside, die_with_parent
from bench.soaking.certificates import SERVER_NAME
from bench.soaking.lives import Place

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized, SynchronizedArray

_LONGEST_S: Final = 30.0
_PAUSE_S: Final = 0.5
_SERVED, _EXCUSED, _REFUSED = range(3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How its rounds ended."""

    served: int
    excused: int
    """Failed while the server was restarted."""
    refused: int
    """Failed at any other time."""


class HonestClient:
    """The process, as its parent sees it. The parent tells it of restarts."""

    def __init__(
        self, counts: "SynchronizedArray[int]", turns: "Synchronized[int]", complaints: Path
    ) -> None:
        self._counts = counts
        self._turns = turns
        self._complaints = complaints

    def turn(self) -> None:
        """A restart begins, or is over."""
        self._turns.value += 1

    def tally(self) -> Tally:
        """Look at the counts."""
        counts = self._counts[:]
        return Tally(served=counts[_SERVED], excused=counts[_EXCUSED], refused=counts[_REFUSED])

    def complaints(self) -> str:
        """Why it was refused, the last of it."""
        if not self._complaints.exists():
            return ""
        return self._complaints.read_text(encoding="utf-8")[-500:]


@contextmanager
def honest_client(place: Place, folder: Path) -> Iterator[HonestClient]:
    """Run it until left; it begins with a server that is not there yet."""
    context = multiprocessing.get_context("spawn")
    counts, turns = context.Array("Q", 3), context.Value("Q", 1)
    complaints = folder / "complaints.txt"
    with beside(_run, place, counts, turns, complaints):
        yield HonestClient(counts, turns, complaints)


def _run(
    place: Place,
    counts: "SynchronizedArray[int]",
    turns: "Synchronized[int]",
    complaints: Path,
) -> None:
    die_with_parent()
    asyncio.run(_ask_for_ever(place, counts, turns, complaints))


async def _ask_for_ever(
    place: Place,
    counts: "SynchronizedArray[int]",
    turns: "Synchronized[int]",
    complaints: Path,
) -> None:
    files = place.certificates
    tls = ClientTls(authorities=[files.authority], certificate=files.client, key=files.client_key)
    while True:
        turn = turns.value
        try:
            await _ask(f"127.0.0.1:{place.port}", tls)
        except RpcError as error:
            # odd: a restart goes on; another number: there was one meanwhile
            excused = turn % 2 == 1 or turns.value != turn
            counts[_EXCUSED if excused else _REFUSED] += 1
            if not excused:
                with complaints.open("a", encoding="utf-8") as out:
                    out.write(f"{error}\n")
        else:
            counts[_SERVED] += 1
        await asyncio.sleep(_PAUSE_S)


async def _ask(target: str, tls: ClientTls) -> None:
    """One round; every round shakes hands anew."""
    dropped = flow_pb2.FlowFilter(verdict=[flow_pb2.Verdict.DROPPED])
    query = observer_pb2.GetFlowsRequest(number=20, whitelist=[dropped])
    channel = Channel(target, ssl=tls, server_name=SERVER_NAME)
    try:
        await channel.unary(
            SERVER_STATUS,
            observer_pb2.ServerStatusRequest(),
            observer_pb2.ServerStatusResponse,
            timeout_s=_LONGEST_S,
        )
        async with channel.server_stream(GET_FLOWS, query, timeout_s=_LONGEST_S) as answer:
            async for _ in answer.batches():
                pass
    finally:
        await channel.close()
