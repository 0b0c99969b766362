"""Numbers for label sets and pods."""

import asyncio
import itertools
import random
from ipaddress import IPv4Address

import pytest

from policy import numbering
from server.cluster.objects import ObjectKey, Pod
from server.identities import EndpointIds, assign_identities, identity_labels
from server.pace import PART_LENGTH, Pace


def pod(name: str, *, uid: str = "", labels: dict[str, str] | None = None) -> Pod:
    return Pod(
        key=ObjectKey("Pod", "default", name),
        uid=uid,
        labels=labels or {},
        owner=None,
        node_name="lab-1",
        service_account="vader",
        addresses=(IPv4Address("10.0.0.1"),),
        host_network=False,
        interface="",
    )


def test_labels_of_an_identity() -> None:
    labels = {"org": "empire", "app.kubernetes.io/name": "deathstar", "pod-template-hash": "5b74"}
    found = identity_labels(
        pod("a", labels=labels),
        namespace_labels={"kubernetes.io/metadata.name": "default"},
        cluster_name="kind",
    )
    assert found == (
        "k8s:app.kubernetes.io/name=deathstar",
        "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=default",
        "k8s:io.cilium.k8s.policy.cluster=kind",
        "k8s:io.cilium.k8s.policy.serviceaccount=vader",
        "k8s:io.kubernetes.pod.namespace=default",
        "k8s:org=empire",
    )


@pytest.mark.parametrize(
    ("key", "counts"),
    [
        ("app", True),
        ("k8s-app", True),
        ("app.kubernetes.io/name", True),
        ("topology.kubernetes.io/zone", True),
        ("kubernetes.io/arch", False),
        ("beta.kubernetes.io/os", False),
        ("failure-domain.beta.kubernetes.io/zone", False),
        ("k8s.io/x", False),
        ("pod-template-hash", False),
        ("pod-template-generation", False),
        ("controller-revision-hash", False),
        ("controller-uid", False),
        ("batch.kubernetes.io/controller-uid", False),
        ("batch.kubernetes.io/job-completion-index", False),
        ("batch.kubernetes.io/job-name", True),
        ("statefulset.kubernetes.io/pod-name", False),
        ("apps.kubernetes.io/pod-index", False),
        ("annotation.x", False),
        ("etcd_node", False),
    ],
)
def test_labels_that_count(key: str, counts: bool) -> None:
    found = identity_labels(pod("a", labels={key: "x"}), namespace_labels={}, cluster_name="c")
    assert (f"k8s:{key}=x" in found) == counts


def test_a_pod_cannot_speak_for_its_namespace() -> None:
    labels = {
        "io.kubernetes.pod.namespace": "kube-system",
        "io.cilium.k8s.namespace.labels.trusted": "yes",
        "io.cilium.k8s.policy.serviceaccount": "root",
    }
    assert identity_labels(
        pod("a", labels=labels), namespace_labels={}, cluster_name="c"
    ) == identity_labels(pod("a"), namespace_labels={}, cluster_name="c")


async def test_identities_are_the_same_on_all_nodes() -> None:
    sets = [(f"k8s:app=a{index}", "k8s:org=empire") for index in range(2000)]
    numbers = await assign_identities(sets, Pace())
    random.Random(1).shuffle(sets)
    assert await assign_identities(sets, Pace()) == numbers
    assert len(set(numbers.values())) == 2000
    assert all(256 <= number <= 65_535 for number in numbers.values())


async def test_others_have_the_loop_while_identities_are_assigned() -> None:
    """With a clock on which every look is a slice: the loop goes round between all parts."""
    ticks, passes = itertools.count(), 0
    loop = asyncio.get_running_loop()

    is_over = False

    def passed() -> None:
        nonlocal passes
        passes += 1
        if not is_over:
            loop.call_soon(passed)

    loop.call_soon(passed)
    sets = [(f"k8s:app=a{index}",) for index in range(2000)]
    await assign_identities(sets, Pace(lambda: float(next(ticks))))
    is_over = True
    assert passes >= 2000 // PART_LENGTH + 2000 // numbering.PART_LENGTH


def test_endpoint_ids_stay_while_the_pod_lives_and_survive_a_restart() -> None:
    pods = [pod(f"p{index}", uid=f"u{index}") for index in range(500)]
    ids = EndpointIds()
    first = ids.assign(pods[:250])
    both = ids.assign(pods)
    assert {key: both[key] for key in first} == first
    assert len(set(both.values())) == 500
    assert all(1 <= number <= 65_535 for number in both.values())
    after = ids.assign(pods[250:])
    assert after == {key: both[key] for key in after}
    restarted = EndpointIds().assign(pods)
    assert sum(restarted[key] != both[key] for key in both) <= 10


def test_a_pod_made_anew_is_another_endpoint() -> None:
    ids = EndpointIds()
    [before] = ids.assign([pod("a", uid="1")]).values()
    [after] = ids.assign([pod("a", uid="2")]).values()
    assert before != after


def test_too_many_pods_are_refused() -> None:
    with pytest.raises(ValueError, match="number endpoints: need at most 32768, found 32769"):
        EndpointIds().assign(pod(f"p{index}") for index in range(32_769))
