"""Who has an address keeps it: tables of single rounds, and a model of cluster and restarts."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from observer.entities import address_bytes
from server.claims import Left
from server.cluster.objects import Address, Change, ChangeKind, Node, ObjectKey, Pod
from server.cluster.state import ClusterState
from server.pace import Pace
from server.view import NodeView, Viewer

HERE, THERE = "lab-1", "lab-2"
ADDRESSES = [ip_address(f"10.0.0.{i}") for i in range(1, 5)] + [ip_address("fd00::1")]
NAMES = ("awing", "bwing", "tiefighter", "xwing")


def pod(
    name: str, *addresses: Address, uid: str = "", created_s: int | None = None, node: str = HERE
) -> Pod:
    return Pod(
        key=ObjectKey("Pod", "default", name),
        uid=uid or f"uid-{name}",
        created_s=created_s,
        labels={"name": name},
        owner=None,
        node_name=node,
        service_account="default",
        addresses=addresses,
        host_network=False,
        interface="",
    )


def node(name: str, *addresses: Address) -> Node:
    return Node(key=ObjectKey("Node", "", name), addresses=addresses, hubble_port=None)


def state_of(*objects: Pod | Node) -> ClusterState:
    state = ClusterState()
    for each in objects:
        state.apply(Change(kind=ChangeKind.ADDED, object=each, document={}))
    return state


async def drawn(viewer: Viewer, state: ClusterState, *own: Address) -> NodeView:
    return await viewer.draw(state, frozenset(own), Pace())


def owner(view: NodeView, address: Address) -> str:
    """Name the pod at that address, or the label of the node."""
    found = view.endpoints[address_bytes(address)]
    return found.pod_name or found.labels[0]


def left_by(view: NodeView) -> Left:
    """What the maps hold where that view was written."""
    return Left(
        endpoints={
            address_bytes(address): local.endpoint_id
            for local in view.local
            for address in local.addresses
        },
        identities=view.addresses,
    )


AT = ADDRESSES[0]


@pytest.mark.parametrize(
    ("pods", "winner", "reason"),
    [
        pytest.param(
            [pod("awing", AT, created_s=20), pod("xwing", AT, created_s=10)],
            "xwing",
            "created first",
            id="the older one",
        ),
        pytest.param(
            [pod("xwing", AT, created_s=10), pod("awing", AT, created_s=10)],
            "awing",
            "first by name",
            id="of one age",
        ),
        pytest.param(
            [pod("awing", AT), pod("xwing", AT, created_s=10)],
            "xwing",
            "created first",
            id="of unknown age",
        ),
        pytest.param([pod("xwing", AT), pod("awing", AT)], "awing", "first by name", id="no ages"),
        pytest.param(
            [pod("bwing", AT), pod("xwing", AT, created_s=5), pod("awing", AT, created_s=9)],
            "xwing",
            "created first",
            id="three",
        ),
    ],
)
async def test_where_nobody_was_first_it_is_decided_by_age_then_name(
    pods: list[Pod], winner: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    viewer, state = Viewer(node_name=HERE, cluster_name="default"), state_of(*pods)
    view = await drawn(viewer, state)
    assert owner(view, AT) == winner
    losers = {str(each.key) for each in pods} - {f"Pod default/{winner}"}
    told = f"its address is already that of Pod default/{winner}: {AT}"
    assert view.conflicts == dict.fromkeys(losers, told)
    assert f"because={reason!r}" in caplog.text
    caplog.clear()
    state.apply(Change(kind=ChangeKind.ADDED, object=pod("other"), document={}))
    assert owner(await drawn(viewer, state), AT) == winner
    assert caplog.text == ""  # decided already


async def test_several_contested_addresses_are_all_named() -> None:
    one, two, three = ADDRESSES[:3]
    objects: list[Pod | Node] = [
        pod("awing", one, two),
        pod("bwing", one, two, three),
        node(THERE, three),
    ]
    view = await drawn(Viewer(node_name=HERE, cluster_name="default"), state_of(*objects))
    assert view.conflicts == {
        "Pod default/bwing": (
            "its address is a node's: 10.0.0.3; "
            "its address is already that of Pod default/awing: 10.0.0.1; "
            "its address is already that of Pod default/awing: 10.0.0.2"
        )
    }
    assert [local.pod.key.name for local in view.local] == ["awing"]


async def test_a_pod_keeps_its_address_from_a_node_but_not_from_this_host() -> None:
    viewer, state = Viewer(node_name=HERE, cluster_name="default"), state_of(pod("awing", AT))
    await drawn(viewer, state)
    state.apply(Change(kind=ChangeKind.ADDED, object=node(THERE, AT), document={}))
    view = await drawn(viewer, state)
    assert owner(view, AT) == "awing"
    assert view.conflicts == {
        f"Node {THERE}": f"its address is already that of Pod default/awing: {AT}"
    }
    view = await drawn(viewer, state, AT)
    assert owner(view, AT) == "reserved:host"
    assert view.conflicts == {"Pod default/awing": f"its address is a node's: {AT}"}
    assert view.local == ()


async def test_a_cancelled_round_forgets_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.pace.SLICE_S", -1.0)  # hand the loop over at every step
    viewer, state = Viewer(node_name=HERE, cluster_name="default"), state_of(pod("xwing", AT))
    await drawn(viewer, state)
    state.apply(Change(kind=ChangeKind.ADDED, object=pod("awing", AT), document={}))
    steps = 0
    while True:
        steps += 1
        async with asyncio.TaskGroup() as group:
            task = group.create_task(drawn(viewer, state))
            for _ in range(steps):
                await asyncio.sleep(0)
            if not task.cancel():
                break
    assert steps > 3
    assert owner(task.result(), AT) == "xwing"


@dataclass(slots=True)
class Model:
    """Everything anew from the objects, and from who had what in the round before."""

    pods: dict[str, Pod] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    host: frozenset[Address] = frozenset()
    had: dict[Address, Pod] = field(default_factory=dict)
    is_restarted: bool = False

    def round(self) -> dict[Address, str]:
        """Address → pod or node; from then on who has what is who had it."""
        found: dict[Address, str] = {}
        owners: dict[Address, Pod] = {}
        for address in ADDRESSES:
            claims = [each for each in self.pods.values() if address in each.addresses]
            first = [each for each in claims if self._had(each, address)]
            is_node = any(address in each.addresses for each in self.nodes.values())
            if address in self.host:
                found[address] = "reserved:host"
            elif first or (claims and not is_node):
                owners[address] = min(first or claims, key=_age_and_name)
                found[address] = owners[address].key.name
            elif is_node:
                found[address] = "reserved:remote-node"
        self.had, self.is_restarted = owners, False
        return found

    def _had(self, pod: Pod, address: Address) -> bool:
        before = self.had.get(address)
        if before is None or before.key != pod.key:
            return False
        if self.is_restarted and before.node_name == THERE:
            return True  # of others' pods the maps know what policies go by, and no uid
        is_one = before.uid == pod.uid
        return is_one and not (self.is_restarted and pod.node_name == THERE)


def _age_and_name(pod: Pod) -> tuple[int, str]:
    return (10**12 if pod.created_s is None else pod.created_s, pod.key.name)


some_addresses = st.lists(st.sampled_from(ADDRESSES), unique=True, max_size=3).map(tuple)


class Cluster(RuleBasedStateMachine):
    """Objects come, change and go, and the server is started anew: nobody takes from who has."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.state = ClusterState()
        self.viewer = Viewer(node_name=HERE, cluster_name="default")
        self.view: NodeView | None = None
        self.is_changed = True
        self.count = 0

    @rule(
        name=st.sampled_from(NAMES),
        addresses=some_addresses,
        created_s=st.none() | st.integers(0, 3),
        where=st.sampled_from((HERE, THERE)),
    )
    def pod_comes(
        self, name: str, addresses: tuple[Address, ...], created_s: int | None, where: str
    ) -> None:
        self.count += 1
        uid = str(self.count)
        self._put(pod(name, *addresses, uid=uid, created_s=created_s, node=where))

    @precondition(lambda self: self.model.pods)
    @rule(data=st.data(), addresses=some_addresses)
    def pod_changes(self, data: st.DataObject, addresses: tuple[Address, ...]) -> None:
        before = self.model.pods[data.draw(st.sampled_from(sorted(self.model.pods)))]
        name, uid = before.key.name, before.uid
        changed = pod(name, *addresses, uid=uid, created_s=before.created_s, node=before.node_name)
        self._put(changed)

    @precondition(lambda self: self.model.pods)
    @rule(data=st.data())
    def pod_goes(self, data: st.DataObject) -> None:
        gone = self.model.pods.pop(data.draw(st.sampled_from(sorted(self.model.pods))))
        self._apply(ChangeKind.DELETED, gone)

    @rule(addresses=some_addresses)
    def node_comes_or_changes(self, addresses: tuple[Address, ...]) -> None:
        self.model.nodes[THERE] = node(THERE, *addresses)
        self._apply(ChangeKind.MODIFIED, self.model.nodes[THERE])

    @rule(addresses=some_addresses)
    def host_changes(self, addresses: Iterable[Address]) -> None:
        self.model.host = frozenset(list(addresses)[:1])
        self.is_changed = True

    @precondition(lambda self: self.view is not None and not self.is_changed)
    @rule()
    def server_starts_anew(self) -> None:
        assert self.view is not None
        self.viewer = Viewer(node_name=HERE, cluster_name="default")
        self.viewer.inherit(left_by(self.view))
        self.model.is_restarted = True
        self.is_changed = True

    @rule()
    def round_is_made(self) -> None:
        asyncio.run(self._round())

    @invariant()
    def everybody_is_somewhere_or_waits(self) -> None:
        if self.view is None or self.is_changed:
            return
        for name, each in self.model.pods.items():
            mine = {a for a in each.addresses if owner(self.view, a) == name}
            assert (mine != set(each.addresses)) == (str(each.key) in self.view.conflicts)
            local = [one.addresses for one in self.view.local if one.pod.key == each.key]
            expected = [tuple(a for a in each.addresses if a in mine)]
            assert local == (expected if mine and each.node_name == HERE else [])

    async def _round(self) -> None:
        self.view = await drawn(self.viewer, self.state, *self.model.host)
        expected = self.model.round()
        assert {a: owner(self.view, a) for a in expected} == expected
        assert set(self.view.endpoints) == set(map(address_bytes, expected))
        self.is_changed = False

    def _put(self, each: Pod) -> None:
        kind = ChangeKind.MODIFIED if each.key.name in self.model.pods else ChangeKind.ADDED
        self.model.pods[each.key.name] = each
        self._apply(kind, each)

    def _apply(self, kind: ChangeKind, each: Pod | Node) -> None:
        self.state.apply(Change(kind=kind, object=each, document={}))
        self.is_changed = True


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
