"""Cluster objects with wrong values in right places: read, or refused with the field's path.

Input: decisions (tests.fuzz.choices): documents, and in each some places and what is put there.
"""

import copy
from collections.abc import Iterator
from typing import Any

from server.cluster.documents import LoadedObject
from server.cluster.errors import ObjectError
from server.cluster.read import read_object
from tests.fuzz.choices import Choices
from tests.fuzz.targets.objects import check_error, use
from tests.server.cluster.test_any_document import DOCUMENTS, places

MOST_BYTES = 512
PLACES = [places(document) for document in DOCUMENTS]
TEXTS = (
    "", "a", "b", "n", "default", "kube-system", "Running", "Succeeded", "Pending", "None", "TCP",
    "UDP", "SCTP", "In", "NotIn", "Exists", "DoesNotExist", "Ingress", "Egress", "InternalIP",
    "10.0.0.1", "10.0.0.999", "fd00::1", "::ffff:10.0.0.1", "fe80::1%eth0", "0", "65536", "v1",
    "Pod", "Node", "Service", "ReplicaSet", "Job", "x-12345678", "\x00", "ä\n", "\ud800",
    "x" * 5000,
)  # fmt: skip
PLAIN: tuple[object, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    80,
    65_535,
    65_536,
    1 << 3_000,
    1.5,
    float("nan"),
    [],
    {},
)
KEYS: tuple[object, ...] = (
    "name",
    "kind",
    "podSelector",
    "matchLabels",
    "ports",
    "ip",
    "namespaceSelector",
    1,
    None,
)
DEEPEST = 5


def check(data: bytes) -> None:
    choices = Choices(data[:MOST_BYTES])
    loaded = []
    while choices.left:
        number = choices.number(1) % len(DOCUMENTS)
        document = copy.deepcopy(DOCUMENTS[number])
        for _ in range(choices.number(1) % 4):
            _change(document, choices.pick(PLACES[number]), choices)
        try:
            found = read_object(document, source="x.yaml")
        except ObjectError as error:
            check_error(error)
            continue
        if found is not None:
            loaded.append(LoadedObject(object=found, document=document, source="x.yaml"))
    use(loaded)


def _change(document: dict[str, Any], path: list[Any], choices: Choices) -> None:
    *parents, leaf = path
    at: Any = document
    for key in parents:
        try:
            at = at[key]
        except (TypeError, LookupError):
            return  # an earlier change took it away
    if isinstance(at, dict) or (isinstance(at, list) and leaf in range(len(at))):
        at[leaf] = _value(choices, DEEPEST)


def _value(choices: Choices, depth: int) -> object:
    match choices.number(1) % (6 if depth else 4):
        case 0 | 1:
            return choices.pick(TEXTS)
        case 2:
            return choices.pick(PLAIN)
        case 3:
            return choices.chunk().decode("latin-1")
        case 4:
            return [_value(choices, depth - 1) for _ in range(choices.number(1) % 4)]
        case _:
            return {
                choices.pick(KEYS): _value(choices, depth - 1) for _ in range(choices.number(1) % 4)
            }


def seeds() -> Iterator[tuple[str, bytes]]:
    for number, each in enumerate(PLACES):
        yield f"whole {number}", bytes((number, 0))
        for place in range(0, len(each), 3):
            yield f"changed {number} {place}", bytes((number, 1, place, 0, place))
    yield "all", b"".join(bytes((number, 0)) for number in range(len(DOCUMENTS)))
    yield "large number", bytes((0, 1, 0, 2, PLAIN.index(1 << 3_000)))
