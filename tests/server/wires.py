"""A node and its pods as network namespaces, for tests; everything is gone afterwards.

Names carry the process id. Pods are wired as the lab does it: a veth pair, a route to the pod's
address on the node, a default route through 169.254.1.1 in the pod.
"""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from observer.kernel.netns import inside


def ip(*words: str, netns: str | None = None) -> None:
    where = ["-n", netns] if netns else []
    subprocess.run(["ip", *where, *words], capture_output=True, text=True, check=True)


@dataclass(slots=True)
class WiredNode:
    """A node's namespace, and the pods behind it."""

    name: str
    pods: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return Path("/run/netns") / self.name

    def add_pod(self, name: str, address: str) -> None:
        netns, device = f"{self.name}-{name}", f"lxc-{name}"
        ip("netns", "add", netns)
        self.pods[name] = netns
        ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", netns,
           netns=self.name)  # fmt: skip
        ip("addr", "add", f"{address}/32", "dev", "eth0", netns=netns)
        ip("link", "set", "lo", "up", netns=netns)
        ip("link", "set", "eth0", "up", netns=netns)
        ip("route", "add", "default", "via", "169.254.1.1", "dev", "eth0", "onlink", netns=netns)
        ip("link", "set", device, "up", netns=self.name)
        ip("route", "add", f"{address}/32", "dev", device, netns=self.name)

    def remove_pod(self, name: str) -> None:
        ip("link", "del", f"lxc-{name}", netns=self.name)
        ip("netns", "del", self.pods.pop(name))

    def socket(self, pod: str) -> socket.socket:
        """A TCP socket in the pod."""
        with inside(Path("/run/netns") / self.pods[pod]):
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    def mac(self, pod: str) -> bytes:
        """The MAC of the pod's own end."""
        with inside(Path("/run/netns") / self.pods[pod]):
            probe = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with probe:
            probe.bind(("eth0", 0))
            address: bytes = probe.getsockname()[4]
            return address


@contextmanager
def wired_node(label: str) -> Iterator[WiredNode]:
    node = WiredNode(f"lkt{os.getpid()}-{label}")
    with ExitStack() as stack:
        stack.callback(remove, node)
        ip("netns", "add", node.name)
        ip("link", "set", "lo", "up", netns=node.name)
        yield node


def remove(node: WiredNode) -> None:
    for netns in (*node.pods.values(), node.name):
        with suppress(subprocess.CalledProcessError):
            ip("netns", "del", netns)
