"""A port of this machine that leads into a lab, with the process that users start."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.app import main
from lab.portforward import HOST, reserve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.session import Lab

pytestmark = pytest.mark.e2e

LAB = str(Path(sys.executable).with_name("hubble-lab"))
WEB = "shop/web"

# Reads to the end, then gives all of it back: only whoever ends its half gets an answer.
REVERSED = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        peer, _ = server.accept()
        with peer, peer.makefile("rb") as read:
            peer.sendall(read.read()[::-1])
"""


def free_port() -> int:
    with reserve(0) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def forwarded(lab: Lab, target: str, inner_port: int) -> Iterator[int]:
    port = free_port()
    command = [LAB, "port-forward", "--run", lab.run.name, target, f"{port}:{inner_port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == (
                f"{HOST}:{port} leads to port {inner_port} of {target}\n"
            )
            yield port
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


def curl(port: int) -> subprocess.CompletedProcess[str]:
    url = f"http://{HOST}:{port}/v1/request-landing"
    words = ["curl", "-sS", "-m5", "--noproxy", "*", "-XPOST", url]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)


def test_a_pod_is_reached_from_outside(plain_lab: Lab) -> None:
    with forwarded(plain_lab, WEB, 80) as port:
        for _ in range(3):
            assert curl(port).stdout == "Ship landed\n"


def test_where_nobody_answers_the_connection_ends(plain_lab: Lab) -> None:
    with forwarded(plain_lab, WEB, 81) as port:
        assert curl(port).returncode in (52, 56)  # empty reply, reset
        assert curl(port).returncode in (52, 56)  # and it goes on


def test_bytes_and_ends_of_either_side_arrive(plain_lab: Lab) -> None:
    node = plain_lab.topology.node("north")
    entrance = [LAB, "exec", "--run", plain_lab.run.name, f"node/{node.name}", "--"]
    sent = bytes(range(256)) * 20_000
    with subprocess.Popen(
        [*entrance, sys.executable, "-c", REVERSED], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            inner_port = int(server.stdout.readline())
            with (
                forwarded(plain_lab, f"node/{node.name}", inner_port) as port,
                socket.create_connection((HOST, port), timeout=20) as client,
            ):
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                with client.makefile("rb") as read:
                    assert read.read() == sent[::-1]
        finally:
            server.kill()


def test_a_taken_port_is_named(plain_lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        words = ["port-forward", "--run", plain_lab.run.name, WEB, f"{port}:80"]
        assert main(words) == 1
    assert capsys.readouterr().err.startswith(
        f"hubble-lab: listen on {HOST}:{port}: Address already in use; "
    )


@pytest.mark.parametrize("ports", ["0", "80:0", "a:80", "80:", "1:2:3"])
def test_ports_that_are_none(ports: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["port-forward", WEB, ports])
    assert "want a port from 1 to 65535" in capsys.readouterr().err
