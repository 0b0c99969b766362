"""What a node has in the kernel, as people and programs read it."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any

import pytest

from observer.kernel import syscall
from observer.kernel.datapath import Datapath, EndpointEntry
from observer.kernel.errors import KernelError
from observer.kernel.netns import inside
from policy.entries import NO_RULE, Direction, PolicyEntry
from server.commands.get import main, table
from tests.kernel.frames import UDP, Frame
from tests.server.wires import WiredNode, wired_node

NODE = f"lvt{os.getpid()}.get"
PROGRAM = Path(sys.executable).with_name("hubble-server")


@pytest.fixture
def node() -> Iterator[WiredNode]:
    with wired_node("gt") as node:
        node.add_pod("a", "10.9.0.1")
        yield node


@pytest.fixture
def datapath(node: WiredNode) -> Iterator[Datapath]:
    loaded = Datapath.load(node=NODE, netns=node.path, conntrack_entries=1024)
    links = subprocess.run(
        ["ip", "-n", node.name, "-j", "link", "show", "lxc-a"], capture_output=True, check=True
    )
    [link] = json.loads(links.stdout)
    loaded.upsert_endpoint(
        EndpointEntry(
            endpoint_id=77,
            identity=300,
            ifindex=link["ifindex"],
            ipv4=IPv4Address("10.9.0.1"),
            ipv6=IPv6Address("fd00:9::1"),
            mac=node.mac("a"),
            host_mac=bytes.fromhex(link["address"].replace(":", "")),
            enforce_ingress=False,
            enforce_egress=True,
        )
    )
    loaded.upsert_identities({ip_network("10.9.0.0/24"): 2, ip_network("10.9.0.1/32"): 300})
    loaded.replace_policy(
        77,
        [
            rule(identity=0, protocol=17, port=8080, bits=13, cookie=5),
            rule(identity=301, protocol=6, deny=True, cookie=6),
            rule(identity=NO_RULE, deny=True, audit=True, cookie=7),
        ],
    )
    loaded.attach(link["ifindex"])
    yield loaded
    loaded.remove()


def rule(
    *, identity: int, protocol: int = 0, port: int = 0, bits: int = 0, cookie: int, **how: bool
) -> PolicyEntry:
    return PolicyEntry(
        direction=Direction.EGRESS, identity=identity, protocol=protocol, port=port,
        port_prefix_bits=bits, deny=how.get("deny", False), audit=how.get("audit", False),
        cookie=cookie,
    )  # fmt: skip


def got(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    argv = [what, "-o", "json", "--node-name", NODE, "--socket-path", str(tmp_path / "none")]
    assert main(argv, {}) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.kernel
def test_maps(datapath: Datapath, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [endpoint] = got("endpoints", tmp_path, capsys)
    assert endpoint.pop("interface") in datapath.attached()
    assert endpoint == {
        "endpoint": 77, "identity": 300, "addresses": ["10.9.0.1", "fd00:9::1"],
        "ingress": "open", "egress": "enforced", "entries": 3, "labels": [],
    }  # fmt: skip
    common = {"endpoint": 77, "direction": "egress"}
    assert got("policymap", tmp_path, capsys) == [
        {**common, "peer": "any", "port": "8080-8087/UDP", "action": "allow", "cookie": 5},
        {**common, "peer": "301", "port": "TCP", "action": "deny", "cookie": 6},
        {**common, "peer": "unmatched", "port": "any", "action": "audit", "cookie": 7},
    ]
    assert got("ipcache", tmp_path, capsys) == [
        {"network": "10.9.0.0/24", "identity": 2, "labels": ["reserved:world"]},
        {"network": "10.9.0.1/32", "identity": 300, "labels": []},
    ]
    assert [row["identity"] for row in got("identities", tmp_path, capsys)] == [2, 300]
    assert got("conntrack", tmp_path, capsys) == []


@pytest.mark.kernel
def test_connections(
    node: WiredNode, datapath: Datapath, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    datapath.replace_policy(77, [rule(identity=0, cookie=1)])
    frame = Frame(
        source=IPv4Address("10.9.0.1"), destination=IPv4Address("192.0.2.7"), protocol=UDP,
        source_port=4000, destination_port=53,
    )  # fmt: skip
    context = bytearray(192)
    struct.pack_into("=I", context, 40, min(datapath.attached()))
    with inside(node.path):
        syscall.run_program(
            datapath._programs["from_endpoint"], frame.encode(), context=bytes(context), repeat=2,
            room_bytes=2048,
        )  # fmt: skip
    assert got("conntrack", tmp_path, capsys) == [
        {
            "protocol": "UDP", "source": "10.9.0.1:4000", "destination": "192.0.2.7:53",
            "identities": "300 -> 2", "packets": 2, "replies": 0, "state": "open",
        }
    ]  # fmt: skip


@pytest.mark.kernel
def test_a_node_without_maps_is_named() -> None:
    with pytest.raises(KernelError, match=r"read pins: nothing of this version for node nobody: "):
        main(["endpoints", "--node-name", "nobody"], {})


def test_a_table_is_aligned() -> None:
    rows = [{"a": 1, "long": ["x", "y"]}, {"a": 100, "long": []}]
    assert table(rows) == "A     LONG\n1     x,y\n100   -"
    assert table([]) == "nothing"


def test_what_can_be_shown_is_named() -> None:
    result = subprocess.run([PROGRAM, "get", "x"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "endpoints', 'identities', 'policymap', 'conntrack', 'ipcache'" in result.stderr
