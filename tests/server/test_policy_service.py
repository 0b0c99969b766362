"""Policies over a real connection: what our client gets, and what `hubble policy` prints."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from api.lane.client import Channel
from api.lane.health import Health
from api.lane.server import Server
from api.lane.status import Code, RpcError
from api.proto.leavitt.policy_pb2 import (
    JudgeRequest,
    JudgeResponse,
    ListPoliciesRequest,
    ListPoliciesResponse,
    PolicyDecision,
    PolicyParty,
)
from server.cluster.objects import Change, ChangeKind
from server.cluster.read import read_object
from server.cluster.state import ClusterState
from server.endpoints import EndpointManager
from server.listening import listen
from server.node import Node, build_node
from server.settings import Settings

HUBBLE = Path(sys.executable).with_name("hubble")
OBJECTS = """
{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {team: red}}}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 172.30.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: deathstar-1, creationTimestamp: "2026-01-01T00:00:00Z",
  labels: {org: empire, class: deathstar}}
spec: {nodeName: n1, containers: [{ports: [{name: door, containerPort: 80}]}]}
status: {podIP: 10.244.1.2}
---
apiVersion: v1
kind: Pod
metadata: {name: tiefighter, labels: {org: empire}}
spec: {nodeName: n2}
status: {podIP: 10.244.2.3}
---
apiVersion: v1
kind: Pod
metadata: {name: xwing, labels: {org: alliance}}
spec: {nodeName: n1}
status: {podIP: 10.244.1.4}
---
apiVersion: v1
kind: Pod
metadata: {name: robber, creationTimestamp: "2026-01-02T00:00:00Z",
  labels: {org: alliance}}
spec: {nodeName: n1}
status: {podIP: 10.244.1.2}
---
apiVersion: v1
kind: Pod
metadata: {name: tiebomber, labels: {org: empire}}
spec: {nodeName: n2}
status: {podIP: 10.244.2.4}
---
apiVersion: v1
kind: Pod
metadata: {name: proxy}
spec: {nodeName: n1, hostNetwork: true}
status: {podIP: 172.30.0.1}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: landing}
spec:
  endpointSelector: {matchLabels: {class: deathstar}}
  ingress:
  - fromEndpoints: [{matchLabels: {org: empire}}]
    toPorts: [{ports: [{port: door, protocol: TCP}]}]
  - fromCIDRSet: [{cidr: 192.0.2.0/24, except: [192.0.2.128/25]}]
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(node_name="n1", socket_path=tmp_path / "h.sock", event_buffer_capacity=63)


@pytest.fixture
async def node(settings: Settings) -> Node:
    node, state = build_node(settings), ClusterState()
    for document in yaml.safe_load_all(OBJECTS):
        found = read_object(document, source="test")
        assert found is not None
        state.apply(Change(kind=ChangeKind.ADDED, object=found, document=document))
    manager = EndpointManager(
        node_name="n1", cluster_name="default", state=state, book=node.book,
        datapath=None, interfaces=None, desk=node.desk,
    )  # fmt: skip
    await manager.reconcile()
    node.desk.hear(lambda: ["read bad.yaml: no"])
    return node


@pytest.fixture
async def lane(settings: Settings, node: Node) -> AsyncIterator[Server]:
    lane = await listen(settings, node, Health())
    yield lane
    await lane.stop(0)


@pytest.fixture
async def channel(settings: Settings, lane: Server) -> AsyncIterator[Channel]:
    channel = Channel(f"unix://{settings.socket_path}")
    yield channel
    await channel.close()


async def judged(channel: Channel, source: PolicyParty, **packet: int) -> JudgeResponse:
    request = JudgeRequest(
        source=source, destination=PolicyParty(pod="default/deathstar"), **packet
    )
    return await channel.unary("/leavitt.Policies/Judge", request, JudgeResponse)


TCP = {"protocol": 6, "port": 80}


@pytest.mark.parametrize(
    ("source", "packet", "decision"),
    [
        (PolicyParty(pod="default/tiefighter"), TCP, PolicyDecision.POLICY_ALLOWED),
        (PolicyParty(pod="tiefighter"), TCP, PolicyDecision.POLICY_ALLOWED),
        (PolicyParty(address="10.244.2.3"), TCP, PolicyDecision.POLICY_ALLOWED),
        (PolicyParty(pod="tiefighter"), TCP | {"port": 81}, PolicyDecision.POLICY_DENIED),
        (PolicyParty(pod="default/xwing"), TCP, PolicyDecision.POLICY_DENIED),
        (PolicyParty(address="192.0.2.7"), TCP, PolicyDecision.POLICY_ALLOWED),
        (PolicyParty(address="192.0.2.200"), TCP, PolicyDecision.POLICY_DENIED),
        (PolicyParty(address="198.51.100.1"), TCP, PolicyDecision.POLICY_DENIED),
        (PolicyParty(address="172.30.0.1"), TCP, PolicyDecision.POLICY_ALLOWED),
        (PolicyParty(pod="proxy"), TCP, PolicyDecision.POLICY_ALLOWED),
        (PolicyParty(address="2001:db8::1"), {"protocol": 58, "port": 128},
         PolicyDecision.POLICY_DENIED),
    ],
)  # fmt: skip
async def test_packets_are_judged_without_being_sent(
    source: PolicyParty, packet: dict[str, int], decision: PolicyDecision, channel: Channel
) -> None:
    response = await judged(channel, source, **packet)
    assert response.destination.name == "default/deathstar-1"
    assert response.ingress.decision == decision
    # nothing governs what pods send; who is no pod has no egress
    assert response.egress.decision in (0, PolicyDecision.POLICY_FREE)


