"""Asking a container engine over its unix socket: the containers that run, and word of changes.

Docker's Engine API, which Podman serves as well (`/containers/json`, `/events`, without a version
in the path: the oldest fields are enough). In: a socket. Out: parsed JSON, of which nothing can be
trusted. Every answer has a bound, and every failure is an EngineError. Two questions need no HTTP
library (13 MB): they are asked in HTTP/1.0, where an answer ends with its connection. Next:
server.containers.documents.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

ANSWER_S: Final = 10.0
"""An engine that is busy starting containers may take seconds for a list."""
LISTEN_S: Final = 1.0
"""Podman before 4.0 begins its answer with the first event: nobody waits for that."""
MOST_ANSWER_BYTES: Final = 64 << 20
"""About 4 kB a container."""
MOST_LINE_BYTES: Final = 1 << 20
PART_BYTES: Final = 1 << 16
_LIST: Final = "/containers/json"
_EVENTS: Final = "/events?filters=" + quote(json.dumps({"type": ["container", "network"]}))
_NOISE: Final = ("exec_", "health_status", "top", "attach", "detach", "resize", "archive-path")
"""Beginnings of what happens all the time in a container and changes no name or address."""


class EngineError(Exception):
    """The engine cannot be asked; the message says why."""


class Engine:
    """The engine behind a socket. All methods raise EngineError and can be cancelled."""

    def __init__(self, socket: Path) -> None:
        """Take its socket; `close` when done."""
        self._socket = socket
        self._events: _Answer | None = None
        self._line = bytearray()

    def close(self) -> None:
        """Listen no more."""
        if self._events is not None:
            self._events.close()

    async def containers(self) -> list[object]:
        """Ask for the containers that run, each as /containers/json describes it."""
        with _told("list containers"):
            async with asyncio.timeout(ANSWER_S), _asked(self._socket, _LIST) as answer:
                found = json.loads(await answer.whole())
        if not isinstance(found, list):
            raise EngineError("list containers: expected a list")
        return found

    async def listen(self) -> None:
        """Open the stream of events, so that no change after this is missed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LISTEN_S):
                await self._listen()

    async def stirred(self, most_s: float) -> None:
        """Return when something may have changed, or after `most_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                events = await self._listen()
                while not await self._is_news(events):
                    pass

    async def _listen(self) -> _Answer:
        if self._events is None:
            with _told("listen to events"):
                self._events = await _ask(self._socket, _EVENTS)
        return self._events

    async def _is_news(self, events: _Answer) -> bool:
        """Read what has come, and tell whether one of the events matters."""
        with _told("listen to events"):
            part = await events.part()
        if not part:
            raise EngineError("listen to events: the engine ended the stream")
        *lines, rest = bytes(self._line + part).split(b"\n")
        # of a line without end only the beginning matters: that it is there
        is_endless = len(rest) > MOST_LINE_BYTES
        self._line = bytearray() if is_endless else bytearray(rest)
        return is_endless or any(map(_matters, lines))


class _Answer:
    """An answer of status 200, its head read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def close(self) -> None:
        self._writer.close()

    async def part(self) -> bytes:
        """Read what is there; empty at the end."""
        return await self._reader.read(PART_BYTES)

    async def whole(self) -> bytes:
        body = bytearray()
        while part := await self.part():
            body += part
            if len(body) > MOST_ANSWER_BYTES:
                raise EngineError(f"list containers: more than {MOST_ANSWER_BYTES} bytes")
        return bytes(body)


async def _ask(socket: Path, path: str) -> _Answer:
    reader, writer = await asyncio.open_unix_connection(socket, limit=PART_BYTES)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").lower().splitlines()
        protocol, _, rest = status.partition(" ")
        if not protocol.startswith("http/1.") or any("chunked" in field for field in fields):
            raise EngineError(f"ask {socket}: it does not speak HTTP/1.0")
        if not rest.startswith("200"):
            raise EngineError(f"ask {socket}: HTTP status {rest[:3]}")
    except BaseException:
        writer.close()
        raise
    return _Answer(reader, writer)


@asynccontextmanager
async def _asked(socket: Path, path: str) -> AsyncIterator[_Answer]:
    answer = await _ask(socket, path)
    try:
        yield answer
    finally:
        answer.close()


@contextmanager
def _told(verb: str) -> Iterator[None]:
    """Make an EngineError of whatever an engine, or what pretends to be one, may cause."""
    try:
        yield
    except TimeoutError as error:
        raise EngineError(f"{verb}: no answer after {ANSWER_S} s") from error
    except (OSError, EOFError, ValueError, RecursionError, asyncio.LimitOverrunError) as error:
        raise EngineError(f"{verb}: {error}") from error


def _matters(line: bytes) -> bool:
    """Tell whether an event may have changed what we know; what cannot be read may."""
    if not line.strip():
        return False
    try:
        event = json.loads(line)
        action = event.get("Action") or event.get("status")
    except (ValueError, AttributeError, RecursionError):
        return True
    return not (isinstance(action, str) and action.startswith(_NOISE))
