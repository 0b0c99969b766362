"""The whole program: start, pipes, signals."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING

import pytest

from api.lane.wire import Framed, frame
from api.proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from io import BufferedWriter
    from pathlib import Path

    from api.lane.call import Call
    from tests.cli.conftest import Hubble

PROGRAM = (sys.executable, "-c", "import sys; from cli.app import main; sys.exit(main())")
ENVIRON = {"PYTHONWARNINGS": "default"}  # whatever is left open shows on stderr


async def start(*words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *PROGRAM, *words, stdout=PIPE, stderr=PIPE, env=ENVIRON
    )


async def test_prints_flows(hubble: Hubble, responses: list[bytes], golden: Path) -> None:
    hubble.messages = responses
    process = await start("observe", "--server", hubble.address)
    out, err = await process.communicate()
    assert process.returncode == 0
    assert out.decode() == (golden / "compact.out").read_text()
    told = err.decode().splitlines(keepends=True)
    assert (
        "".join(line for line in told if not line.startswith("hint: "))
        == (golden / "compact.err").read_text()
    )


async def test_an_error_is_on_stderr_with_exit_code_1() -> None:
    process = await start("observe", "--server", "127.0.0.1:1")
    out, err = await process.communicate()
    assert (process.returncode, out) == (1, b"")
    assert err.startswith(b"rpc error: code = Unavailable desc = connection error: ")
    assert b"Traceback" not in err


async def test_a_reader_that_had_enough_is_no_error(hubble: Hubble) -> None:
    hubble.messages = [_flow(number) for number in range(20_000)]
    process = await start("observe", "--server", hubble.address)
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]  # what `| head -1` does
    assert await process.stderr.read() == b""
    assert await process.wait() == 0


@pytest.fixture
def full_disk() -> Iterator[BufferedWriter]:
    with open("/dev/full", "wb") as full:
        yield full


async def test_a_full_disk_is_named(
    hubble: Hubble, responses: list[bytes], full_disk: BufferedWriter
) -> None:
    hubble.messages = responses
    words = ("observe", "-s", "--server", hubble.address)
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *words, stdout=full_disk, stderr=PIPE, env=ENVIRON
    )
    _, err = await process.communicate()
    assert (process.returncode, err) == (1, b"write output: No space left on device\n")


def _flow(number: int) -> bytes:
    response = GetFlowsResponse()
    response.flow.Summary = str(number)
    return response.SerializeToString()


async def test_following_shows_flows_at_once_and_ends_with_ctrl_c(
    hubble: Hubble, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_more = asyncio.Event()

    async def get_flows(_: Call, __: GetFlowsRequest) -> AsyncIterator[Framed]:
        yield Framed(frame(_flow(1)), 1)
        await asked_more.wait()
        yield Framed(frame(_flow(2)), 1)
        await asyncio.Event().wait()

    monkeypatch.setattr(hubble, "forward", get_flows)
    process = await start("observe", "--follow", "--server", hubble.address)
    assert process.stdout is not None
    assert (await process.stdout.readline()).endswith(b"(1)\n")
    asked_more.set()
    assert (await process.stdout.readline()).endswith(b"(2)\n")
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


@pytest.mark.parametrize("words", [["version"], ["observe", "--print-raw-filters"]])
def test_starts_without_what_it_does_not_need(words: list[str]) -> None:
    code = (
        "import sys; from cli.app import main; main(); "
        "print(sorted({'bcc', 'numpy', 'grpc', 'observer', 'server'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, check=True, env=ENVIRON
    )
    assert done.stdout.splitlines()[-1] == b"[]"


def test_version_loads_neither_network_nor_protobuf() -> None:
    code = (
        "import sys; from cli.app import main; main(); "
        "print(sorted({'asyncio', 'ssl', 'h2', 'google.protobuf'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "version"], capture_output=True, check=True, env=ENVIRON
    )
    assert done.stdout.splitlines()[-1] == b"[]"
