"""The server under test: a real `hubble-server` process that plays a recording.

It listens on a free loopback port and a socket of its own folder, needs neither root nor BPF, and
is stopped with SIGTERM. What it logs is kept and shown when it fails.
"""

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.proto.health import health_pb2
from api.proto.observer import observer_pb2
from bench.clients import SERVER_STATUS
from bench.cluster import NODE_NAME
from bench.errors import WrongAnswerError
from bench.framing import messages
from bench.http2 import RawConnection
from bench.processes import LEASHED, Usage, program, stop, usage
from server.observer_service import HEALTH_NAME

_CHECK: Final = "/grpc.health.v1.Health/Check"
_START_S: Final = 30.0
_LOOK_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A server that runs."""

    target: str
    """host:port of its Observer service."""
    pid: int

    def status(self) -> observer_pb2.ServerStatusResponse:
        """Ask for its status on a connection of its own."""
        with RawConnection(self.target) as connection:
            [message] = messages(connection.call(SERVER_STATUS, b"").data())
        return observer_pb2.ServerStatusResponse.FromString(message)

    def is_ready(self) -> bool:
        """Ask its health service, as a probe does."""
        request = health_pb2.HealthCheckRequest(service=HEALTH_NAME).SerializeToString()
        with RawConnection(self.target) as connection:
            [message] = messages(connection.call(_CHECK, request).data())
        status = health_pb2.HealthCheckResponse.FromString(message).status
        return status == health_pb2.HealthCheckResponse.SERVING

    def usage(self) -> Usage:
        """Read what it holds and has used."""
        return usage(self.pid)

    def wait_until_seen(self, rows: int) -> None:
        """Wait until so many rows were ever appended.

        Raises:
            WrongAnswerError: it does not get there.
        """
        deadline = time.monotonic() + _START_S
        while (found := self.status().seen_flows) < rows:
            if time.monotonic() > deadline:
                raise WrongAnswerError(f"wait for flows: {found} seen, expected {rows}")
            time.sleep(_LOOK_S)


@contextmanager
def replaying(recording: Path, *, speed: str = "max") -> Iterator[Node]:
    """Run a server on a recording; entered when it is ready.

    With speed max that is when it has played all of it.

    Raises:
        NotMeasurableError: there is no hubble-server yet.
        WrongAnswerError: it ended, or is not ready in time.
    """
    arguments = ["--replay", str(recording), "--speed", speed]
    with serving(arguments, folder=recording.parent) as node:
        yield node


@contextmanager
def serving(
    arguments: list[str],
    *,
    folder: Path,
    node_name: str = NODE_NAME,
    server: Sequence[str | Path] = (),
) -> Iterator[Node]:
    """Run a server with some arguments; entered when it is ready, left when it has ended.

    `server` is what takes them, if not `hubble-server` itself.

    Raises:
        NotMeasurableError: there is no hubble-server yet.
        WrongAnswerError: it ended, or is not ready in time.
    """
    target = f"127.0.0.1:{_free_port()}"
    command = [*LEASHED, *map(str, server or (program("hubble-server"),))]
    command += ["--node-name", node_name, "--listen-address", target]
    command += ["--socket-path", str(folder / "hubble.sock"), "--log-level", "warning", *arguments]
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own script
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        node = Node(target=target, pid=process.pid)
        _wait_until_ready(node, process)
        yield node
    except WrongAnswerError as error:
        said = log.read_text(errors="replace").strip()[-1000:]
        raise WrongAnswerError(f"{error}; hubble-server said: {said or 'nothing'}") from error
    finally:
        stop(process)


def _wait_until_ready(node: Node, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            if node.is_ready():
                return
        except WrongAnswerError:
            if process.poll() is not None:
                raise
        if process.poll() is not None or time.monotonic() > deadline:
            raise WrongAnswerError(f"start hubble-server: not ready after {_START_S:.0f} s")
        time.sleep(_LOOK_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
