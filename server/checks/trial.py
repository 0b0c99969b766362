"""The trial: our own programs compiled, loaded and attached for real, where nobody is hurt.

A child process (`python -m server.checks.trial FOLDER ATTACH MODE`) takes a mount and a network
namespace of its own, with a bpffs and a veth pair in them; loads the datapath there, sends one
packet and waits for its sample. All of it ends with the child. In the parent: the child's words →
Finding.
"""

import asyncio
import ctypes
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from pyroute2 import IPRoute, NetlinkError

from observer.kernel.datapath import Attach, Datapath, EndpointEntry, LeadsTo
from observer.kernel.errors import KernelError
from observer.kernel.rings import PerfRings, RingSettings
from server.checks.finding import Finding, blocker, fine, warning
from server.settings import Settings

_CLONE_NEWNS, _CLONE_NEWNET = 0x0002_0000, 0x4000_0000
_MS_REC, _MS_PRIVATE = 0x4000, 0x4_0000
_NOT_TRIED: Final = 2
_PACKET_S: Final = 10.0
_CHILD_S: Final = 150.0
_RING_BYTES: Final = 1 << 16
_ADDRESS: Final = IPv4Address("192.0.2.1")  # for documentation: nobody's
_CONNECTIONS: Final = 1024
_libc = ctypes.CDLL(None, use_errno=True)


def trial(settings: Settings) -> Finding:
    """Load the programs and let them see a packet; a second or two."""
    name = "trial"
    with tempfile.TemporaryDirectory(prefix="hubble-server-check-") as folder:
        child = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", __name__, folder, settings.attach, settings.mode],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=_CHILD_S,
            check=False,
        )
    words = child.stderr.strip() or "the child process died without a word"
    if child.returncode == _NOT_TRIED:
        return warning(name, f"not tried: {words}", "run as root, with CAP_SYS_ADMIN")
    if child.returncode:
        return blocker(name, words, "see the findings above; the last line says what is missing")
    told = json.loads(child.stdout)
    clsact = "works, too" if told["clsact"] else "is missing"
    return fine(
        name,
        f"programs compiled and attached ({settings.attach}) in {told['load_s']:.1f} s, "
        f"a packet was reported; clsact {clsact}",
    )


def main() -> None:
    """Be the child."""
    folder, attach, is_observing = Path(sys.argv[1]), Attach(sys.argv[2]), sys.argv[3] == "observe"
    try:
        _isolate()
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        sys.exit(_NOT_TRIED)
    try:
        told = _try_all(folder, attach, is_observing=is_observing)
    except (KernelError, OSError, NetlinkError) as error:
        sys.exit(str(error))
    print(json.dumps(told))


def _isolate() -> None:
    """Leave the machine's network and mounts; what is mounted from here on ends with us."""
    if _libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}")
    if _libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) < 0:
        raise OSError(ctypes.get_errno(), f"mount: {os.strerror(ctypes.get_errno())}")


def _try_all(folder: Path, attach: Attach, *, is_observing: bool) -> dict[str, object]:
    with IPRoute() as links:
        links.link("add", ifname="host0", kind="veth", peer="pod0")
        numbers = {name: socket.if_nametoindex(name) for name in ("host0", "pod0")}
        for number in numbers.values():
            links.link("set", index=number, state="up")
        begun_s = time.perf_counter()
        loaded = Datapath.load(
            node="check",
            bpffs=folder,
            conntrack_entries=_CONNECTIONS,
            attach=attach,
            is_observing=is_observing,
        )
        with closing(loaded) as datapath:
            if is_observing:
                datapath.observe(numbers["host0"], LeadsTo.ENDPOINT)
            else:
                datapath.upsert_endpoint(_endpoint(numbers["host0"]))
                datapath.attach(numbers["host0"])
            load_s = time.perf_counter() - begun_s
            asyncio.run(_see_packet(datapath))
        return {"load_s": load_s, "clsact": _has_clsact(links, numbers["pod0"])}


async def _see_packet(datapath: Datapath) -> None:
    """Send a packet as the pod would; KernelError if the programs do not report it."""
    settings = RingSettings(size_bytes=_RING_BYTES)
    with closing(PerfRings(install=datapath.install_ring, settings=settings)) as rings:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as pod:
            pod.bind(("pod0", 0))
            pod.send(_frame())
        try:
            async with asyncio.timeout(_PACKET_S):
                async for batch in rings.batches():
                    if len(batch):
                        return
        except TimeoutError:
            raise KernelError(f"report packet: no sample after {_PACKET_S} s") from None


def _frame() -> bytes:
    """Write an Ethernet frame with an IPv4 packet of protocol 253, for experiments (RFC 3692)."""
    ethernet = b"\xff" * 6 + bytes(6) + b"\x08\x00"
    header = b"\x45\0\0\x14" + bytes(4) + b"\x40\xfd\0\0"
    return ethernet + header + _ADDRESS.packed + _ADDRESS.packed + bytes(26)


def _endpoint(ifindex: int) -> EndpointEntry:
    return EndpointEntry(
        endpoint_id=1,
        identity=256,
        ifindex=ifindex,
        ipv4=_ADDRESS,
        ipv6=None,
        mac=bytes(6),
        host_mac=bytes(6),
        enforce_ingress=False,
        enforce_egress=False,
    )


def _has_clsact(links: IPRoute, ifindex: int) -> bool:
    try:
        links.tc("add", "clsact", ifindex)
    except NetlinkError:
        return False
    return True


if __name__ == "__main__":
    main()
