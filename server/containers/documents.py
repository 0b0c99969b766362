"""A container as its engine describes it → an object document, as server.cluster.read takes it.

In: one element of /containers/json. Out: a document of kind Container: what recordings keep, and
what is told apart from the last time. None for a container without an address of its own (the
host's network, another container's, none). Fields are bounded here: labels of images may hold
anything.

    namespace   the Compose project, else "default"
    name        the container's name, and so the pod name of its flows
    workload    the Compose service, else the container itself
    labels      container:image=… and container:KEY=VALUE
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from server.cluster.objects import CONTAINER_API_VERSION, CONTAINER_KIND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policy.fields import Field
    from server.cluster.objects import Document

DEFAULT_NAMESPACE: Final = "default"
MOST_LABELS: Final = 64
MOST_CHARACTERS: Final = 253

_COMPOSE: Final = ("com.docker.compose.", "io.podman.compose.")
"""Beginnings of the labels that Compose adds; most of them differ from container to container."""
_ADDRESSES: Final = ("IPAddress", "GlobalIPv6Address")


def container_document(found: Field, *, node_name: str) -> Document | None:
    """Describe the container; None if it has no address of its own.

    Raises:
        FieldError: It is not what an engine would send; the message names field and value.
    """
    networks = found["NetworkSettings"]["Networks"]
    given = networks.value if isinstance(networks.value, dict) else {}
    texts = [networks[name][key].text("") for name in sorted(given) for key in _ADDRESSES]
    addresses = list(dict.fromkeys(text for text in texts if text))
    if not addresses:
        return None
    name = _name(found)
    labels = found["Labels"].string_map()
    service = _of_compose(labels, "service")
    workload = ("ComposeService", service) if service else (CONTAINER_KIND, name)
    return {
        "apiVersion": CONTAINER_API_VERSION,
        "kind": CONTAINER_KIND,
        "metadata": {
            "namespace": _of_compose(labels, "project") or DEFAULT_NAMESPACE,
            "name": name,
            "uid": found["Id"].name(),
            "labels": _bounded(labels),
        },
        "spec": {
            "nodeName": node_name,
            "image": found["Image"].text("")[:MOST_CHARACTERS],
            "workload": dict(zip(("kind", "name"), workload, strict=True)),
        },
        "status": {"addresses": addresses},
    }


def _name(found: Field) -> str:
    """The container's own name; names that others link it by have their name before."""
    names = [each.name().removeprefix("/") for each in found["Names"].items()]
    own = [name for name in names if name and "/" not in name]
    if not own:
        raise found["Names"].error("a name such as /web")
    return own[0]


def _of_compose(labels: Mapping[str, str], key: str) -> str:
    return next((labels[each + key] for each in _COMPOSE if labels.get(each + key)), "")


def _bounded(labels: Mapping[str, str]) -> dict[str, str]:
    """Leave out what would make each container an identity of its own, or is no label for eyes."""
    kept = (
        (key, value)
        for key, value in sorted(labels.items())
        if not (key.startswith(_COMPOSE) and key.rpartition(".")[2] not in ("project", "service"))
        and len(key) <= MOST_CHARACTERS >= len(value)
        and key.isprintable()
        and value.isprintable()
    )
    return dict(list(kept)[:MOST_LABELS])
