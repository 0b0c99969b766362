"""`--follow --retry` against servers that go away and come back on the same address."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from api.lane.server import Server
from api.lane.service import service_methods
from api.lane.status import Code, RpcError
from api.lane.wire import Framed, frame
from api.proto.observer import observer_pb2
from api.proto.observer.observer_pb2 import GetFlowsResponse
from bench.processes import program
from bench.recorded import Recorded, record
from cli.app import run
from cli.retry import gaps_between
from tests.cli.conftest import Hubble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from api.lane.call import Call
    from api.proto.observer.observer_pb2 import GetFlowsRequest
    from tests.cli.conftest import Screen

PROGRAM = (sys.executable, "-c", "import sys; from cli.app import main; sys.exit(main())")
START_NS = 1_772_600_767_000_000_000
LIMIT_S = 60


def flow(number: int, node: str = "c/n") -> bytes:
    """Make the flow of a second, counted from the start."""
    response = GetFlowsResponse(node_name=node)
    response.flow.Summary = str(number)
    response.time.FromNanoseconds(START_NS + number * 1_000_000_000)
    response.flow.time.CopyFrom(response.time)
    return response.SerializeToString()


class Kept(Hubble):
    """A server that keeps flows, answers --since from them and then waits."""

    async def get_flows(self, call: Call, request: GetFlowsRequest) -> AsyncIterator[Framed]:
        self.requests.append(request)
        since_ns = request.since.ToNanoseconds() if request.HasField("since") else 0
        kept = [
            message
            for message in self.messages
            if GetFlowsResponse.FromString(message).time.ToNanoseconds() >= since_ns
        ]
        for message in kept[:1] if request.first else kept:
            yield Framed(frame(message), 1)
        if self.error is not None:
            raise self.error
        if request.follow:
            await asyncio.Event().wait()


@asynccontextmanager
async def serving(socket: Path, *messages: bytes) -> AsyncIterator[Kept]:
    """Run a server that ends as a killed one does: at once."""
    kept = Kept(messages=list(messages))
    observer = service_methods(observer_pb2.DESCRIPTOR.services_by_name["Observer"], kept)
    server = Server(observer)
    await server.listen(f"unix://{socket}")
    try:
        yield kept
    finally:
        await server.stop(0)


class Program:
    """The command line as a process, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        return await self._next(self._process.stdout)

    async def error_line(self) -> str:
        return await self._next(self._process.stderr)

    async def told(self, start: str) -> str:
        """Wait for a line of the error stream that starts so."""
        while not (line := await self._next(self._process.stderr)).startswith(start):
            pass
        return line

    async def _next(self, stream: asyncio.StreamReader | None) -> str:
        assert stream is not None
        line = await asyncio.wait_for(stream.readline(), LIMIT_S)
        assert line, "the program has ended"
        return line.decode().removesuffix("\n")

    async def stop(self) -> tuple[int | None, bytes]:
        """Stop it as Ctrl-C does; gives exit code and what was left to read of its output."""
        self._process.terminate()
        out, _ = await self._process.communicate()
        return self._process.returncode, out


@asynccontextmanager
async def following(target: str, *words: str) -> AsyncIterator[Program]:
    command = (*PROGRAM, "observe", "--server", target, "--follow", "--retry", *words)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_goes_on_where_it_broke_off_without_a_gap(tmp_path: Path) -> None:
    socket = tmp_path / "s"
    async with following(f"unix://{socket}", "--since", "2020-01-01") as program:
        for _ in range(2):  # in between nothing that is not so
            reason = await program.error_line()
            assert reason.startswith("connection lost: rpc error: code = Unavailable desc = ")
        async with serving(socket, flow(1), flow(2)):
            assert (await program.line()).endswith("(1)")
            assert (await program.line()).endswith("(2)")
        await program.told("connection lost: ")
        async with serving(socket, flow(1), flow(2), flow(3)) as kept:
            assert (await program.line()).endswith("(3)")
            told = await program.told("connected again after ")
            assert told.endswith("s: nothing is missing")
            assert kept.requests[-1].since.ToNanoseconds() == START_NS + 2_000_000_000


@pytest.mark.parametrize(
    ("output", "mark"),
    [
        (
            "compact",
            (
                "Mar  4 05:06:16.000 EVENTS LOST: an unknown number, while the server was away "
                "(first: Mar  4 05:06:09.000, last: Mar  4 05:06:16.000)"
            ),
        ),
        (
            "json",
            (
                '{"lost_events":{"first":"2026-03-04T05:06:09Z","last":"2026-03-04T05:06:16Z"},'
                '"node_name":"c/n","time":"2026-03-04T05:06:16Z"}'
            ),
        ),
    ],
)
async def test_what_a_new_server_does_not_know_is_marked(
    output: str, mark: str, tmp_path: Path
) -> None:
    socket = tmp_path / "s"
    words = ("--since", "2020-01-01", "-o", output)
    async with following(f"unix://{socket}", *words) as program:
        async with serving(socket, flow(2)):
            assert "2" in await program.line()
        async with serving(socket, flow(9)):
            assert await program.line() == mark
            shown = await program.line()
            assert "(9)" in shown or json.loads(shown)["flow"]["Summary"] == "9"
            told = await program.told("connected again after ")
            assert told.endswith(
                ": flows may be missing from 2026-03-04T05:06:09Z to 2026-03-04T05:06:16Z of c/n"
            )


