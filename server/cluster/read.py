"""Documents → typed objects.

In: one parsed YAML or JSON document, as a user wrote it or as Kubernetes serves it. Out: the typed
view, None for a kind that says nothing here, or an ObjectError. Fields that are not needed are not
looked at: validating manifests is the API server's business. Next: server.cluster.state.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from policy.ciliumpolicy import CLUSTERWIDE_KIND, NAMESPACED_KIND, read_cilium_policy
from policy.entries import LAST_PORT
from policy.errors import FieldError
from policy.fields import Field
from policy.networkpolicy import read_audit_mode, read_network_policy
from policy.ports import PROTOCOL_NUMBERS
from policy.subjects import NamedPort
from server.cluster.errors import ObjectError
from server.cluster.objects import (
    CONTAINER_API_VERSION,
    CONTAINER_KIND,
    ClusterObject,
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from server.cluster.objects import Address

INTERFACE_ANNOTATION = "leavitt.io/interface"
"""On a Pod: name of its host-side interface, for those that no route leads to."""

HUBBLE_PORT_ANNOTATION = "leavitt.io/hubble-port"
"""On a Node: TCP port of its server, where that is another one than its neighbours'."""

SERVICE_LABEL = "kubernetes.io/service-name"
NODE_ADDRESS_TYPES = ("InternalIP", "ExternalIP")
"""In the order in which they are tried."""
PORT_TEXT = re.compile(r"[0-9]{1,5}")
FINISHED_PHASES = ("Succeeded", "Failed")
CLUSTER_SCOPED = ("Namespace", "Node", CLUSTERWIDE_KIND)


def read_object(document: object, *, source: str) -> ClusterObject | None:
    """Read the object that the document describes; None if its kind does not matter here.

    Raises:
        ObjectError: Naming source (the file), object, field and value.
    """
    field = Field(document)
    try:
        kind = field["kind"].name()
        if kind in UNSUPPORTED_KINDS:
            raise field["kind"].unsupported("this kind of policy is not supported, nor applied")
        if kind not in READERS:
            return None
        api_version, read = READERS[kind]
        field["apiVersion"].choice(api_version)
        return read(field, _key(field, kind))
    except FieldError as error:
        raise ObjectError(source=source, name=object_name(document), reason=str(error)) from error


def object_name(document: object) -> str:
    """Name it, `Pod default/xwing`, as far as the document tells; empty if it does not."""
    try:
        field = Field(document)
        return str(_key(field, field["kind"].name()))
    except FieldError:
        return ""


def _key(field: Field, kind: str) -> ObjectKey:
    metadata = field["metadata"]
    namespace = "" if kind in CLUSTER_SCOPED else metadata["namespace"].text("default")
    return ObjectKey(kind, namespace, metadata["name"].name())


def _namespace(field: Field, key: ObjectKey) -> Namespace:
    return Namespace(key=key, labels=field["metadata"]["labels"].string_map())


def _node(field: Field, key: ObjectKey) -> Node:
    listed = [
        (NODE_ADDRESS_TYPES.index(kind), each["address"].address())
        for each in field["status"]["addresses"].items()
        if (kind := each["type"].text()) in NODE_ADDRESS_TYPES
    ]
    found = [address for _, address in sorted(listed, key=lambda one: one[0])]
    return Node(key=key, addresses=_distinct(found), hubble_port=_hubble_port(field))


def _hubble_port(field: Field) -> int | None:
    annotation = field["metadata"]["annotations"][HUBBLE_PORT_ANNOTATION]
    text = annotation.text("")
    if not text:
        return None
    port = int(text) if PORT_TEXT.fullmatch(text) else 0
    if not 1 <= port <= LAST_PORT:
        raise annotation.error(f"a port within 1..{LAST_PORT}")
    return port


def _pod(field: Field, key: ObjectKey) -> Pod:
    spec, metadata = field["spec"], field["metadata"]
    phase = field["status"]["phase"].text("Running")
    addresses = () if phase in FINISHED_PHASES else _pod_addresses(field["status"])
    if phase == "Running" and not addresses:
        raise field["status"]["podIP"].error("the pod's address")
    return Pod(
        key=key,
        uid=metadata["uid"].text(""),
        created_s=_created_s(metadata["creationTimestamp"]),
        labels=metadata["labels"].string_map(),
        owner=_owner(metadata),
        node_name=spec["nodeName"].name() if addresses else spec["nodeName"].text(""),
        service_account=spec["serviceAccountName"].text("") or "default",
        addresses=addresses,
        host_network=spec["hostNetwork"].truth(default=False),
        interface=metadata["annotations"][INTERFACE_ANNOTATION].text(""),
        named_ports=_named_ports(spec),
        is_audited=read_audit_mode(metadata),
    )


