"""A label selector as it is written: matchLabels and matchExpressions.

Kubernetes and Cilium share the shape; what a key means differs, so the reader of each kind gives
a function for that. A key that no identity carries is refused: it would select nothing, or with
NotIn everything, and nobody would notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.labels import is_security_key
from policy.selectors import ANY_SOURCE, Operator, Requirement
from policy.subjects import NAMESPACE_KEY, NAMESPACE_LABEL_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from policy.errors import UnsupportedError
    from policy.fields import Field

    KeyMeaning = Callable[[str, Field], str]
    """From a key as written, and where, to `source:key`; FieldError where it means nothing."""

POD_KEYS = (
    "io.kubernetes.pod.namespace",
    "io.cilium.k8s.policy.cluster",
    "io.cilium.k8s.policy.serviceaccount",
)
"""In every pod's identity, though no pod sets them itself."""
NAME_OF_NAMESPACE = "kubernetes.io/metadata.name"
"""A label that Kubernetes gives to every namespace: its name."""
KNOWN_SOURCES = ("any", "k8s", "reserved", "container")


def read_requirements(field: Field, key_meaning: KeyMeaning) -> tuple[Requirement, ...]:
    """Read the selector written at the field.

    Raises:
        FieldError: It is missing, malformed, or asks for a label that identities do not have.
    """
    if not field.present:
        raise field.error("a selector, {} for all")
    field.only("matchLabels", "matchExpressions")
    labels = field["matchLabels"]
    equal = tuple(
        Requirement(
            key=key_meaning(key, labels[key]), operator=Operator.IN, values=frozenset({value})
        )
        for key, value in labels.string_map().items()
    )
    expressions = field["matchExpressions"].items()
    return equal + tuple(_read_expression(each, key_meaning) for each in expressions)


def pod_key(key: str, field: Field) -> str:
    """Give the meaning of a key in a podSelector: a label of the pod itself."""
    if not is_security_key(key):
        raise _not_in_identity(key, field)
    return f"k8s:{key}"


def namespace_key(key: str, field: Field) -> str:
    """Give the meaning of a key in a namespaceSelector: a label of the pod's namespace."""
    if not key:
        raise field.error("a key")
    return NAMESPACE_KEY if key == NAME_OF_NAMESPACE else f"k8s:{NAMESPACE_LABEL_PREFIX}{key}"


def cilium_key(key: str, field: Field) -> str:
    """Give the meaning of a key in an endpoint selector: a source may stand before it."""
    source, colon, name = key.partition(":")
    if not colon:
        source, name = "any", key
    if source not in KNOWN_SOURCES:
        raise field.unsupported(f"label source {source} is not one of {', '.join(KNOWN_SOURCES)}")
    if source == "reserved":
        return key
    if name.startswith(NAMESPACE_LABEL_PREFIX):
        # the name of the namespace is there even if its object is not, or says nothing
        if name.removeprefix(NAMESPACE_LABEL_PREFIX) == NAME_OF_NAMESPACE:
            return NAMESPACE_KEY
    elif name not in POD_KEYS and not is_security_key(name):
        raise _not_in_identity(name, field)
    return f"{ANY_SOURCE if source == 'any' else source + ':'}{name}"


def _read_expression(field: Field, key_meaning: KeyMeaning) -> Requirement:
    field.only("key", "operator", "values")
    key = key_meaning(field["key"].name(), field["key"])
    operator = Operator(field["operator"].choice(*Operator))
    values = frozenset(value.text() for value in field["values"].items())
    if operator in (Operator.IN, Operator.NOT_IN) and not values:
        raise field["values"].error(f"at least one value for {operator}")
    if operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST) and values:
        raise field["values"].error(f"no values for {operator}")
    return Requirement(key=key, operator=operator, values=values)


def _not_in_identity(key: str, field: Field) -> UnsupportedError:
    return field.unsupported(f"label {key} is not part of a pod's identity and selects nothing")