async def test_says_nothing_beside_the_flows_where_that_is_wanted(tmp_path: Path) -> None:
    socket = tmp_path / "s"
    words = ("--since", "2020-01-01", "--silent-errors")
    async with following(f"unix://{socket}", *words) as program:
        async with serving(socket, flow(1)):
            assert (await program.line()).endswith("(1)")
        async with serving(socket, flow(1), flow(2)):
            assert (await program.line()).endswith("(2)")
        process = program._process
        process.terminate()
        assert await process.communicate() == (b"", b"")


@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED, Code.UNAUTHENTICATED])
async def test_what_waiting_does_not_mend_ends_it(
    code: Code, hubble: Hubble, screen: Screen
) -> None:
    hubble.error = RpcError(code, "no")
    line = ["observe", "--server", hubble.address, "--follow", "--retry"]
    assert await asyncio.to_thread(run, line, screen.surroundings()) == 1
    assert screen.err == f"rpc error: code = {code.go_name} desc = no\n"
    assert len(hubble.requests) == 1


NODE_STATUS = GetFlowsResponse(node_name="c/n", node_status={}).SerializeToString()


@pytest.mark.parametrize("messages", [[], [NODE_STATUS]], ids=["node", "relay"])
async def test_a_wrong_filter_ends_it(
    messages: list[bytes], hubble: Hubble, screen: Screen
) -> None:
    hubble.messages = messages  # a relay tells of its nodes before they refuse
    hubble.error = RpcError(Code.UNKNOWN, "invalid source port filter")
    line = ["observe", "--server", hubble.address, "--follow", "--retry"]
    assert await asyncio.to_thread(run, line, screen.surroundings()) == 1
    assert screen.err == "invalid source port filter\n"
    assert len(hubble.requests) == 1


async def test_what_was_taken_once_is_no_wrong_filter(tmp_path: Path) -> None:
    socket = tmp_path / "s"
    async with following(f"unix://{socket}") as program:
        async with serving(socket, flow(1)) as kept:
            kept.error = RpcError(Code.UNKNOWN, "internal error")
            assert (await program.line()).endswith("(1)")
            told = await program.told("connection lost: ")
            assert told.startswith("connection lost: internal error; trying again in ")
        async with serving(socket, flow(1), flow(2)):
            assert (await program.line()).endswith("(2)")


async def test_waits_grow_while_answers_end_at_once(tmp_path: Path) -> None:
    socket = tmp_path / "s"
    async with serving(socket) as kept, following(f"unix://{socket}") as program:
        kept.error = RpcError(Code.UNAVAILABLE, "not yet")
        told = [await program.told("connection lost: ") for _ in range(3)]
    waits_s = [float(text.rpartition(" ")[2].removesuffix("s")) for text in told]
    assert waits_s[2] > 0.9  # 0.5 s times 1.6 twice, less a fifth


def test_retry_is_for_following(screen: Screen) -> None:
    assert run(["observe", "--retry"], screen.surroundings()) == 1
    assert screen.err == "cannot set --retry without --follow\n"


@pytest.mark.parametrize(
    ("oldest", "gaps"),
    [
        pytest.param({"a": 4, "b": 5}, {}, id="all-kept"),
        pytest.param({"a": 4, "b": 6}, {"b": 6}, id="one-restarted"),
        pytest.param({"b": 7, "a": 6}, {"a": 6, "b": 7}, id="both"),
        pytest.param({}, {"": 9}, id="empty"),
    ],
)
def test_gaps(oldest: dict[str, int], gaps: dict[str, int]) -> None:
    assert gaps_between(5, oldest, 9) == gaps


async def status_of(target: str) -> int:
    """Run `hubble status`: 0 once the server is well."""
    words = ("status", "--server", target)
    process = await asyncio.create_subprocess_exec(*PROGRAM, *words, stdout=PIPE, stderr=PIPE)
    await process.communicate()
    return process.returncode or 0


@asynccontextmanager
async def replaying(recording: Recorded, socket: Path) -> AsyncIterator[None]:
    """Run a real server on a recording, reached once it has played it; and kill it."""
    hidden = socket.with_suffix(".hidden")
    words = ("--replay", recording.path, "--speed", "max", "--socket-path", hidden)
    server = await asyncio.create_subprocess_exec(
        program("hubble-server"), "--node-name", "n", "--log-level", "error", *words
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            while await status_of(f"unix://{hidden}") != 0:
                pass
        hidden.rename(socket)
        yield
    finally:
        server.kill()
        await server.wait()


@pytest.fixture
def recordings(tmp_path: Path) -> list[Recorded]:
    """Make a recording of 200 flows, and one that begins as this does, and goes on to 400."""
    return [
        record(tmp_path / f"{parts}.rec", samples=200, batch_rows=50, parts=parts, pause_s=1.0)
        for parts in (1, 2)
    ]


async def test_a_real_server_is_killed_and_started_again(
    recordings: list[Recorded], tmp_path: Path
) -> None:
    socket = tmp_path / "hubble.sock"
    shown: list[str] = []
    words = ("--since", "2020-01-01", "--time-format", "RFC3339Nano")
    async with following(f"unix://{socket}", *words) as hubble:
        for recording, count in zip(recordings, (200, 400), strict=True):
            async with replaying(recording, socket):
                while len(shown) < count:
                    shown.append(await hubble.line())
            await hubble.told("connection lost: rpc error: code = Unavailable desc = error reading")
        assert await hubble.stop() == (-15, b"")
    assert shown == sorted(shown)
    assert len({line.partition(": ")[0] for line in shown}) == len(shown) == 400
