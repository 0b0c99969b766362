"""Whatever stands in a document: an object, nothing, or an error that names the file."""

import copy
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from server.cluster.documents import load_documents
from server.cluster.errors import ObjectError
from server.cluster.read import READERS, read_object

DOCUMENTS: list[dict[str, Any]] = list(
    yaml.safe_load_all("""
apiVersion: v1
kind: Pod
metadata:
  name: a
  namespace: default
  uid: u
  labels: {app: x}
  annotations: {leavitt.io/interface: lxc1}
  ownerReferences: [{kind: ReplicaSet, name: r, controller: true}]
spec: {nodeName: n, serviceAccountName: s, hostNetwork: false}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: n}
status: {addresses: [{type: InternalIP, address: 10.0.0.1}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {a: b}}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], externalIPs: [10.0.0.2], ports: [{port: 80}]}
status: {loadBalancer: {ingress: [{ip: 10.0.0.3}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s, labels: {kubernetes.io/service-name: s}}
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
ports: [{port: 80, protocol: TCP}]
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: r, ownerReferences: [{kind: Deployment, name: d, controller: true}]}
---
apiVersion: leavitt.io/v1
kind: Container
metadata: {name: web, namespace: shop, uid: u, labels: {a: b}}
spec: {nodeName: n, image: nginx, workload: {kind: ComposeService, name: web}}
status: {addresses: [10.0.0.1, "fd00::1"]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec:
  podSelector: {matchLabels: {a: b}, matchExpressions: [{key: a, operator: In, values: [b]}]}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {}}], ports: [{protocol: TCP, port: 80, endPort: 90}]}]
  egress: [{to: [{podSelector: {}}, {namespaceSelector: {}}, {ipBlock: {cidr: 10.0.0.0/8}}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p}
spec:
  endpointSelector: {matchLabels: {a: b}}
  enableDefaultDeny: {egress: false}
  ingress:
  - fromEndpoints: [{matchLabels: {'k8s:a': b}}]
    toPorts: [{ports: [{port: "80", endPort: 90, protocol: TCP}]}]
  - {fromEntities: [host, world], icmps: [{fields: [{type: 8, family: IPv4}]}]}
  egressDeny: [{toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}]
specs: [{endpointSelector: {}, egress: [{toCIDR: [10.0.0.0/8]}]}]
""")
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.dates()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.text(), st.integers()), inner)
    ),
    max_leaves=5,
)


def places(value: object) -> list[list[Any]]:
    """The paths to everything inside."""
    found: list[list[Any]] = []
    if isinstance(value, dict):
        inner: Any = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    else:
        return found
    for key, each in inner:
        found.append([key])
        found += [[key, *path] for path in places(each)]
    return found


PLACES = [(document, path) for document in DOCUMENTS for path in places(document)]


def test_the_documents_are_good() -> None:
    kinds = {document["kind"] for document in DOCUMENTS if read_object(document, source="x")}
    assert len(kinds) == len(DOCUMENTS) == len({read for _, read in READERS.values()})


@given(st.sampled_from(PLACES), VALUES)
def test_any_value_anywhere_is_read_or_refused(
    place: tuple[dict[str, Any], list[Any]], value: object
) -> None:
    document = copy.deepcopy(place[0])
    *parents, leaf = place[1]
    at: Any = document
    for key in parents:
        at = at[key]
    at[leaf] = value
    try:
        read_object(document, source="x.yaml")
    except ObjectError as error:
        assert str(error).startswith("read x.yaml: ")  # noqa: PT017 # refusing is one of two good ends


@given(st.one_of(st.binary(), st.text().map(str.encode)))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    try:
        load_documents(text, file="x.yaml")
    except ObjectError as error:
        assert str(error).startswith("read x.yaml: parse YAML: ")  # noqa: PT017 # likewise
