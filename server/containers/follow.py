"""The containers of this machine and their changes, from the engine that runs them.

The same changes that a state folder delivers: all at first, then what differs. After an event of
the engine, or when none came for long, the whole list is asked for again: events alone would leave
gaps. While no engine answers what is known stays, and is compared when one does. Next:
server.cluster.state.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from policy.errors import FieldError
from policy.fields import Field
from server.cluster.errors import ObjectError
from server.cluster.objects import Change, ChangeKind
from server.cluster.read import read_object
from server.containers.documents import container_document
from server.containers.engine import Engine, EngineError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from pathlib import Path

    from server.cluster.objects import ClusterObject, Document, ObjectKey

logger = logging.getLogger(__name__)

MOST_CONTAINERS = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what."""

    settle_s: float = 0.1
    """After an event, for the others that come with it: bounds how often lists are asked for."""
    relist_s: float = 30.0
    """Without any event: an engine may forget to tell."""
    first_retry_s: float = 1.0
    """After the engine failed; doubles up to the most."""
    most_retry_s: float = 30.0


Known = dict["ObjectKey", "tuple[ClusterObject, Document]"]


class Containers:
    """The containers of the engine behind the first of some sockets that is there."""

    def __init__(
        self, sockets: Sequence[Path], *, node_name: str, patience: Patience | None = None
    ) -> None:
        self._sockets = tuple(sockets)
        self._node_name = node_name
        self._patience = patience or Patience()
        self._known: Known = {}
        self._refused: frozenset[str] = frozenset()
        self._failure = ""

    async def changes(self) -> AsyncIterator[tuple[Change, ...]]:
        """Yield all containers first (none if there is no engine yet), then what changes.

        Never ends and never raises; can be cancelled at any time.
        """
        is_first = True
        wait_s = self._patience.first_retry_s
        while True:
            try:
                async for listed in self._lists():
                    wait_s = self._patience.first_retry_s
                    changes = self._take(listed)
                    if changes or is_first:
                        yield changes
                    is_first = False
            except EngineError as error:
                self._fail(str(error))
            if is_first:
                yield ()
            is_first = False
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, self._patience.most_retry_s)

    async def _lists(self) -> AsyncIterator[list[object]]:
        """Yield the list whenever it may have changed, until the engine fails."""
        socket = next((each for each in self._sockets if each.is_socket()), None)
        if socket is None:
            return
        with closing(Engine(socket)) as engine:
            await engine.listen()
            listed = await engine.containers()
            logger.info("container engine answers socket=%s containers=%d", socket, len(listed))
            self._failure = ""
            while True:
                yield listed
                await engine.stirred(self._patience.relist_s)
                await asyncio.sleep(self._patience.settle_s)
                listed = await engine.containers()

    def _fail(self, reason: str) -> None:
        if reason != self._failure:
            logger.warning("container engine fails, names known so far stay reason=%r", reason)
        self._failure = reason

    def _take(self, listed: list[object]) -> tuple[Change, ...]:
        before, self._known = self._known, self._read(listed)
        return tuple(_differences(before, self._known))

    def _read(self, listed: list[object]) -> Known:
        """Read what can be read; the rest is named once."""
        found: Known = {}
        refused: list[str] = []
        if len(listed) > MOST_CONTAINERS:
            refused.append(f"{len(listed)} containers, the first {MOST_CONTAINERS} count")
        for entry in listed[:MOST_CONTAINERS]:
            try:
                document = container_document(Field(entry), node_name=self._node_name)
                read = None if document is None else read_object(document, source="engine")
            except (FieldError, ObjectError) as error:
                refused.append(str(error))
                continue
            if document is not None and read is not None:
                found[read.key] = (read, document)
        for reason in refused:
            if reason not in self._refused:
                logger.warning("container not named reason=%r", reason)
        self._refused = frozenset(refused)
        return found


def _differences(before: Known, after: Known) -> Iterator[Change]:
    for key in before.keys() - after.keys():
        yield _change(ChangeKind.DELETED, before, key)
    for key in after:
        if key not in before:
            yield _change(ChangeKind.ADDED, after, key)
        elif after[key][0] != before[key][0]:
            yield _change(ChangeKind.MODIFIED, after, key)


def _change(
    kind: ChangeKind, known: Mapping[ObjectKey, tuple[ClusterObject, Document]], key: ObjectKey
) -> Change:
    found, document = known[key]
    return Change(kind=kind, object=found, document=document)
