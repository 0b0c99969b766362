"""`hubble-lab demo`: the tutorials' world, observed, in one command.

    remove leftovers ─► build the lab ─► hubble-server ─► policy ─► traffic ─► hubble observe

Ends on Ctrl-C, SIGTERM, after a given time, or with its viewer, and takes everything down. It has
a run and a BPF file system of its own, so that it does not meet a lab that somebody works with.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from api.lane.client import Channel
from api.lane.status import RpcError
from api.proto.health.health_pb2 import HealthCheckRequest, HealthCheckResponse
from lab.errors import LabError, ProcessError
from lab.processes import record
from lab.programs import path_of, typed
from lab.session import SCENARIOS, build, publish, scenario, take_down
from lab.traffic import check_commands

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.runs import Run
    from lab.session import Lab

NODE = "lab-1"
HOST = "127.0.0.1"
DEFAULT_PORT = 4245
"""Where the relay will answer once it exists, so that `hubble` works without flags."""

READY_S = 60.0
"""How long the server may take to get ready; on a slow machine its compiler needs some seconds."""

LOOK_S = 0.2
"""How often the demo looks whether its programs still run."""

VIEWER_EXIT_S = 3.0
VIEWER_STOPPED = {0, 128 + signal.SIGINT, -signal.SIGINT}
"""How the viewer may end when Ctrl-C, which the terminal sends to it too, reaches it first."""


async def run_demo(run: Run, *, port: int, duration_s: float | None, keep: bool) -> int:
    """Show the demo until it is stopped. Returns 0; LabError says what went wrong."""
    check_commands()
    with run.lock(), _cancelled_by_signals():
        run.remove()  # a demo that was killed may have left a server that still holds the port
        _check_port_free(port)
        print("Building the lab …", flush=True)
        lab = build(scenario("empire"), run, plain=False, bpffs=run.own_bpffs)
        try:
            await _show(lab, port, duration_s)
        finally:
            # Also after an error: what was asked to be kept can then be looked at.
            if not keep:
                print("\nTaking the lab down …", flush=True)
                take_down(lab)
    if keep:
        print(f"\nLab and server go on, until: {typed('hubble-lab')} down --run {run.name}")
    return 0


async def _show(lab: Lab, port: int, duration_s: float | None) -> None:
    """Start one thing after another, and return when the time is over or the viewer has ended."""
    print("Starting hubble-server …", flush=True)
    lab.start_on_machine("hubble-server", server_command(lab, port))
    await _server_ready(lab)
    publish(SCENARIOS / "empire-policy.yaml", lab)
    lab.start_on_machine("traffic", [path_of("hubble-lab"), "traffic", "--run", lab.run.name])
    print(explanation(port, lab.run), flush=True)
    with suppress(TimeoutError):
        async with asyncio.timeout(duration_s):
            await _view(lab, port)


def server_command(lab: Lab, port: int) -> list[str]:
    """Give the command line of the node's server."""
    return [
        path_of("hubble-server"),
        *("--node-name", NODE),
        *("--cluster-name", "default"),
        *("--state", str(lab.state)),
        *("--netns", str(lab.node_netns(NODE))),
        *("--listen-address", f"{HOST}:{port}"),
        *("--socket-path", str(_socket_path(lab))),
        *("--bpffs", str(lab.run.own_bpffs)),
    ]


def explanation(port: int, run: Run) -> str:
    """Say what one sees, and what to try next to it, also where another lab is up."""
    hubble, lab = typed("hubble"), typed("hubble-lab")
    server = "" if port == DEFAULT_PORT else f" --server {HOST}:{port}"
    return f"""
You see packets between pods, as eBPF programs on their interfaces saw them:
  tiefighter, a ship of the empire, lands on the deathstar           FORWARDED
  xwing, of the alliance, tries to: the policy empire-only says no   DROPPED
  both ask kube-system/coredns for names; xwing pings tiefighter     FORWARDED

Try in a second terminal, here:
  {hubble} status{server}
  {hubble} observe{server} --last 20
  {hubble} observe{server} --verdict DROPPED --follow
  {hubble} observe{server} --from-pod default/xwing
  {hubble} observe{server} --to-label class=deathstar --last 5 -o json
  {lab} exec --run {run.name} xwing -- ping -c 1 10.244.1.21
  {lab} exec --run {run.name} tiefighter -- curl -sS -XPOST deathstar/v1/request-landing
  {lab} status --run {run.name}

Ctrl-C ends the demo and takes everything down.
"""


async def _server_ready(lab: Lab) -> None:
    """Return when the server answers that it serves. ProcessError if it ends or takes too long."""
    channel = Channel(f"unix://{_socket_path(lab)}")
    try:
        async with asyncio.timeout(READY_S):
            while not await _serves(channel):
                lab.check_processes()
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        tail = lab.log_tail("hubble-server")
        raise ProcessError(f"hubble-server is not ready after {READY_S:.0f} s: {tail}") from None
    finally:
        await channel.close()


async def _serves(channel: Channel) -> bool:
    request = HealthCheckRequest(service="hubble.server.Observer")
    try:
        reply = await channel.unary(
            "/grpc.health.v1.Health/Check", request, HealthCheckResponse, timeout_s=1.0
        )
    except RpcError:
        return False  # not listening yet
    return reply.status == HealthCheckResponse.SERVING


async def _view(lab: Lab, port: int) -> None:
    """Show flows on our own output until the viewer ends. ProcessError if a program dies."""
    # The server is named: the user's own configuration may know another one.
    command = [path_of("hubble"), "observe", "--follow", "--server", f"{HOST}:{port}"]
    viewer = await asyncio.create_subprocess_exec(*command)
    record(lab.run.processes, viewer.pid, "viewer")
    try:
        while viewer.returncode is None:
            lab.check_processes()
            with suppress(TimeoutError):
                await asyncio.wait_for(viewer.wait(), LOOK_S)
        if viewer.returncode not in VIEWER_STOPPED:
            raise ProcessError(f"hubble observe ended with status {viewer.returncode}")
    finally:
        await _end_viewer(viewer)


async def _end_viewer(viewer: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        if viewer.returncode is None:
            with suppress(ProcessLookupError):
                viewer.send_signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(viewer.wait(), VIEWER_EXIT_S)


@contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Let SIGINT, SIGTERM and a closed terminal end the block in order, at its next await."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None, "runs in a task"  # noqa: S101 - for the type checker
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    # They stay set: an impatient second Ctrl-C must not cut the taking down short.
    with suppress(asyncio.CancelledError):
        yield


def _check_port_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise LabError(
                f"listen on {HOST}:{port}: {error.strerror}; another hubble-server, relay or"
                " port-forward has it: end that, or give another --port"
            ) from None


def _socket_path(lab: Lab) -> Path:
    return lab.run.folder / "hubble.sock"
