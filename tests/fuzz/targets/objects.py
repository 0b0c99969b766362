"""Any bytes as a file of cluster objects: read, or refused by the names that people look for.

Input: the file. What is read is applied to the cluster's state, asked for, resolved to policy
entries, written to a recording and read back.
"""

import json
from collections.abc import Iterator

import yaml

from policy.compiler import Compiler
from policy.drafting import Profile
from policy.subjects import subject_of
from server.cluster.documents import LoadedObject, load_documents
from server.cluster.errors import ObjectError
from server.cluster.objects import Change, ChangeKind, ObjectKey
from server.cluster.read import read_object
from server.cluster.state import ClusterState
from tests.server.cluster.test_any_document import DOCUMENTS

MOST_BYTES = 4096
LONGEST_ERROR = 2000
LABELS: tuple[tuple[str, ...], ...] = (
    (),
    ("k8s:app=x",),
    ("k8s:a=b",),
    ("k8s:org=empire", "k8s:class=deathstar"),
)
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(f'*{before}' for _ in range(9))}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def check(data: bytes) -> None:
    try:
        loaded, errors = load_documents(data[:MOST_BYTES], file="x.yaml")
    except ObjectError as error:
        check_error(error)
        return
    for each in errors:
        check_error(each)
    use(loaded)


def check_error(error: ObjectError) -> None:
    assert str(error).startswith("read x.yaml")
    assert len(str(error)) < LONGEST_ERROR


def use(loaded: list[LoadedObject]) -> None:
    """Do with objects what the server does with them."""
    state = ClusterState()
    for each in loaded:
        text = json.dumps({"object": each.document}, default=str, skipkeys=True)
        recorded = json.loads(text)["object"]
        assert read_object(recorded, source="x.rec") == each.object
        state.apply(Change(kind=ChangeKind.ADDED, object=each.object, document=each.document))
    for pod in state.pods.values():
        assert state.workload(pod).name
        state.namespace_labels(pod.key.namespace)
    for key in state.services:
        state.backends(key)
    namespaces = {policy.name.namespace for policy in state.policies()} | {"default"}
    label_sets = [
        [f"k8s:io.kubernetes.pod.namespace={namespace}", *labels]
        for namespace in namespaces
        for labels in LABELS
    ]
    subjects = dict(enumerate(map(subject_of, label_sets), start=256))
    compiler = Compiler()
    for _ in compiler.learn(state.policies(), subjects):
        pass
    for identity in subjects:
        entries = compiler.compile(Profile(identity)).entries
        assert len(set(entries)) == len(entries)
    for each in loaded:
        state.apply(Change(kind=ChangeKind.DELETED, object=each.object, document=each.document))
    assert not state.pods
    assert state.namespace_labels(ObjectKey("Namespace", "", "default").name) == {}


def seeds() -> Iterator[tuple[str, bytes]]:
    for document in DOCUMENTS:
        yield document["kind"], yaml.safe_dump(document).encode()
        yield f"{document['kind']} json", json.dumps(document).encode()
    everything = {"apiVersion": "v1", "kind": "List", "items": DOCUMENTS}
    yield "list", yaml.safe_dump(everything, default_flow_style=True, width=2000).encode()
    yield "two", yaml.safe_dump_all(DOCUMENTS[:2]).encode()
    yield "aliases", f"apiVersion: v1\nkind: Node\n{BOMB}metadata: {{name: *i}}\n".encode()
    yield "itself", b"apiVersion: v1\nkind: Node\nmetadata: &a {name: n, annotations: *a}\n"
    yield "large number", b"kind: Node\napiVersion: 0x" + b"f" * 4000
    yield "odd keys", b"{apiVersion: v1, kind: Node, metadata: {name: n}, 2001-01-01: 1, ? [] : 2}"
