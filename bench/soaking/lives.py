"""A `hubble-server` with one life after the other: same node, same pins, same addresses.

Serves mTLS on TCP and plaintext on a unix socket. A life ends by SIGKILL or by SIGTERM.
"""

import asyncio
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from api.lane.client import Channel
from api.lane.status import RpcError
from api.proto.health import health_pb2
from api.proto.observer import observer_pb2
from bench.clients import SERVER_STATUS
from bench.errors import WrongAnswerError
from bench.processes import LEASHED, program
from bench.soaking.certificates import SERVER_NAME, Certificates
from server.observer_service import HEALTH_NAME

CAPACITY: Final = 131_071
_CHECK: Final = "/grpc.health.v1.Health/Check"
_START_S: Final = 60.0
_STOP_S: Final = 30.0
_CALL_S: Final = 30.0
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the server is found in all of its lives."""

    port: int
    """TCP on 127.0.0.1, with mTLS."""
    unix: str
    """Target of the unix socket."""
    certificates: Certificates

    @classmethod
    def under(cls, folder: Path, certificates: Certificates) -> Self:
        """Choose a free port, and a socket in the folder."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        return cls(port=port, unix=f"unix://{folder / 'hubble.sock'}", certificates=certificates)

    def status(self) -> observer_pb2.ServerStatusResponse:
        """Ask over the unix socket.

        Raises:
            WrongAnswerError: no answer.
        """
        try:
            return asyncio.run(_status(self.unix))
        except RpcError as error:
            raise WrongAnswerError(f"ask for the status: {error}") from error

    def shown_certificate(self) -> bytes:
        """Shake hands over TCP: the server's certificate as DER.

        Raises:
            WrongAnswerError: it does not let us.
        """
        files = self.certificates
        context = ssl.create_default_context(cafile=str(files.authority))
        context.load_cert_chain(files.client, files.client_key)
        context.set_alpn_protocols(["h2"])
        try:
            with (
                socket.create_connection(("127.0.0.1", self.port), _CALL_S) as plain,
                context.wrap_socket(plain, server_hostname=SERVER_NAME) as secure,
            ):
                return secure.getpeercert(binary_form=True) or b""
        except OSError as error:
            raise WrongAnswerError(f"shake hands with the server: {error}") from error


class Life:
    """A server process from start to end."""

    def __init__(self, *, name: str, arguments: Sequence[str], place: Place, log: Path) -> None:
        """Start it; `wait_until_ready` is for later."""
        command = [*LEASHED, str(program("hubble-server")), "--node-name", name, *arguments]
        command += ["--listen-address", f"127.0.0.1:{place.port}", "--log-level", "warning"]
        command += ["--socket-path", place.unix.removeprefix("unix://")]
        command += ["--event-buffer-capacity", str(CAPACITY), *place.certificates.server_flags()]
        self._place = place
        self._log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.pid = self._process.pid

    def wait_until_ready(self) -> None:
        """Ask its health service until it serves.

        Raises:
            WrongAnswerError: it ended, or takes too long.
        """
        deadline = time.monotonic() + _START_S
        while not asyncio.run(_is_ready(self._place.unix)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise WrongAnswerError(f"start hubble-server: not ready, it said: {self.said()}")
            time.sleep(_LOOK_S)

    def end(self, how: signal.Signals) -> None:
        """End it by SIGKILL or SIGTERM.

        Raises:
            WrongAnswerError: it had ended before, does not end, or ends badly.
        """
        if self._process.poll() is not None:
            raise WrongAnswerError(f"hubble-server ended by itself, it said: {self.said()}")
        self._process.send_signal(how)
        try:
            status = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired as error:
            raise WrongAnswerError(f"end hubble-server: alive {_STOP_S:.0f} s after") from error
        expected = 0 if how is signal.SIGTERM else -signal.SIGKILL
        if status != expected:
            raise WrongAnswerError(f"end hubble-server: status {status}, expected {expected}")

    def close(self) -> None:
        """Leave nothing behind, however it went."""
        self._process.kill()
        self._process.wait()

    def said(self) -> str:
        """The last of its log."""
        return self._log.read_text(errors="replace").strip()[-1000:] or "nothing"


async def _status(target: str) -> observer_pb2.ServerStatusResponse:
    channel = Channel(target)
    try:
        request = observer_pb2.ServerStatusRequest()
        return await channel.unary(
            SERVER_STATUS, request, observer_pb2.ServerStatusResponse, timeout_s=_CALL_S
        )
    finally:
        await channel.close()


async def _is_ready(target: str) -> bool:
    channel = Channel(target)
    request = health_pb2.HealthCheckRequest(service=HEALTH_NAME)
    try:
        answer = await channel.unary(
            _CHECK, request, health_pb2.HealthCheckResponse, timeout_s=_CALL_S
        )
    except RpcError:
        return False
    finally:
        await channel.close()
    return answer.status == health_pb2.HealthCheckResponse.SERVING
