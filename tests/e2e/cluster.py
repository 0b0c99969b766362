"""Three nodes of a lab with a server on each, and a relay: asked as users ask, by `hubble`."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.certificates import TlsFiles
from lab.portforward import HOST, reserve
from lab.servers import (
    relay_ready,
    server_socket,
    servers_ready,
    start_port_forward,
    start_relay,
    start_servers,
)
from lab.session import Lab, open_lab, scenario

PROGRAMS = Path(sys.executable).parent
LANDING = "/v1/request-landing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A lab whose servers are ready."""

    lab: Lab
    tls: TlsFiles | None

    def hubble(self, node: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Ask the server of a node, by its unix socket."""
        socket = server_socket(self.lab, self.lab.topology.node(node))
        return hubble(*words, "--server", f"unix://{socket}")

    def flows(self, node: str, *words: str) -> list[dict[str, Any]]:
        """Flows that a node's server shows as JSON; fails if it fails."""
        return flows_of(self.hubble(node, "observe", "--all", "-o", "json", *words))

    def watched_peers(self, node: str) -> subprocess.Popen[str]:
        """Follow the peers as a node tells them; to be used in a `with`, and killed."""
        socket = server_socket(self.lab, self.lab.topology.node(node))
        command = [str(PROGRAMS / "hubble"), "watch", "peers", "--server", f"unix://{socket}"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def lands(self, pod: str, address: str, *, wait_s: float = 5.0) -> bool:
        """Tell whether a pod may land at an address."""
        host = f"[{address}]" if ":" in address else address
        words = ["curl", "-sS", "--max-time", str(wait_s), "-XPOST", f"http://{host}{LANDING}"]
        return self.lab.execute(pod, words).stdout == "Ship landed\n"


def hubble(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `hubble` to its end."""
    return subprocess.run(
        [PROGRAMS / "hubble", *words], capture_output=True, text=True, check=False, timeout=60
    )


def flows_of(observed: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Take the flows out of what `hubble observe -o json` printed."""
    assert observed.returncode == 0, observed.stderr
    responses = [json.loads(line) for line in observed.stdout.splitlines()]
    return [response["flow"] for response in responses if "flow" in response]


@contextmanager
def open_cluster(run: str, *, tls: TlsFiles | None = None) -> Iterator[Cluster]:
    """Have the tutorials' world on three nodes, with servers, for the length of a block."""
    with open_lab(scenario("galaxy"), run=run, own_bpffs=True) as lab:
        start_servers(lab, bpffs=lab.run.own_bpffs, tls=tls)
        asyncio.run(servers_ready(lab))
        yield Cluster(lab=lab, tls=tls)


def add_relay(cluster: Cluster) -> str:
    """Start a relay, wait until it is connected to all nodes, and give its address."""
    with reserve(0) as free:
        port = free.getsockname()[1]
    start_relay(cluster.lab, tls=cluster.tls)
    start_port_forward(cluster.lab, port)
    asyncio.run(relay_ready(cluster.lab, port, tls=cluster.tls))
    return f"{HOST}:{port}"
