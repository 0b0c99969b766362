"""A relay under test: a real `hubble-relay` process, the nodes behind it, and who reads from it.

Nodes are real servers that play recordings, or those of `bench.flow_nodes`, which cost next to
nothing, so that it is the relay that is measured. All listen on free loopback ports and end with
the bench.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.proto.observer import observer_pb2
from bench.clients import GET_FLOWS, SERVER_STATUS
from bench.errors import WrongAnswerError
from bench.framing import PREFIX, messages
from bench.http2 import RawConnection
from bench.processes import LEASHED, Usage, program, stop, usage

_START_S: Final = 120.0
_LOOK_S: Final = 0.05
_SCRIPT: Final = Path(__file__).with_name("flow_nodes.py")
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A relay that runs and has all its nodes."""

    target: str
    pid: int

    def usage(self) -> Usage:
        """Read what it holds and has used."""
        return usage(self.pid)


@contextmanager
def cheap_nodes(
    flows: Path, socket: Path, *arguments: str, addresses: Sequence[str] = ()
) -> Iterator[None]:
    """Run nodes that cost next to nothing, and the peer service for them and for others.

    Args:
        flows: Framed responses of a real server.
        socket: Of the peer service.
        arguments: As `bench.flow_nodes` takes them.
        addresses: Of nodes that run elsewhere.
    """
    command = [*LEASHED, sys.executable, str(_SCRIPT), "--flows", str(flows)]
    command += ["--socket", str(socket), *arguments]
    for address in addresses:
        command += ["--peer", address]
    with subprocess.Popen(  # noqa: S603 - our own script
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise WrongAnswerError("start nodes: they ended")
            yield
        finally:
            process.kill()


@contextmanager
def relaying(socket: Path, *, nodes: int) -> Iterator[Relay]:
    """Run a relay; entered when it is connected to all nodes.

    Raises:
        NotMeasurableError: there is no hubble-relay yet.
        WrongAnswerError: it ended, or does not get that far.
    """
    command = [*LEASHED, str(program("hubble-relay")), "serve", "--disable-client-tls"]
    command += ["--disable-server-tls", "--peer-service", f"unix://{socket}"]
    command += ["--listen-address", "127.0.0.1:0", "--health-listen-address", "127.0.0.1:0"]
    log = socket.with_name("relay.log")
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own script
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        relay = Relay(target=_address(log, process), pid=process.pid)
        _wait_for_nodes(relay, nodes)
        yield relay
    finally:
        stop(process)


def _address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Read from its log where the relay listens."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text(errors="replace").splitlines():
            if " ready " in line:
                break
            if "listening address=" in line:
                return line.partition("address=")[2].split()[0]
        time.sleep(_LOOK_S)
    raise WrongAnswerError(f"start hubble-relay: {log.read_text(errors='replace')[-500:]}")


def _wait_for_nodes(relay: Relay, nodes: int) -> None:
    deadline = time.monotonic() + _START_S
    connected = -1
    while time.monotonic() < deadline:
        with RawConnection(relay.target) as connection:
            [message] = messages(connection.call(SERVER_STATUS, b"").data())
        connected = observer_pb2.ServerStatusResponse.FromString(message).num_connected_nodes.value
        if connected == nodes:
            return
        time.sleep(_LOOK_S)
    raise WrongAnswerError(f"start relay: {connected} of {nodes} nodes connected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a reader got of whole histories."""

    seconds: float
    count: int
    mean_bytes: float
    relay_us: float
    """CPU time of the relay for a flow, microseconds."""


def read_history(relay: Relay, *, number: int, expected: int) -> Read:
    """Read the last `number` flows of each node, and check their order over all.

    Raises:
        WrongAnswerError: another count, or a flow that is older than the one before it.
    """
    request = observer_pb2.GetFlowsRequest(number=number).SerializeToString()
    with RawConnection(relay.target) as connection:
        before = relay.usage().cpu_s
        answer = connection.call(GET_FLOWS, request)
        cpu_s = relay.usage().cpu_s - before
    last_ns = count = size_bytes = 0
    for message in messages(answer.data()):
        response = observer_pb2.GetFlowsResponse.FromString(message)
        if not response.HasField("flow"):
            continue
        time_ns = response.time.seconds * _NS + response.time.nanos
        if time_ns < last_ns:
            raise WrongAnswerError(f"read flow {count}: older than the one before it")
        last_ns, count, size_bytes = time_ns, count + 1, size_bytes + len(message)
    if count != expected:
        raise WrongAnswerError(f"read through relay: {count} flows, expected {expected}")
    return Read(
        seconds=answer.seconds,
        count=count,
        mean_bytes=size_bytes / count,
        relay_us=cpu_s / count * 1e6,
    )


class _Enough(Exception):  # noqa: N818 - no error: how a sink leaves a stream without an end
    pass


def follow_delays_ms(relay: Relay, *, seconds: float, settle_s: float = 2.0) -> list[float]:
    """Follow for a while; how long each flow took from its time to the reader, milliseconds.

    The first seconds are left out: nodes are asked one after the other.

    Raises:
        WrongAnswerError: a flow came out of order.
    """
    chunks: list[tuple[int, memoryview]] = []
    until = time.monotonic() + settle_s + seconds

    def take(payloads: list[memoryview]) -> None:
        now_ns = time.time_ns()
        chunks.extend((now_ns, payload) for payload in payloads)
        if time.monotonic() > until:
            raise _Enough

    request = observer_pb2.GetFlowsRequest(follow=True).SerializeToString()
    began_ns = time.time_ns()
    with RawConnection(relay.target) as connection, suppress(_Enough):
        connection.call(GET_FLOWS, request, sink=take)
    return list(_delays(chunks, began_ns + int(settle_s * _NS)))


def _delays(chunks: list[tuple[int, memoryview]], from_ns: int) -> Iterator[float]:
    data, last_ns = b"", 0
    for arrived_ns, payload in chunks:
        data += payload
        start = 0
        while len(data) - start >= PREFIX.size:
            end = start + PREFIX.size + PREFIX.unpack_from(data, start)[1]
            if end > len(data):
                break
            response = observer_pb2.GetFlowsResponse.FromString(data[start + PREFIX.size : end])
            start = end
            time_ns = response.time.seconds * _NS + response.time.nanos
            if not response.HasField("flow") or time_ns < from_ns:
                continue
            if time_ns < last_ns:
                raise WrongAnswerError("follow through relay: a flow is older than the last")
            last_ns = time_ns
            yield (arrived_ns - time_ns) / 1e6
        data = data[start:]
