"""Two servers on one machine: ports from the annotations of their nodes, and a relay for both."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from lab.portforward import HOST, reserve
from observer.kernel import pins
from tests.e2e.conftest import PROGRAMS, RunningServer, running_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

NAMES = tuple(f"one{os.getpid()}{letter}" for letter in "ab")
NODE = """
apiVersion: v1
kind: Node
metadata: {{name: {name}, annotations: {{leavitt.io/hubble-port: "{port}"}}}}
status: {{addresses: [{{type: InternalIP, address: 127.0.0.1}}]}}
---
"""


@pytest.fixture(scope="module")
def ports() -> list[int]:
    held = [reserve(0) for _ in range(4)]
    numbers = [int(sock.getsockname()[1]) for sock in held]
    for sock in held:
        sock.close()
    return numbers


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, ports: list[int]
) -> Iterator[list[RunningServer]]:
    folder = tmp_path_factory.mktemp("machine")
    state = folder / "state"
    state.mkdir()
    text = "".join(NODE.format(name=n, port=p) for n, p in zip(NAMES, ports, strict=False))
    (state / "nodes.yaml").write_text(text)
    try:
        with (
            started(folder / NAMES[0], state, NAMES[0], ports[0]) as first,
            started(folder / NAMES[1], state, NAMES[1], ports[1]) as second,
        ):
            yield [first, second]
    finally:
        for name in NAMES:
            pins.take(node=name, bpffs=pins.DEFAULT_BPFFS).remove()


def started(
    folder: Path, state: Path, name: str, port: int
) -> AbstractContextManager[RunningServer]:
    folder.mkdir()
    words = ("--node-name", name, "--state", state, "--listen-address", f"{HOST}:{port}")
    return running_server(folder, *words)


@pytest.mark.parametrize("which", [0, 1])
def test_both_tell_the_same(servers: list[RunningServer], ports: list[int], which: int) -> None:
    command = ["watch", "peers", "--server", f"unix://{servers[which].socket}"]
    with subprocess.Popen(
        [PROGRAMS / "hubble", *command], stdout=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stdout is not None
        told = [watch.stdout.readline().split() for _ in NAMES]
        watch.kill()
    assert told == [["PEER_ADDED", f"{HOST}:{ports[at]}", NAMES[at]] for at in (0, 1)]


def test_a_relay_finds_both(servers: list[RunningServer], ports: list[int]) -> None:
    relay = f"{HOST}:{ports[2]}"
    command: list[str | Path] = [
        *(PROGRAMS / "hubble-relay", "--peer-service", f"unix://{servers[0].socket}"),
        *("--listen-address", relay, "--health-listen-address", f"{HOST}:{ports[3]}"),
        *("--disable-client-tls", "--disable-server-tls"),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            while "Connected Nodes: 2/2" not in status(relay):
                assert process.poll() is None
        finally:
            process.kill()


def status(server: str) -> str:
    return subprocess.run(
        [PROGRAMS / "hubble", "status", "--server", server],
        capture_output=True, text=True, check=False, timeout=60,
    ).stdout  # fmt: skip
