"""Labs for tests: two nodes, a web pod on one, its visitor on the other, and DNS.

`plain_lab` is shared by a whole module, since building one takes two seconds; a test that changes
a lab builds its own. Run ids carry the process id: tests of several people may run at once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lab.session import Lab, open_lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TWO_NODES = """
apiVersion: v1
kind: Node
metadata: {name: north}
status:
  addresses:
    - {type: InternalIP, address: 172.30.0.1}
    - {type: InternalIP, address: "fd00:172:30::1"}
---
apiVersion: v1
kind: Node
metadata: {name: south}
status:
  addresses:
    - {type: InternalIP, address: 172.30.0.2}
    - {type: InternalIP, address: "fd00:172:30::2"}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  nodeName: north
  containers:
    - name: web
      command: [hubble-lab, serve, deathstar]
      ports: [{containerPort: 80}]
status:
  podIPs: [{ip: 10.244.1.10}, {ip: "fd00:244:1::10"}]
---
apiVersion: v1
kind: Pod
metadata: {name: visitor}
spec: {nodeName: south}
status:
  podIPs: [{ip: 10.244.2.10}, {ip: "fd00:244:2::10"}]
---
apiVersion: v1
kind: Pod
metadata: {name: coredns, namespace: kube-system}
spec:
  nodeName: south
  containers:
    - name: coredns
      command: [hubble-lab, serve, dns]
      ports: [{containerPort: 53, protocol: UDP}, {containerPort: 53}]
status:
  podIPs: [{ip: 10.244.2.53}, {ip: "fd00:244:2::53"}]
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: kube-dns-1
  namespace: kube-system
  labels: {kubernetes.io/service-name: kube-dns}
endpoints: [{addresses: [10.244.2.53]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-1
  namespace: shop
  labels: {kubernetes.io/service-name: web}
endpoints:
  - {addresses: [10.244.1.10], conditions: {ready: true}}
  - {addresses: ["fd00:244:1::10"]}
  - {addresses: [10.244.1.99], conditions: {ready: false}}
"""


@pytest.fixture(scope="session")
def run_id() -> str:
    """A run id that no other test process has."""
    return f"t{os.getpid()}"[:8]


@pytest.fixture
def two_nodes_file(tmp_path: Path) -> Path:
    """The scenario as a file, to be read or changed by one test."""
    path = tmp_path / "two-nodes.yaml"
    path.write_text(TWO_NODES)
    return path


@pytest.fixture(scope="module")
def plain_lab(tmp_path_factory: pytest.TempPathFactory, run_id: str) -> Iterator[Lab]:
    """A lab that routes by itself, up for all tests of a module."""
    path = tmp_path_factory.mktemp("scenario") / "two-nodes.yaml"
    path.write_text(TWO_NODES)
    with open_lab(path, run=run_id, plain=True) as lab:
        yield lab
