"""A synthetic node's cluster as Kubernetes objects, for servers that are told of it that way.

The server numbers label sets and pods by its own rules: `Numbers` asks it for them, so that the
samples of a recording can carry the identities and endpoint ids that it will know.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from bench.workload import (
    ADDRESSES,
    CLUSTER,
    LOCAL_ENDPOINTS,
    RULES,
    SERVICES,
    SyntheticNode,
)
from observer.addresses import AddressBook
from observer.entities import Endpoint, PolicyRef, address_text
from observer.table.interns import Interns
from server.cluster.objects import Change, ChangeKind
from server.cluster.read import read_object
from server.cluster.state import ClusterState
from server.endpoints import EndpointManager

NODE_NAME: Final = "bench-1"
NAMESPACES: Final = 20
_PORTS: Final = (53, 80, 443, 5432, 6379, 8080, 9090, 50051)
_SERVERS_LABELS: Final = ("k8s:io.kubernetes", "k8s:io.cilium")

Document = dict[str, Any]


def objects_of(node: SyntheticNode) -> Iterator[Document]:
    """The namespaces, the pods, the services, and a policy for each rule of the workload."""
    yield from (_namespace(f"ns-{number}") for number in range(NAMESPACES))
    for number, endpoint in enumerate(node.endpoints):
        addresses = [address_text(node.address(number, ipv6=ipv6)) for ipv6 in (False, True)]
        yield _pod(endpoint, addresses, is_local=number < LOCAL_ENDPOINTS)
    for number in range(SERVICES):
        address = address_text(node.address(ADDRESSES - 1 - number, ipv6=False))
        yield _service(f"service-{number}", f"ns-{number % NAMESPACES}", address)
    yield from (_policy(f"policy-{number}", number) for number in range(RULES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The workload's numbers → those that a server gives to the same things."""

    identities: NDArray[np.uint32]
    """uint32, shape (65536,), by the workload's identity."""
    endpoint_ids: NDArray[np.uint16]
    """uint16, shape (65536,), by the workload's endpoint id."""
    cookies: NDArray[np.uint32]
    """uint32, shape (RULES + 1,), by the workload's rule cookie."""

    @classmethod
    def of(cls, node: SyntheticNode) -> Self:
        """Let the server's own code look at the objects."""
        book = asyncio.run(_told_of(objects_of(node)))
        identities = np.arange(1 << 16, dtype=np.uint32)
        endpoint_ids = np.arange(1 << 16, dtype=np.uint16)
        for number, endpoint in enumerate(node.endpoints):
            known = book.endpoints[node.address(number, ipv6=False)]
            identities[endpoint.identity] = known.identity
            if endpoint.endpoint_id:
                endpoint_ids[endpoint.endpoint_id] = known.endpoint_id
        rules = sorted(book.cookies)
        cookies = np.array([0, *(rules[i % len(rules)] for i in range(RULES))], np.uint32)
        return cls(identities=identities, endpoint_ids=endpoint_ids, cookies=cookies)


class _NotingBook(AddressBook):
    """An address book that also remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(Interns(), cluster_name=CLUSTER)
        self.endpoints: dict[bytes, Endpoint] = {}
        self.cookies: set[int] = set()

    def set_endpoint(self, address: bytes, endpoint: Endpoint) -> None:
        self.endpoints[address] = endpoint
        super().set_endpoint(address, endpoint)

    def set_rule(self, cookie: int, policies: tuple[PolicyRef, ...]) -> None:
        self.cookies.add(cookie)
        super().set_rule(cookie, policies)


async def _told_of(documents: Iterable[Document]) -> _NotingBook:
    """Let the server's own code write the book, as it does in a replay."""
    state, book = ClusterState(), _NotingBook()
    for document in documents:
        found = read_object(document, source="bench")
        if found is not None:
            state.apply(Change(kind=ChangeKind.ADDED, object=found, document=document))
    manager = EndpointManager(
        node_name=NODE_NAME,
        cluster_name=CLUSTER,
        state=state,
        book=book,
        datapath=None,
        interfaces=None,
    )
    await manager.reconcile()
    return book


def _namespace(name: str) -> Document:
    labels = {
        "kubernetes.io/metadata.name": name,
        "team": f"team-{name}",
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _policy(name: str, number: int) -> Document:
    """Let some pods of a namespace be reached by others of it."""
    peer = {"podSelector": {"matchLabels": {"tier": ("front", "middle", "back")[number % 3]}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": f"ns-{number % NAMESPACES}"},
        "spec": {
            "podSelector": {},
            "ingress": [{"from": [peer], "ports": [{"protocol": "TCP", "port": 1024 + number}]}],
        },
    }


def _pod(endpoint: Endpoint, addresses: list[str], *, is_local: bool) -> Document:
    own = (label for label in endpoint.labels if not label.startswith(_SERVERS_LABELS))
    pairs = (label.removeprefix("k8s:").split("=", 1) for label in own)
    owner = f"{endpoint.workloads[0].name}-5d4c8f7b9"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": endpoint.pod_name,
            "namespace": endpoint.namespace,
            "uid": f"00000000-0000-4000-8000-{addresses[0]}",
            "labels": dict(pairs) | _chart_labels(endpoint),
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "controller": True}
            ],
        },
        "spec": {"nodeName": NODE_NAME if is_local else "bench-2"},
        "status": {
            "phase": "Running",
            "podIP": addresses[0],
            "podIPs": [{"ip": address} for address in addresses],
        },
    }


def _chart_labels(endpoint: Endpoint) -> dict[str, str]:
    """What a chart puts on its pods, and the one that their controller adds."""
    app = endpoint.workloads[0].name
    return {
        "app.kubernetes.io/instance": app,
        "app.kubernetes.io/managed-by": "Helm",
        "helm.sh/chart": f"{app}-1.4.2",
        "pod-template-hash": "5d4c8f7b9",
    }


def _service(name: str, namespace: str, address: str) -> Document:
    ports = [
        {"name": f"{protocol.lower()}-{port}", "protocol": protocol, "port": port}
        for port in _PORTS
        for protocol in ("TCP", "UDP")
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": address, "ports": ports},
    }
