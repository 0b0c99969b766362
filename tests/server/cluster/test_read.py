"""Documents become typed objects, or an error that says where to look."""

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
import yaml

from server.cluster.errors import ObjectError
from server.cluster.objects import (
    Controller,
    EndpointSlice,
    Namespace,
    NetworkPolicy,
    Node,
    ObjectKey,
    Owner,
    Pod,
    Service,
    ServicePort,
)
from server.cluster.read import read_object

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: deathstar-5b7489bc84-abcde
  namespace: default
  uid: 1f0c
  labels: {org: empire, class: deathstar}
  annotations: {leavitt.io/interface: lxc12}
  ownerReferences:
  - {apiVersion: v1, kind: Thing, name: bystander}
  - {apiVersion: apps/v1, kind: ReplicaSet, name: deathstar-5b7489bc84, controller: true}
spec: {nodeName: lab-1, serviceAccountName: vader, containers: []}
status:
  phase: Running
  podIP: 10.244.1.2
  podIPs: [{ip: 10.244.1.2}, {ip: "fd00:244:1::2"}, {ip: "::ffff:10.244.1.2"}]
"""


def changed(text: str, path: str, value: object) -> dict[str, Any]:
    """The document with the value at the path, `a.b`, replaced; removed if it is None."""
    document: dict[str, Any] = yaml.safe_load(text)
    *parents, leaf = path.split(".")
    at = document
    for name in parents:
        at = at[name]
    if value is None:
        del at[leaf]
    else:
        at[leaf] = value
    return document


def test_pod() -> None:
    assert read_object(yaml.safe_load(POD), source="pods.yaml") == Pod(
        key=ObjectKey("Pod", "default", "deathstar-5b7489bc84-abcde"),
        uid="1f0c",
        labels={"org": "empire", "class": "deathstar"},
        owner=Owner("ReplicaSet", "deathstar-5b7489bc84"),
        node_name="lab-1",
        service_account="vader",
        addresses=(IPv4Address("10.244.1.2"), IPv6Address("fd00:244:1::2")),
        host_network=False,
        interface="lxc12",
    )


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_has_given_its_addresses_back(phase: str) -> None:
    pod = read_object(changed(POD, "status.phase", phase), source="")
    assert isinstance(pod, Pod)
    assert pod.addresses == ()


def test_a_pending_pod_may_lack_address_and_node() -> None:
    document = changed(POD, "spec.nodeName", None) | {"status": {"phase": "Pending"}}
    pod = read_object(document, source="")
    assert isinstance(pod, Pod)
    assert (pod.addresses, pod.node_name) == ((), "")


def test_a_single_owner_need_not_say_that_it_controls() -> None:
    references = [{"kind": "Job", "name": "backup-1"}]
    pod = read_object(changed(POD, "metadata.ownerReferences", references), source="")
    assert isinstance(pod, Pod)
    assert pod.owner == Owner("Job", "backup-1")
    references[0]["controller"] = False  # type: ignore[assignment] # as YAML has it
    pod = read_object(changed(POD, "metadata.ownerReferences", references), source="")
    assert isinstance(pod, Pod)
    assert pod.owner is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {team: a}}}",
            Namespace(key=ObjectKey("Namespace", "", "default"), labels={"team": "a"}),
        ),
        (
            (
                "{apiVersion: v1, kind: Node, metadata: {name: lab-1}, status: {addresses: ["
                "{type: InternalIP, address: 172.30.0.1}, {type: Hostname, address: lab-1}]}}"
            ),
            Node(
                key=ObjectKey("Node", "", "lab-1"),
                addresses=(IPv4Address("172.30.0.1"),),
                hubble_port=None,
            ),
        ),
        (
            (
                "{apiVersion: v1, kind: Node, metadata: {name: lab-1, annotations: "
                "{leavitt.io/hubble-port: '4301'}}, status: {addresses: ["
                "{type: ExternalIP, address: 192.0.2.7}, {type: InternalIP, address: fd00::1}, "
                "{type: InternalIP, address: 172.30.0.1}]}}"
            ),
            Node(
                key=ObjectKey("Node", "", "lab-1"),
                addresses=(
                    IPv6Address("fd00::1"),
                    IPv4Address("172.30.0.1"),
                    IPv4Address("192.0.2.7"),
                ),
                hubble_port=4301,
            ),
        ),
        (
            (
                "{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: d-1, ownerReferences: "
                "[{kind: Deployment, name: d, controller: true}]}}"
            ),
            Controller(
                key=ObjectKey("ReplicaSet", "default", "d-1"), owner=Owner("Deployment", "d")
            ),
        ),
        (
            "{apiVersion: batch/v1, kind: CronJob, metadata: {name: c, namespace: x}}",
            Controller(key=ObjectKey("CronJob", "x", "c"), owner=None),
        ),
        (
            (
                "{apiVersion: v1, kind: Service, metadata: {name: deathstar}, spec: {clusterIP: "
                "10.96.0.5, clusterIPs: [10.96.0.5, 'fd00:96::5'], externalIPs: [192.0.2.1], "
                "ports: [{port: 80}, {port: 53, protocol: UDP, targetPort: dns}]}, "
                "status: {loadBalancer: {ingress: [{ip: 192.0.2.2}, {hostname: a.example}]}}}"
            ),
            Service(
                key=ObjectKey("Service", "default", "deathstar"),
                addresses=(
                    IPv4Address("10.96.0.5"),
                    IPv6Address("fd00:96::5"),
                    IPv4Address("192.0.2.1"),
                    IPv4Address("192.0.2.2"),
                ),
                ports=(ServicePort(6, 80), ServicePort(17, 53)),
            ),
        ),
        (
            "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: None}}",
            Service(key=ObjectKey("Service", "default", "s"), addresses=(), ports=()),
        ),
        (
            (
                "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s-1, "
                "labels: {kubernetes.io/service-name: s}}, endpoints: [{addresses: [10.0.0.1]}, "
                "{addresses: [10.0.0.2], conditions: {ready: false}}], ports: [{port: 8080}]}"
            ),
            EndpointSlice(
                key=ObjectKey("EndpointSlice", "default", "s-1"),
                service="s",
                ready=(IPv4Address("10.0.0.1"),),
                ports=(ServicePort(6, 8080),),
            ),
        ),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}", None),
    ],
)
def test_other_kinds(text: str, found: object) -> None:
    assert read_object(yaml.safe_load(text), source="x.yaml") == found


def test_network_policy() -> None:
    text = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {}}"
    policy = read_object(yaml.safe_load(text), source="x.yaml")
    assert isinstance(policy, NetworkPolicy)
    assert policy.policy.name == ("NetworkPolicy", "default", "a")


NAME = "Pod default/deathstar-5b7489bc84-abcde"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(
            changed(POD, "status", {"phase": "Running"}),
            f"read pods.yaml: {NAME}: status.podIP: is missing, need the pod's address",
            id="running without address",
        ),
        pytest.param(
            changed(POD, "status", {"podIP": "10.244.1.300"}),
            f"read pods.yaml: {NAME}: status.podIP: need an IP address, found '10.244.1.300'",
            id="no address",
        ),
        pytest.param(
            changed(POD, "spec.nodeName", None),
            f"read pods.yaml: {NAME}: spec.nodeName: is missing, need text",
            id="address without node",
        ),
        pytest.param(
            changed(POD, "metadata.labels", {"app": 3}),
            f"read pods.yaml: {NAME}: metadata.labels.app: need text, found 3",
            id="label that is a number",
        ),
        pytest.param(
            changed(POD, "metadata.name", None),
            "read pods.yaml: metadata.name: is missing, need text",
            id="no name",
        ),
        pytest.param(
            changed(POD, "apiVersion", "v2"),
            f"read pods.yaml: {NAME}: apiVersion: need one of v1, found 'v2'",
            id="version",
        ),
        pytest.param({}, "read pods.yaml: kind: is missing, need text", id="no kind"),
        pytest.param(
            {"kind": "AdminNetworkPolicy", "metadata": {"name": "a"}},
            "read pods.yaml: AdminNetworkPolicy default/a: kind: this kind of policy is not "
            "supported, nor applied: 'AdminNetworkPolicy'",
            id="kind of policy",
        ),
        pytest.param(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "s"},
                "spec": {"ports": [{"port": 80}, {"port": 70000}]},
            },
            "read pods.yaml: Service default/s: spec.ports[1].port: need a number within 1..65535, "
            "found 70000",
            id="port out of range",
        ),
        *(
            pytest.param(
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": {"name": "n", "annotations": {"leavitt.io/hubble-port": port}},
                },
                "read pods.yaml: Node n: metadata.annotations.leavitt.io/hubble-port: need a port "
                f"within 1..65535, found {port!r}",
                id=f"port {port}",
            )
            for port in ("http", "0", "65536", "000004244", "42²")
        ),
    ],
)
def test_errors_name_file_object_field_and_value(document: object, message: str) -> None:
    with pytest.raises(ObjectError) as refused:
        read_object(document, source="pods.yaml")
    assert str(refused.value) == message