@pytest.mark.parametrize(
    ("source", "packet", "code", "text"),
    [
        (PolicyParty(pod="other/x"), TCP, Code.NOT_FOUND, "judge packet: no pod other/x"),
        (PolicyParty(pod="robber"), TCP, Code.NOT_FOUND,
         ("judge packet: default/robber has no address of its own: "
          "10.244.1.2 is default/deathstar-1's")),
        (PolicyParty(address="x"), TCP, Code.INVALID_ARGUMENT,
         "judge packet: 'x' does not appear to be an IPv4 or IPv6 address"),
        (PolicyParty(), TCP, Code.INVALID_ARGUMENT,
         "judge packet: '' does not appear to be an IPv4 or IPv6 address"),
        (PolicyParty(pod="xwing"), {"protocol": 6, "port": 65536}, Code.INVALID_ARGUMENT,
         "judge packet: no such port: 65536 of protocol 6"),
        (PolicyParty(pod="xwing"), {"protocol": 256, "port": 1}, Code.INVALID_ARGUMENT,
         "judge packet: no such port: 1 of protocol 256"),
    ],
)  # fmt: skip
async def test_what_cannot_be_judged(
    source: PolicyParty, packet: dict[str, int], code: Code, text: str, channel: Channel
) -> None:
    with pytest.raises(RpcError) as refused:
        await judged(channel, source, **packet)
    assert (refused.value.code, refused.value.message) == (code, text)


async def test_the_list(channel: Channel) -> None:
    response = await channel.unary(
        "/leavitt.Policies/List", ListPoliciesRequest(), ListPoliciesResponse
    )
    assert response.node_name == "n1"
    assert list(response.problems) == [
        "read bad.yaml: no",
        "Pod default/robber: its address is already that of Pod default/deathstar-1: 10.244.1.2",
    ]
    [policy] = response.policies
    assert (policy.kind, policy.name, policy.revision) == ("CiliumNetworkPolicy", "landing", 2)
    [section] = policy.sections
    assert list(section.pods) == ["default/deathstar-1"]
    assert [list(rule.ports) for rule in section.rules] == [["door/TCP"], []]
    assert [list(rule.peers) for rule in section.rules] == [
        ["k8s:io.kubernetes.pod.namespace=default, any:org=empire"],
        ["192.0.2.0/24 except 192.0.2.128/25"],
    ]


async def hubble(settings: Settings, *words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        HUBBLE, "policy", *words, "--server", f"unix://{settings.socket_path}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


VERDICT = """\
default/xwing (ID:{xwing}) -> default/deathstar-1 (ID:{deathstar}) 80/TCP DENIED
  EGRESS of default/xwing: not enforced, everything passes
  INGRESS of default/deathstar-1: DENIED BY landing (CiliumNetworkPolicy) spec, which isolates it; \
no rule allows the packet (policy-verdict:none)
    nearest: landing (CiliumNetworkPolicy) spec.ingress[0] allows: peer: needs any:org=empire, \
has k8s:org=alliance
    to let it pass: add the peer to landing (CiliumNetworkPolicy) spec.ingress[0]: k8s:org=alliance
"""
SHOWN = """\
CiliumNetworkPolicy default/landing (revision 2)
  spec selects: default/deathstar-1
  spec isolates: ingress
    spec.ingress[0]: allows from (k8s:io.kubernetes.pod.namespace=default, any:org=empire) on \
door/TCP
    spec.ingress[1]: allows from (192.0.2.0/24 except 192.0.2.128/25)
"""


@pytest.mark.usefixtures("lane")
async def test_what_hubble_prints(settings: Settings, channel: Channel) -> None:
    words = ("verdict", "--from-pod", "default/xwing", "--to-pod", "default/deathstar")
    status, out, err = await hubble(settings, *words, "--port", "80/TCP")
    response = await judged(channel, PolicyParty(pod="xwing"), **TCP)
    ids = {"xwing": response.source.identity, "deathstar": response.destination.identity}
    assert (status, out, err) == (0, VERDICT.format(**ids), "")
    assert await hubble(settings, "show", "default/landing") == (0, SHOWN, "")
    status, out, err = await hubble(settings, "list")
    assert out.splitlines()[1].split() == [
        "CiliumNetworkPolicy", "default", "landing", "1", "2", "2", "enforce",
    ]  # fmt: skip
    assert out.splitlines()[2] == "problem: read bad.yaml: no"


@pytest.mark.usefixtures("lane")
async def test_it_says_of_how_many_pods_it_took_the_first(settings: Settings) -> None:
    words = ("verdict", "--to-pod", "default/deathstar", "--port", "80", "--from-pod")
    _, several, _ = await hubble(settings, *words, "default/tie")
    assert several.startswith("default/tiebomber (ID:")
    assert ", first of 2) -> default/deathstar-1 (ID:" in several
    _, one, _ = await hubble(settings, *words, "default/tiefighter")
    assert "first of" not in one


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "nothing"), "no policy nothing: `hubble policy list` names them"),
        (("show",), "need the name of one policy: [namespace/]name"),
        (("verdict", "--from-pod", "a"), "--port is missing: need a number"),
        (("verdict", "--from-pod", "a", "--port", "80/XYZ"), "invalid port '80/XYZ'"),
        (("verdict", "--from-pod", "a", "--port", "80"), "need one of --to-pod and --to-ip"),
        (("verdict", "--from-pod", "a", "--to-ip", "::1", "--port", "80"),
         "judge packet: no pod default/a"),
        (("explain",), "need one of --pod and --uuid"),
        (("explain", "--pod", "default/xwing"), "no such flow is kept"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("lane")
async def test_what_hubble_refuses(
    settings: Settings, words: tuple[str, ...], message: str
) -> None:
    status, out, err = await hubble(settings, *words)
    assert (status, out) == (1, "")
    assert message in err
