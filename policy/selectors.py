"""Label selectors: which pods a policy is about.

Reads the `podSelector` of a policy (matchLabels and matchExpressions, all of which must hold) and
answers for a pod's namespace and labels. The empty selector selects every pod of its namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, assert_never

from policy.labels import is_security_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policy.fields import Field


class Subject(NamedTuple):
    """What a policy may know of a pod: all pods of one identity look the same."""

    namespace: str
    labels: Mapping[str, str]


class Operator(StrEnum):
    """How a requirement compares, in Kubernetes' spelling."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels meet it; NotIn is met where the label is missing."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels
        assert_never(self.operator)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSelector:
    """Pods of one namespace whose labels meet all requirements."""

    namespace: str
    requirements: tuple[Requirement, ...] = ()

    def selects(self, subject: Subject) -> bool:
        """Tell whether pods of this namespace and these labels are meant."""
        if subject.namespace != self.namespace:
            return False
        return all(requirement.holds(subject.labels) for requirement in self.requirements)


def read_pod_selector(field: Field, namespace: str) -> PodSelector:
    """Read the selector written at the field, for pods of the namespace.

    Raises:
        FieldError: It is missing, malformed, or asks for a label that identities do not have.
    """
    if not field.present:
        raise field.error("a selector, {} for all pods of the namespace")
    field.only("matchLabels", "matchExpressions")
    labels = field["matchLabels"]
    equal = tuple(
        Requirement(key=_key(key, labels[key]), operator=Operator.IN, values=frozenset({value}))
        for key, value in labels.string_map().items()
    )
    expressions = tuple(_read_expression(each) for each in field["matchExpressions"].items())
    return PodSelector(namespace=namespace, requirements=equal + expressions)


def _read_expression(field: Field) -> Requirement:
    field.only("key", "operator", "values")
    key = _key(field["key"].name(), field["key"])
    operator = Operator(field["operator"].choice(*Operator))
    values = frozenset(value.text() for value in field["values"].items())
    if operator in (Operator.IN, Operator.NOT_IN) and not values:
        raise field["values"].error(f"at least one value for {operator}")
    if operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST) and values:
        raise field["values"].error(f"no values for {operator}")
    return Requirement(key=key, operator=operator, values=values)


def _key(key: str, field: Field) -> str:
    if not is_security_key(key):
        raise field.unsupported(f"label {key} is not part of a pod's identity and selects nothing")
    return key
