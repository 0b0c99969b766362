"""Look-ups across objects, in whatever order the objects came."""

import asyncio
import itertools
from ipaddress import IPv4Address

import pytest
import yaml

from observer.entities import Workload
from server.cluster.objects import Change, ChangeKind, ObjectKey, Owner, Pod
from server.cluster.read import read_object
from server.cluster.state import ClusterState
from server.pace import Pace


def change(kind: ChangeKind, text: str) -> Change:
    document = yaml.safe_load(text)
    found = read_object(document, source="test")
    assert found is not None
    return Change(kind=kind, object=found, document=document)


def added(text: str) -> Change:
    return change(ChangeKind.ADDED, text)


def pod(
    name: str,
    *,
    node: str = "lab-1",
    owner: Owner | None = None,
    labels: dict[str, str] | None = None,
) -> Pod:
    return Pod(
        key=ObjectKey("Pod", "default", name),
        uid="",
        labels=labels or {},
        owner=owner,
        node_name=node,
        service_account="default",
        addresses=(IPv4Address("10.0.0.1"),),
        host_network=False,
        interface="",
    )


def apply(state: ClusterState, kind: ChangeKind, found: Pod) -> None:
    state.apply(Change(kind=kind, object=found, document={}))


REPLICA_SET = (
    "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: death-star-abc, ownerReferences: "
    "[{kind: Deployment, name: death-star, controller: true}]}}"
)
LONE_REPLICA_SET = "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: death-star-abc}}"
JOB = (
    "{apiVersion: batch/v1, kind: Job, metadata: {name: backup-now, ownerReferences: "
    "[{kind: CronJob, name: backup, controller: true}]}}"
)


@pytest.mark.parametrize(
    ("owner", "labels", "objects", "workload"),
    [
        pytest.param(None, {}, [], ("Pod", "p"), id="bare pod"),
        pytest.param(
            ("ReplicaSet", "death-star-abc"),
            {},
            [REPLICA_SET],
            ("Deployment", "death-star"),
            id="by the ReplicaSet's owner",
        ),
        pytest.param(
            ("ReplicaSet", "death-star-abc"),
            {"pod-template-hash": "abc"},
            [],
            ("Deployment", "death-star"),
            id="by the hash",
        ),
        pytest.param(
            ("ReplicaSet", "death-star-abc"),
            {"pod-template-hash": "abc"},
            [LONE_REPLICA_SET],
            ("ReplicaSet", "death-star-abc"),
            id="a ReplicaSet of nobody",
        ),
        pytest.param(
            ("ReplicaSet", "death-star-abc"),
            {},
            [],
            ("ReplicaSet", "death-star-abc"),
            id="nothing known",
        ),
        pytest.param(("StatefulSet", "db"), {}, [], ("StatefulSet", "db"), id="StatefulSet"),
        pytest.param(("DaemonSet", "agent"), {}, [], ("DaemonSet", "agent"), id="DaemonSet"),
        pytest.param(("Job", "backup-28123456"), {}, [], ("CronJob", "backup"), id="by the time"),
        pytest.param(("Job", "backup-now"), {}, [JOB], ("CronJob", "backup"), id="by the Job"),
        pytest.param(("Job", "backup-now"), {}, [], ("Job", "backup-now"), id="Job"),
    ],
)
def test_workload(
    owner: tuple[str, str] | None, labels: dict[str, str], objects: list[str], workload: Workload
) -> None:
    state = ClusterState()
    for text in objects:
        state.apply(added(text))
    found = pod("p", owner=Owner(*owner) if owner else None, labels=labels)
    assert state.workload(found) == workload


def test_pods_come_change_and_go() -> None:
    state = ClusterState()
    apply(state, ChangeKind.ADDED, pod("a"))
    apply(state, ChangeKind.ADDED, pod("b"))
    apply(state, ChangeKind.MODIFIED, pod("a", node="lab-2"))
    assert {key.name: each.node_name for key, each in state.pods.items()} == {
        "a": "lab-2",
        "b": "lab-1",
    }
    before = state.version
    apply(state, ChangeKind.DELETED, pod("a"))
    apply(state, ChangeKind.DELETED, pod("a"))
    assert [key.name for key in state.pods] == ["b"]
    assert state.version == before + 2


SLICES = [
    (
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s-2, labels: "
        "{kubernetes.io/service-name: s}}, endpoints: [{addresses: [10.0.0.2]}]}"
    ),
    (
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s-1, labels: "
        "{kubernetes.io/service-name: s}}, endpoints: [{addresses: [10.0.0.3, 10.0.0.2]}]}"
    ),
    (
        "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: t-1, labels: "
        "{kubernetes.io/service-name: t}}, endpoints: [{addresses: [10.0.0.4]}]}"
    ),
    "{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {team: a}}}",
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {}}",
]


def test_the_order_of_arrival_does_not_matter() -> None:
    for order in itertools.permutations(SLICES):
        state = ClusterState()
        for text in order:
            state.apply(added(text))
        backends = state.backends(ObjectKey("Service", "default", "s"))
        assert [str(each) for each in backends] == ["10.0.0.3", "10.0.0.2"]
        assert state.namespace_labels("default") == {"team": "a"}
        assert [policy.name.name for policy in state.policies()] == ["a"]


def test_deleted_objects_are_forgotten() -> None:
    state = ClusterState()
    for text in SLICES:
        state.apply(added(text))
    for text in SLICES:
        state.apply(change(ChangeKind.DELETED, text))
    assert state.backends(ObjectKey("Service", "default", "s")) == ()
    assert state.namespace_labels("default") == {}
    assert state.policies() == ()


async def test_a_batch_is_taken_in_as_one_however_long_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.pace.SLICE_S", -1.0)  # hand the loop over at every step
    state = ClusterState()
    changes = [Change(kind=ChangeKind.ADDED, object=pod(f"p{i}"), document={}) for i in range(100)]
    seen: list[int] = []
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(state.take_in(changes, Pace()))
        while not taking.done():
            await asyncio.sleep(0)
            seen.append(len(state.pods))
            if not state.whole.locked():
                assert len(state.pods) == 100
    assert len(set(seen)) > 3  # others ran meanwhile
    assert (len(state.pods), state.version) == (100, 100)