def _named_ports(spec: Field) -> tuple[tuple[str, NamedPort], ...]:
    """Read the names that containers give to ports, for policies that use them."""
    found = set()
    for container in spec["containers"].items():
        for port in container["ports"].items():
            if port["name"].present:
                protocol = port["protocol"]
                kind = protocol.choice(*PROTOCOL_NUMBERS) if protocol.present else "TCP"
                number = port["containerPort"].number(1, LAST_PORT)
                found.add((port["name"].name(), NamedPort(PROTOCOL_NUMBERS[kind], number)))
    return tuple(sorted(found))


def _created_s(field: Field) -> int | None:
    """Read a time as Kubernetes writes it; unquoted, YAML has made a datetime of it already."""
    value = field.value
    if value is None:
        return None
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(field.text())
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise field.error("a time such as 2026-11-20T18:26:44Z") from None


def _container(field: Field, key: ObjectKey) -> Pod:
    """Read what server.containers wrote: to everybody else a container is a pod of its node."""
    spec = field["spec"]
    workload = spec["workload"]
    return Pod(
        key=key,
        uid=field["metadata"]["uid"].text(""),
        labels=field["metadata"]["labels"].string_map() | {"image": spec["image"].text("")},
        owner=Owner(workload["kind"].name(), workload["name"].name()),
        node_name=spec["nodeName"].name(),
        service_account="",
        addresses=_distinct([each.address() for each in field["status"]["addresses"].items()]),
        host_network=False,
        interface="",
    )


def _pod_addresses(status: Field) -> tuple[Address, ...]:
    found = [each["ip"].address() for each in status["podIPs"].items()]
    if not found and status["podIP"].present:
        found = [status["podIP"].address()]
    return _distinct(found)


def _controller(field: Field, key: ObjectKey) -> Controller:
    return Controller(key=key, owner=_owner(field["metadata"]))


def _owner(metadata: Field) -> Owner | None:
    """Find the controlling owner; one that stands alone controls, unless it says otherwise."""
    references = tuple(metadata["ownerReferences"].items())
    for reference in references:
        if reference["controller"].truth(default=len(references) == 1):
            return Owner(reference["kind"].name(), reference["name"].name())
    return None


def _service(field: Field, key: ObjectKey) -> Service:
    spec = field["spec"]
    single = [spec["clusterIP"]] if spec["clusterIP"].present else []
    cluster = list(spec["clusterIPs"].items()) or single
    balancers = [each["ip"] for each in field["status"]["loadBalancer"]["ingress"].items()]
    given = [
        *(each for each in cluster if each.value not in ("None", "")),
        *spec["externalIPs"].items(),
        *(each for each in balancers if each.present),
    ]
    return Service(
        key=key,
        addresses=_distinct([each.address() for each in given]),
        ports=tuple(_service_port(each) for each in spec["ports"].items()),
    )


def _endpoint_slice(field: Field, key: ObjectKey) -> EndpointSlice:
    ready = [
        address.address()
        for each in field["endpoints"].items()
        if each["conditions"]["ready"].truth(default=True)
        for address in each["addresses"].items()
    ]
    return EndpointSlice(
        key=key,
        service=field["metadata"]["labels"][SERVICE_LABEL].text(""),
        ready=_distinct(ready),
        ports=tuple(_service_port(each) for each in field["ports"].items()),
    )


def _service_port(field: Field) -> ServicePort:
    protocol = field["protocol"]
    name = protocol.choice(*PROTOCOL_NUMBERS) if protocol.present else "TCP"
    return ServicePort(PROTOCOL_NUMBERS[name], field["port"].number(1, LAST_PORT))


def _network_policy(field: Field, key: ObjectKey) -> NetworkPolicy:
    return NetworkPolicy(key=key, policy=read_network_policy(field))


def _cilium_policy(field: Field, key: ObjectKey) -> NetworkPolicy:
    return NetworkPolicy(key=key, policy=read_cilium_policy(field))


def _distinct(addresses: list[Address]) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(addresses))


READERS: dict[str, tuple[str, Callable[[Field, ObjectKey], ClusterObject]]] = {
    "Namespace": ("v1", _namespace),
    "Node": ("v1", _node),
    "Pod": ("v1", _pod),
    "ReplicationController": ("v1", _controller),
    "Service": ("v1", _service),
    "DaemonSet": ("apps/v1", _controller),
    "Deployment": ("apps/v1", _controller),
    "ReplicaSet": ("apps/v1", _controller),
    "StatefulSet": ("apps/v1", _controller),
    "CronJob": ("batch/v1", _controller),
    "Job": ("batch/v1", _controller),
    CONTAINER_KIND: (CONTAINER_API_VERSION, _container),
    "EndpointSlice": ("discovery.k8s.io/v1", _endpoint_slice),
    "NetworkPolicy": ("networking.k8s.io/v1", _network_policy),
    NAMESPACED_KIND: ("cilium.io/v2", _cilium_policy),
    CLUSTERWIDE_KIND: ("cilium.io/v2", _cilium_policy),
}
"""Kind → the version understood and its reader."""

UNSUPPORTED_KINDS = (
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
)
"""Ignoring these in silence would leave people thinking that they are protected."""
