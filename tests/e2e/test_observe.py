"""`hubble-server --mode observe` beside somebody else's bridge, from packets to the terminal."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from observer.kernel.netns import inside
from observer.kernel.pins import DEFAULT_BPFFS
from tests.e2e.conftest import RunningServer, running_server
from tests.kernel.bridge import Box, make_box
from tests.kernel.namespaces import ip, namespace, netns_path, remove_leftovers
from tests.server.containers.engine_double import EngineDouble, container, event, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

NODE = f"lvt{os.getpid()}o"
WEB = container("web", "10.9.0.2", "fd00:9::2", labels={"tier": "front"})
POD = """
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop, labels: {app: a}}
spec: {nodeName: NODE}
status: {phase: Running, podIP: 10.9.0.2, podIPs: [{ip: 10.9.0.2}, {ip: "fd00:9::2"}]}
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    remove_leftovers()
    with make_box() as box:
        yield box


@asynccontextmanager
async def observing(box: Box, folder: Path, *words: str | Path) -> AsyncIterator[RunningServer]:
    """Run the server; the loop goes on meanwhile, and an engine with it."""
    command = running_server(
        folder,
        "--mode", "observe",
        "--node-name", NODE,
        "--netns", box.netns,
        "--per-packet",
        *words,
    )  # fmt: skip
    server = await asyncio.to_thread(command.__enter__)
    try:
        yield server
        assert await asyncio.to_thread(server.stop) == 0
    finally:
        await asyncio.to_thread(command.__exit__, None, None, None)


async def eventually(
    server: RunningServer, enough: Callable[[list[dict[str, Any]]], bool], *words: str
) -> list[dict[str, Any]]:
    """Ask until the answer is enough: samples are read within 50 ms of their packet."""
    async with asyncio.timeout(30):
        while not enough(flows := await asyncio.to_thread(server.flows, "--all", *words)):
            pass
    return flows


def send(box: Box, netns: str, to: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with inside(netns_path(netns)), socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", (to, port))


def parties(flow: dict[str, Any]) -> tuple[str, str]:
    """Both ends as people name them."""
    return tuple(
        end.get("pod_name") or ",".join(end["labels"])
        for end in (flow["source"], flow["destination"])
    )  # type: ignore[return-value]


async def test_names_of_containers_host_and_world(box: Box, tmp_path: Path) -> None:
    engine_socket = tmp_path / "engine.sock"
    engine = EngineDouble(listed=[WEB])
    words = ("--interface", "v?", "--container-socket", engine_socket)
    recording = tmp_path / "node.rec"
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(serving(engine, engine_socket))
        server = await opened.enter_async_context(
            observing(box, tmp_path, *words, "--record", recording)
        )
        send(box, box.a.netns, "10.8.0.9", 7001)
        send(box, box.netns, "fd00:9::2", 7002)
        [out] = await eventually(server, bool, "--port", "7001", "--from-pod", "web")
        assert parties(out) == ("web", "reserved:world")
        assert out["source"]["workloads"] == [{"name": "web", "kind": "Container"}]
        assert out["source"]["labels"] == ["container:image=nginx:1.27", "container:tier=front"]
        assert (out["traffic_direction"], out["verdict"]) == ("EGRESS", "FORWARDED")
        assert out["trace_observation_point"] == "FROM_ENDPOINT"
        assert out["interface"]["name"] == "va"
        [into] = await eventually(server, bool, "--port", "7002", "--to-label", "container:tier")
        assert parties(into) == ("reserved:host", "web")
        assert (into["traffic_direction"], into["interface"]["name"]) == ("INGRESS", "va")

        engine.listed = [WEB, container("late", "10.9.0.3")]
        engine.tell(event("start"))

        def is_named(flows: list[dict[str, Any]]) -> bool:
            send(box, box.b.netns, "10.8.0.9", 7003)
            return bool(flows)

        await eventually(server, is_named, "--port", "7003", "--from-pod", "default/late")

    replay = ("--replay", recording, "--speed", "max", "--node-name", NODE)
    with running_server(tmp_path, *replay) as played:
        [again] = played.flows("--all", "--port", "7001", "--from-pod", "web")
    assert {**again, "uuid": ""} == {**out, "uuid": ""} | {"interface": again["interface"]}
    assert again["interface"]["index"] == out["interface"]["index"]


async def test_names_of_pods_come_from_the_cluster(box: Box, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "pods.yaml").write_text(POD.replace("NODE", NODE))
    async with observing(box, tmp_path, "--interface", "va", "--state", state) as server:
        send(box, box.a.netns, "10.9.0.3", 7004)
        [flow] = await eventually(server, bool, "--port", "7004", "--from-pod", "shop/a")
        assert "k8s:app=a" in flow["source"]["labels"]
        assert parties(flow)[1] == "reserved:world"


@pytest.mark.parametrize("attach", ["tcx", "clsact"])
async def test_interfaces_come_and_go(box: Box, tmp_path: Path, attach: str) -> None:
    words = ("--interface", "v*", "--container-socket", "none", "--attach", attach)
    async with observing(box, tmp_path, *words) as server:
        with namespace(f"{box.netns}-c") as netns:
            ip("link", "add", "vc", "type", "veth", "peer", "name", "eth0", "netns", netns,
               netns=box.netns)  # fmt: skip
            ip("addr", "add", "10.7.0.2/24", "dev", "eth0", netns=netns)
            ip("link", "set", "eth0", "up", netns=netns)
            ip("link", "set", "vc", "up", netns=box.netns)
            ip("neigh", "add", "10.7.0.9", "lladdr", "02:00:00:00:00:09", "dev", "eth0",
               netns=netns)  # fmt: skip

            def is_seen(flows: list[dict[str, Any]]) -> bool:
                send(box, netns, "10.7.0.9", 7005)
                return bool(flows)

            [flow, *_] = await eventually(server, is_seen, "--port", "7005")
            assert flow["interface"]["name"] == "vc"
        # gone with its namespace; the others are still looked at
        send(box, box.a.netns, "10.9.0.3", 7006)
        await eventually(server, bool, "--port", "7006")


def programs(box: Box) -> str:
    """What is attached in the box by clsact; tcx goes with its pins."""
    with inside(netns_path(box.netns)):
        words = ["tc", "filter", "show", "dev", "va", "ingress"]
        shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return shown + "".join(str(pin) for pin in DEFAULT_BPFFS.glob(f"leavitt/{NODE}*"))


@pytest.mark.parametrize("attach", ["tcx", "clsact"])
async def test_it_leaves_nothing_behind(box: Box, tmp_path: Path, attach: str) -> None:
    words = ("--interface", "v*", "--container-socket", "none", "--attach", attach)
    async with observing(box, tmp_path, *words):
        assert programs(box)
    assert not programs(box)
    async with observing(box, tmp_path, *words) as server:
        server.process.send_signal(signal.SIGKILL)
        assert await asyncio.to_thread(server.process.wait) == -signal.SIGKILL
        server.process.returncode = 0  # as if it had been stopped
    # the programs of one that was killed go on looking, and are taken over
    box.b.forget()
    send(box, box.a.netns, "10.9.0.3", 7007)
    box.b.received(1)
    async with observing(box, tmp_path, *words) as server:
        send(box, box.a.netns, "10.9.0.3", 7008)
        await eventually(server, bool, "--port", "7008")
    assert not programs(box)
