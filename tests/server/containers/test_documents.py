"""What of a container is told, and how it becomes an endpoint."""

from typing import Any

import pytest

from policy.errors import FieldError
from policy.fields import Field
from server.cluster.objects import ObjectKey, Owner, Pod
from server.cluster.read import read_object
from server.containers.documents import MOST_LABELS, container_document
from server.identities import identity_labels
from tests.server.containers.engine_double import container


def pod_of(entry: dict[str, Any]) -> Pod:
    document = container_document(Field(entry), node_name="box")
    assert document is not None
    found = read_object(document, source="engine")
    assert isinstance(found, Pod)
    return found


def labels_of(entry: dict[str, Any]) -> tuple[str, ...]:
    return identity_labels(pod_of(entry), namespace_labels={}, cluster_name="default")


def test_a_plain_container() -> None:
    pod = pod_of(container("web", "172.17.0.2", labels={"tier": "front"}))
    assert pod.key == ObjectKey("Container", "default", "web")
    assert [str(address) for address in pod.addresses] == ["172.17.0.2"]
    assert pod.owner == Owner("Container", "web")
    assert (pod.node_name, pod.host_network) == ("box", False)
    assert labels_of(container("web", "172.17.0.2", labels={"tier": "front"})) == (
        "container:image=nginx:1.27",
        "container:tier=front",
    )


def test_all_addresses_of_all_networks() -> None:
    pod = pod_of(container("web", "172.17.0.2", "fd00::2", "172.18.0.2", "172.17.0.2"))
    assert [str(each) for each in pod.addresses] == ["172.17.0.2", "fd00::2", "172.18.0.2"]


@pytest.mark.parametrize("prefix", ["com.docker.compose.", "io.podman.compose."])
def test_compose_gives_namespace_and_workload(prefix: str) -> None:
    labels = {
        f"{prefix}project": "shop",
        f"{prefix}service": "web",
        f"{prefix}container-number": "2",
        f"{prefix}config-hash": "4c0e4e2c",
    }
    entry = container("shop-web-2", "172.18.0.3", labels=labels)
    pod = pod_of(entry)
    assert pod.key == ObjectKey("Container", "shop", "shop-web-2")
    assert pod.owner == Owner("ComposeService", "web")
    # replicas are one identity: what differs between them is left out
    assert set(labels_of(entry)) == {
        f"container:{prefix}project=shop",
        f"container:{prefix}service=web",
        "container:image=nginx:1.27",
    }


@pytest.mark.parametrize("mode", ["host", "none", "container:0123"])
def test_without_an_address_of_its_own_it_is_no_endpoint(mode: str) -> None:
    assert container_document(Field(container("x", "", mode=mode)), node_name="box") is None
    bare = container("x", mode=mode) | {"NetworkSettings": None}
    assert container_document(Field(bare), node_name="box") is None


def test_labels_are_bounded_and_for_eyes() -> None:
    labels = {f"k{number:03}": "v" for number in range(200)}
    labels |= {"a" * 300: "x", "b": "y" * 300, "c": "two\nlines", "d\0": "x", "e": ""}
    found = labels_of(container("web", "10.0.0.1", labels=labels))
    assert len(found) == MOST_LABELS + 1
    assert "container:e=" in found
    assert not any(name in text for text in found for name in ("aaa", "yyy", "two", "\0"))


def test_a_label_cannot_claim_the_image() -> None:
    assert labels_of(container("web", "10.0.0.1", labels={"image": "other"})) == (
        "container:image=nginx:1.27",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Names": []}, "Names: .* such as /web"),
        ({"Names": ["/a/b"]}, "Names: .* such as /web"),
        ({"Names": [7]}, r"Names\[0\]: need text, found 7"),
        ({"Id": None}, "Id: is missing"),
        ({"Labels": ["x"]}, "Labels: need a mapping"),
        ({"Labels": {"a": 1}}, "Labels.a: need text, found 1"),
        ({"NetworkSettings": "x"}, "NetworkSettings: need a mapping"),
        ({"NetworkSettings": {"Networks": {"n": {"IPAddress": 5}}}}, "IPAddress: need text"),
    ],
)
def test_what_no_engine_would_send_is_named(change: dict[str, Any], message: str) -> None:
    entry = container("web", "10.0.0.1") | change
    with pytest.raises(FieldError, match=message):
        container_document(Field(entry), node_name="box")
