"""`--port-forward` against a small Kubernetes API over real sockets, in front of a real server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import WSMsgType, web

from api.proto.observer.observer_pb2 import GetFlowsResponse, ServerStatusResponse
from cli.app import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.cli.conftest import Hubble, Screen

POD = {
    "metadata": {"name": "hubble-relay-1", "namespace": "kube-system"},
    "spec": {"containers": [{"name": "relay", "ports": [{"name": "grpc", "containerPort": 4245}]}]},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}
SERVICE = {
    "metadata": {"name": "hubble-relay"},
    "spec": {
        "selector": {"k8s-app": "hubble-relay"},
        "ports": [{"port": 80, "targetPort": "grpc"}, {"port": 99}],
    },
}
# When the cluster closes first, the package's thread leaves its socket to the collector, or ends
# with the error of the connection.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
STREAMS = "v4.channel.k8s.io"
# The usual port may be taken on this machine.
ANY_PORT = ("status", "-P", "--port-forward-port", "0")


@dataclass
class Kubernetes:
    """The part of the Kubernetes API that a port-forward needs, in front of one address."""

    behind: str
    service: dict[str, Any] = field(default_factory=lambda: json.loads(json.dumps(SERVICE)))
    pods: list[dict[str, Any]] = field(default_factory=lambda: json.loads(json.dumps([POD])))
    refuse: bool = False
    """Answer tunnels with an error."""
    forbid: bool = False
    """Tell that the user may do nothing."""
    asked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    url: str = ""

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/api/v1/namespaces/{namespace}/services/{name}", self._service)
        application.router.add_get("/api/v1/namespaces/{namespace}/pods", self._pods)
        application.router.add_get(
            "/api/v1/namespaces/{namespace}/pods/{name}/portforward", self._tunnel
        )
        return application

    def _note(self, request: web.Request) -> None:
        self.asked.append(request.path_qs.removeprefix("/api/v1/namespaces/"))
        self.tokens.add(request.headers.get("authorization"))

    async def _service(self, request: web.Request) -> web.Response:
        self._note(request)
        if self.forbid:
            return _failure('services "hubble-relay" is forbidden: User "u" cannot get', 403)
        if request.match_info["namespace"] != "kube-system":
            return _failure('services "hubble-relay" not found', 404)
        return web.json_response({"kind": "Service", "apiVersion": "v1", **self.service})

    async def _pods(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "items": self.pods})

    async def _tunnel(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        if self.refuse:
            return _failure("pod is not running", 400)
        tunnel = web.WebSocketResponse(protocols=(STREAMS,))
        await tunnel.prepare(request)
        port = int(request.query["ports"]).to_bytes(2, "little")
        # A channel for data, one for errors; the first frame of each names the port.
        await tunnel.send_bytes(b"\0" + port)
        await tunnel.send_bytes(b"\1" + port)
        reader, writer = await asyncio.open_connection(*self.behind.split(":"))
        try:
            async with asyncio.TaskGroup() as ways:
                back = ways.create_task(_back(reader, tunnel))
                async for message in tunnel:
                    assert message.type is WSMsgType.BINARY
                    assert message.data[0] == 0
                    writer.write(message.data[1:])
                back.cancel()
        finally:
            writer.close()
            await writer.wait_closed()
        return tunnel


async def _back(reader: asyncio.StreamReader, tunnel: web.WebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError):  # the other end left first
        while data := await reader.read(65_536):
            await tunnel.send_bytes(b"\0" + data)
        await tunnel.close()


def _failure(message: str, code: int) -> web.Response:
    return web.json_response({"kind": "Status", "message": message, "code": code}, status=code)


@pytest.fixture(autouse=True)
def tunnels_end() -> Iterator[None]:
    """Let the package's threads end here, and not in a test that knows nothing of them."""
    hook = threading.excepthook
    yield
    threading.excepthook = hook
    for thread in threading.enumerate():
        if thread.name.startswith("Kubernetes port forward proxy"):
            thread.join(5)
    gc.collect()


@pytest.fixture
async def kubernetes(hubble: Hubble) -> AsyncIterator[Kubernetes]:
    kubernetes = Kubernetes(hubble.address)
    runner = web.AppRunner(kubernetes.application(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    kubernetes.url = f"http://{host}:{port}"
    try:
        yield kubernetes
    finally:
        await runner.cleanup()


def kubeconfig_text(url: str) -> str:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "here",
        }
    )


@pytest.fixture
def kubeconfig(kubernetes: Kubernetes, tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig_text(kubernetes.url))
    return path


async def hubble_line(screen: Screen, kubeconfig: Path, *words: str) -> int:
    """Run a command in a thread: it brings its own event loop."""
    forward = ("-P", "--port-forward-port", "0", "--kubeconfig", str(kubeconfig))
    return await asyncio.to_thread(run, [*words, *forward], screen.surroundings())


async def test_status(
    hubble: Hubble, kubernetes: Kubernetes, kubeconfig: Path, screen: Screen
) -> None:
    hubble.status = ServerStatusResponse(num_flows=3, max_flows=4)
    assert await hubble_line(screen, kubeconfig, "status") == 0
    assert screen.out.startswith("Healthcheck (via 127.0.0.1:")
    assert "Current/Max Flows: 3/4 (75.00%)\n" in screen.out
    assert kubernetes.asked == [
        "kube-system/services/hubble-relay",
        "kube-system/pods?labelSelector=k8s-app%3Dhubble-relay",
        "kube-system/pods/hubble-relay-1/portforward?ports=4245",
    ]
    assert kubernetes.tokens == {"Bearer secret"}
    assert screen.err == ""


