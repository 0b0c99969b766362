"""`hubble-lab demo`: the tutorials' world on three nodes, observed, in one command.

    remove leftovers ─► build the lab ─► servers ─► relay ─► policy ─► traffic ─► hubble observe

Ends on Ctrl-C, SIGTERM, after a given time, or with its viewer, and takes everything down. It has
a run and a BPF file system of its own, so that it does not meet a lab that somebody works with.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lab.certificates import make_certificates
from lab.errors import ProcessError
from lab.portforward import HOST, reserve
from lab.processes import record
from lab.programs import path_of, typed
from lab.servers import (
    CLUSTER,
    LOOK_S,
    relay_ready,
    servers_ready,
    start_port_forward,
    start_relay,
    start_servers,
)
from lab.session import SCENARIOS, build, publish, scenario, take_down
from lab.traffic import check_commands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.certificates import TlsFiles
    from lab.runs import Run
    from lab.session import Lab

SCENARIO = "galaxy"
DEFAULT_PORT = 4245
"""The relay's usual one: there `hubble` finds it without flags."""

CERTIFICATE_DAYS = 30

VIEWER_EXIT_S = 3.0
VIEWER_STOPPED = {0, 128 + signal.SIGINT, -signal.SIGINT}
"""How the viewer may end when Ctrl-C, which the terminal sends to it too, reaches it first."""


async def run_demo(run: Run, *, port: int, duration_s: float | None, keep: bool, tls: bool) -> int:
    """Show the demo until it is stopped. Returns 0; LabError says what went wrong."""
    check_commands()
    with run.lock(), _cancelled_by_signals():
        run.remove()  # a demo that was killed may have left a program that still holds the port
        reserve(port).close()
        print("Building the lab …", flush=True)
        lab = build(scenario(SCENARIO), run, plain=False, bpffs=run.own_bpffs)
        try:
            await _show(lab, port, duration_s, _certificates(lab) if tls else None)
        finally:
            # Also after an error: what was asked to be kept can then be looked at.
            if not keep:
                with suppress(OSError):  # the terminal may be closed, or the pipe's reader gone
                    print("\nTaking the lab down …", flush=True)
                take_down(lab)
    if keep:
        print(f"\nLab and servers go on, until: {typed('hubble-lab')} down --run {run.name}")
    return 0


async def _show(lab: Lab, port: int, duration_s: float | None, tls: TlsFiles | None) -> None:
    """Start one thing after another, and return when the time is over or the viewer has ended."""
    print("Starting hubble-server on each node, and hubble-relay …", flush=True)
    start_servers(lab, bpffs=lab.run.own_bpffs, tls=tls)
    await servers_ready(lab)
    start_relay(lab, tls=tls)
    start_port_forward(lab, port)
    await relay_ready(lab, port, tls=tls)
    publish(SCENARIOS / "empire-policy.yaml", lab)
    lab.start_on_machine("traffic", [path_of("hubble-lab"), "traffic", "--run", lab.run.name])
    print(explanation(port, lab.run, tls), flush=True)
    with suppress(TimeoutError):
        async with asyncio.timeout(duration_s):
            await _view(lab, port, tls)


def _certificates(lab: Lab) -> TlsFiles:
    return make_certificates(lab.run.folder / "tls", cluster_name=CLUSTER, days=CERTIFICATE_DAYS)


def explanation(port: int, run: Run, tls: TlsFiles | None = None) -> str:
    """Say what one sees, and what to try next to it, also where another lab is up."""
    hubble, lab = typed("hubble"), typed("hubble-lab")
    server = "" if port == DEFAULT_PORT else f" --server {HOST}:{port}"
    certificates = "" if tls is None else f"\n{_tls_environment(tls)}"
    return f"""
Three nodes, a hubble-server on each, and hubble-relay for them all on localhost:{port}. You see
packets between pods, as eBPF programs on their interfaces saw them; between nodes on both sides:
  tiefighter, a ship of the empire, lands on a deathstar             FORWARDED
  xwing, of the alliance, tries to: the policy empire-only says no   DROPPED
  both ask kube-system/coredns for names; xwing pings tiefighter     FORWARDED

Try in a second terminal, here:{certificates}
  {hubble} status{server}
  {hubble} list nodes{server}
  {hubble} observe{server} --last 20
  {hubble} observe{server} --to-label class=deathstar --verdict DROPPED --follow
  {hubble} observe{server} --from-pod default/xwing
  {hubble} observe{server} --node-name lab-3 --last 5 -o json
  {lab} exec --run {run.name} xwing -- ping -c 1 10.244.1.21
  {lab} exec --run {run.name} tiefighter -- curl -sS -XPOST deathstar/v1/request-landing
  {lab} status --run {run.name}

Ctrl-C ends the demo and takes everything down.
"""


def _tls_variables(tls: TlsFiles) -> dict[str, str]:
    """Give the variables by which `hubble` shows its certificate and checks the relay's."""
    return {
        "HUBBLE_TLS": "true",
        "HUBBLE_TLS_CA_CERT_FILES": str(tls.authority),
        "HUBBLE_TLS_CLIENT_CERT_FILE": str(tls.client.certificate),
        "HUBBLE_TLS_CLIENT_KEY_FILE": str(tls.client.key),
    }


def _tls_environment(tls: TlsFiles) -> str:
    return "\n".join(f"  export {name}={value}" for name, value in _tls_variables(tls).items())


async def _view(lab: Lab, port: int, tls: TlsFiles | None) -> None:
    """Show flows on our own output until the viewer ends. ProcessError if a program dies."""
    # The server is named: the user's own configuration may know another one.
    command = [path_of("hubble"), "observe", "--follow", "--server", f"{HOST}:{port}"]
    environment = os.environ | (_tls_variables(tls) if tls is not None else {})
    viewer = await asyncio.create_subprocess_exec(*command, env=environment)
    record(lab.run.processes, viewer.pid, "viewer")
    try:
        while viewer.returncode is None:
            lab.check_processes()
            with suppress(TimeoutError):
                await asyncio.wait_for(viewer.wait(), LOOK_S)
        if viewer.returncode not in VIEWER_STOPPED:
            lab.check_processes()  # a server or relay that died is the better reason
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
