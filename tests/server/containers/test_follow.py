"""Containers and their changes, from a server that speaks the engine's API on a socket."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.cluster.objects import Change
from server.containers.follow import Containers, Patience
from tests.server.containers.engine_double import EngineDouble, container, event, serving

PATIENCE = Patience(settle_s=0.001, relist_s=60, first_retry_s=0.001, most_retry_s=0.01)
WEB = container("web", "172.17.0.2")
DB = container("db", "172.17.0.3")


def told(changes: tuple[Change, ...]) -> list[tuple[str, str]]:
    return sorted((change.kind.value, change.object.key.name) for change in changes)


class Following:
    """The changes, one batch after the other."""

    def __init__(self, *sockets: Path, patience: Patience = PATIENCE) -> None:
        self._changes = Containers(sockets, node_name="box", patience=patience).changes()

    async def next(self) -> list[tuple[str, str]]:
        return told(await asyncio.wait_for(anext(self._changes), 20))

    async def close(self) -> None:
        await self._changes.aclose()  # type: ignore[attr-defined]


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "engine.sock"


@pytest.fixture
async def following(socket: Path) -> AsyncIterator[Following]:
    found = Following(socket)
    yield found
    await found.close()


async def test_all_at_first_then_what_differs(socket: Path, following: Following) -> None:
    engine = EngineDouble(listed=[WEB])
    async with serving(engine, socket):
        assert await following.next() == [("ADDED", "web")]
        assert engine.filters == [{"type": ["container", "network"]}]
        engine.listed = [WEB, DB]
        engine.tell(event("connect", "network"), event("start"))
        assert await following.next() == [("ADDED", "db")]
        engine.listed = [container("web", "172.17.0.9")]
        engine.tell(event("die"))
        assert await following.next() == [("DELETED", "db"), ("MODIFIED", "web")]


async def test_noise_asks_for_nothing(socket: Path, following: Following) -> None:
    engine = EngineDouble(listed=[WEB])
    async with serving(engine, socket):
        await following.next()
        engine.tell(event("exec_start: sh -c true"), event("health_status: healthy"))
        engine.listed = []
        engine.tell(event("die"))
        assert await following.next() == [("DELETED", "web")]
        assert engine.lists == 2


async def test_what_matters_not_is_no_change(socket: Path, following: Following) -> None:
    engine = EngineDouble(listed=[WEB])
    async with serving(engine, socket):
        await following.next()
        engine.listed = [WEB | {"Status": "Up 4 minutes"}]
        engine.tell(event("update"))
        engine.tell(event("update"))
        engine.listed = [WEB | {"Image": "nginx:1.28"}]
        engine.tell(event("update"))
        assert await following.next() == [("MODIFIED", "web")]


@pytest.mark.parametrize("rest", [b"no json\n", b"[]\n", b"7\n", b"x" * (2 << 20)])
async def test_an_event_that_cannot_be_read_may_be_news(
    socket: Path, following: Following, rest: bytes
) -> None:
    engine = EngineDouble(listed=[WEB])
    async with serving(engine, socket):
        await following.next()
        engine.listed = []
        engine.lines.put_nowait(rest)
        assert await following.next() == [("DELETED", "web")]


async def test_an_event_in_pieces_is_one(socket: Path, following: Following) -> None:
    engine = EngineDouble(listed=[WEB])
    whole = json.dumps(event("die")).encode() + b"\n"
    async with serving(engine, socket):
        await following.next()
        engine.listed = []
        for part in (whole[:10], whole[10:50], whole[50:]):
            engine.lines.put_nowait(part)
        assert await following.next() == [("DELETED", "web")]


async def test_without_engine_nobody_waits_and_one_may_come(
    socket: Path, following: Following
) -> None:
    assert await following.next() == []
    async with serving(EngineDouble(listed=[WEB]), socket):
        assert await following.next() == [("ADDED", "web")]


async def test_an_engine_that_restarts_is_compared(socket: Path, following: Following) -> None:
    engine = EngineDouble(listed=[WEB])
    async with serving(engine, socket):
        assert await following.next() == [("ADDED", "web")]
        engine.hang_up()
    async with serving(EngineDouble(listed=[DB]), socket):
        assert await following.next() == [("ADDED", "db"), ("DELETED", "web")]


async def test_an_engine_that_tells_late_is_no_hindrance(
    socket: Path, following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.containers.engine.LISTEN_S", 0.01)
    engine = EngineDouble(listed=[WEB], is_late=True)
    async with serving(engine, socket):
        assert await following.next() == [("ADDED", "web")]
        engine.listed = []
        engine.tell(event("die"))
        assert await following.next() == [("DELETED", "web")]


async def test_without_events_the_list_is_asked_for_again(socket: Path) -> None:
    engine = EngineDouble(listed=[WEB])
    following = Following(socket, patience=Patience(settle_s=0.001, relist_s=0.001))
    async with serving(engine, socket):
        assert await following.next() == [("ADDED", "web")]
        engine.listed = []
        assert await following.next() == [("DELETED", "web")]
        await following.close()


async def test_the_first_socket_that_is_there_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "docker.sock", tmp_path / "podman.sock"
    first.write_text("no socket")
    following = Following(first, second)
    async with serving(EngineDouble(listed=[DB]), second):
        assert await following.next() == [("ADDED", "db")]
        await following.close()


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        (EngineDouble(status=500), ": HTTP status 500"),
        (EngineDouble(listed={"message": "no"}), "list containers: expected a list"),
    ],
)
async def test_an_engine_that_fails_is_named_once_and_asked_again(
    socket: Path, engine: EngineDouble, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine.lines = asyncio.Queue()
    following = Following(socket)
    async with serving(engine, socket):
        assert await following.next() == []
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(following.next())
            await asyncio.wait_for(engine.asked_often.wait(), 20)
            engine.status, engine.listed = 200, [WEB]
        assert waiting.result() == [("ADDED", "web")]
        await following.close()
    failures = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert [reason in record.getMessage() for record in failures] == [True]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.0 200 OK\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 20_000,
        b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 200_000,
        b"\xff\xfe\r\n\r\n",
    ],
)
async def test_what_is_no_engine_is_named(
    socket: Path, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    following = Following(socket)
    async with await asyncio.start_unix_server(speak, socket):
        assert await following.next() == []
        await following.close()
    assert "container engine fails" in caplog.text


async def test_a_container_that_cannot_be_read_leaves_the_others(
    socket: Path, following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    engine = EngineDouble(listed=[7, WEB, DB | {"Names": None}, container("x", "no address")])
    async with serving(engine, socket):
        assert await following.next() == [("ADDED", "web")]
        engine.listed = [*engine.listed, container("new", "10.0.0.1")]  # type: ignore[misc]
        engine.tell(event("start"))
        assert await following.next() == [("ADDED", "new")]
    refused = [r.getMessage() for r in caplog.records if "not named" in r.getMessage()]
    assert len(refused) == 3
    assert any("'no address'" in text for text in refused)


async def test_an_answer_has_a_bound(
    socket: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("server.containers.engine.MOST_ANSWER_BYTES", 100)
    following = Following(socket)
    async with serving(EngineDouble(listed=[WEB]), socket):
        assert await following.next() == []
        await following.close()
    assert "more than 100 bytes" in caplog.text