async def test_many_flows_come_through(hubble: Hubble, kubeconfig: Path, screen: Screen) -> None:
    for number in range(20_000):
        response = GetFlowsResponse()
        response.flow.Summary = str(number)
        hubble.messages.append(response.SerializeToString())
    assert await hubble_line(screen, kubeconfig, "observe") == 0
    numbers = [int(line.split("(")[-1][:-1]) for line in screen.out.splitlines()]
    assert numbers == list(range(20_000))


@pytest.mark.parametrize(
    ("target", "pods", "asked"),
    [
        (4244, [POD], "hubble-relay-1/portforward?ports=4244"),
        (None, [POD], "hubble-relay-1/portforward?ports=80"),
        (
            4245,
            [
                {**POD, "status": {"phase": "Pending"}},
                {**POD, "metadata": {"name": "unready"}, "status": {"phase": "Running"}},
                {**POD, "metadata": {"name": "ready"}},
            ],
            "ready/portforward?ports=4245",
        ),
    ],
)
async def test_which_pod_and_port(
    target: int | None,
    pods: list[dict[str, Any]],
    asked: str,
    kubernetes: Kubernetes,
    kubeconfig: Path,
    screen: Screen,
) -> None:
    kubernetes.service["spec"]["ports"][0]["targetPort"] = target
    kubernetes.pods = pods
    assert await hubble_line(screen, kubeconfig, "list", "namespaces") == 0
    assert kubernetes.asked[-1] == f"kube-system/pods/{asked}"


@pytest.mark.parametrize(
    ("change", "words", "text"),
    [
        ({}, ["--kube-namespace", "x"], 'services "hubble-relay" not found'),
        ({"forbid": True}, [], 'services "hubble-relay" is forbidden: User "u" cannot get'),
        ({"pods": []}, [], "no pods found for service: hubble-relay"),
        (
            {
                "pods": [
                    {**POD, "status": {"phase": "Pending"}},
                    {"metadata": {"name": "old", "deletionTimestamp": "2026-03-04T05:06:07Z"}},
                ]
            },
            [],
            "no pod of the service is running: hubble-relay-1 is Pending, old is Terminating",
        ),
        ({"service": {"spec": {"ports": [{"port": 1}]}}}, [], "it has no selector or no port"),
        (
            {"pods": [{**POD, "spec": {"containers": []}}]},
            [],
            "pod hubble-relay-1 has no port named grpc",
        ),
    ],
)
async def test_what_cannot_be_found(
    change: dict[str, Any],
    words: list[str],
    text: str,
    kubernetes: Kubernetes,
    kubeconfig: Path,
    screen: Screen,
) -> None:
    for name, value in change.items():
        setattr(kubernetes, name, value)
    assert await hubble_line(screen, kubeconfig, "status", *words) == 1
    head = 'failed to port forward: failed to get service "hubble-relay": '
    assert (screen.out, screen.err) == ("", f"{head}{text}\n")


async def test_a_tunnel_that_is_refused(
    kubernetes: Kubernetes, kubeconfig: Path, screen: Screen
) -> None:
    kubernetes.refuse = True
    assert await hubble_line(screen, kubeconfig, "status") == 1
    assert screen.err == (
        "failed to port forward: error upgrading connection: pod is not running\n"
    )


def test_a_cluster_that_is_away(screen: Screen, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        path.write_text(kubeconfig_text(f"http://127.0.0.1:{taken.getsockname()[1]}"))
        line = [*ANY_PORT, "--kubeconfig", str(path), "--timeout", "1s"]
        assert run(line, screen.surroundings()) == 1
    assert screen.err.startswith('failed to port forward: failed to get service "hubble-relay": ')


async def test_a_port_that_is_taken(kubeconfig: Path, screen: Screen) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ("--port-forward-port", str(port))
        line = ["status", "-P", "--kubeconfig", str(kubeconfig), *words]
        assert await asyncio.to_thread(run, line, screen.surroundings()) == 1
    head = f"failed to port forward: unable to listen on 127.0.0.1:{port}: "
    assert screen.err.startswith(head)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--kube-context", "nope"], "Invalid kube-config file. Expected object with name nope"),
        (["--kubeconfig", "/nonexistent"], "/nonexistent: no such file\n"),
    ],
)
async def test_a_configuration_that_is_not_there(
    words: list[str], text: str, kubeconfig: Path, screen: Screen
) -> None:
    line = [*ANY_PORT, "--kubeconfig", str(kubeconfig), *words]
    assert await asyncio.to_thread(run, line, screen.surroundings()) == 1
    assert screen.err.startswith(f"failed to create k8s port forwarder: {text}")


def test_no_configuration_at_all(tmp_path: Path) -> None:
    program = (sys.executable, "-c", "import sys; from cli.app import main; sys.exit(main())")
    done = subprocess.run(
        [*program, *ANY_PORT],
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        (
            "failed to create k8s port forwarder: "
            "no kubeconfig found: name one with --kubeconfig or in KUBECONFIG\n"
        ),
    )
