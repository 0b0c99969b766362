"""Kubernetes label selectors over Cilium labels.

    app=x, env in (prod, test), k8s:tier!=db, !canary, replicas>2

A requirement's key may name the label's source (`k8s:app`); without one, any source matches.
Flow labels have the form `source:key=value`. A key with source `cidr` matches every label whose
network lies inside of it. Grammar and error texts are those that kubectl users know.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from observer.filters.errors import FilterError

ANY_SOURCE: Final = "any"
_CIDR_SOURCE: Final = "cidr"
_TOKEN: Final = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+|$)")
_OPERATORS: Final = "in, notin, =, ==, !=, gt, lt"
_EQUALITY: Final = ("=", "==", "!=")
_SETS: Final = ("in", "notin")
_ORDER: Final = ("<", ">")
_SPECIAL: Final = frozenset(("==", "!=", "=", "!", "<", ">", "(", ")", ",", ""))
_NAME: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_MAX_NAME_CHARS: Final = 63
_MAX_SUBDOMAIN_CHARS: Final = 253

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Label:
    """A parsed label of an endpoint."""

    source: str
    key: str
    value: str


@lru_cache(maxsize=1024)
def parse_labels(labels: tuple[str, ...]) -> tuple[Label, ...]:
    """Return labels parsed; label sets are few, so the last ones are kept."""
    return tuple(_parse_label(text) for text in labels)


def _parse_label(text: str) -> Label:
    name, _, value = text.partition("=")
    source, colon, key = name.partition(":")
    return Label(source, key, value) if colon else Label("unspec", name, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One condition on a label; a selector is all of its requirements."""

    source: str
    key: str
    operator: str
    """exists, !, in, notin, > or <; the equality signs are sets of one value."""
    values: tuple[str, ...]
    network: Network | None
    """The key as a network, where the source is cidr."""

    def matches(self, labels: tuple[Label, ...]) -> bool:
        """Judge a set of labels."""
        found = next((label for label in labels if self._has(label)), None)
        match self.operator:
            case "exists":
                return found is not None
            case "!":
                return found is None
            case "in":
                return found is not None and found.value in self.values
            case "notin":
                return found is None or found.value not in self.values
            case _:
                return found is not None and self._in_order(found.value)

    def _has(self, label: Label) -> bool:
        if self.source not in (ANY_SOURCE, label.source):
            return False
        if label.key == self.key:
            return True
        return self.network is not None and _inside(label.key, self.network)

    def _in_order(self, value: str) -> bool:
        if not _INTEGER.fullmatch(value):
            return False
        bound = int(self.values[0])
        return int(value) > bound if self.operator == ">" else int(value) < bound


def _network(key: str) -> Network | None:
    try:
        # Labels write the colons of IPv6 as dashes, since keys may not hold colons.
        return ip_network(key.replace("-", ":"), strict=False)
    except ValueError:
        return None


def _inside(key: str, network: Network) -> bool:
    inner = _network(key)
    match (inner, network):
        case (IPv4Network(), IPv4Network()) | (IPv6Network(), IPv6Network()):
            # The versions agree; the checker cannot tell.
            return inner.subnet_of(network)  # type: ignore[union-attr, arg-type]
        case _:
            return False


Selector = Callable[[tuple[Label, ...]], bool]


def parse_selector(text: str) -> Selector:
    """Return a predicate over parsed labels; an empty selector accepts all.

    Raises:
        FilterError: the text is no selector; it says what was found and expected.
    """
    try:
        requirements = _Parser(text).selector()
    except FilterError as error:
        raise FilterError(f'couldn\'t parse the selector string "{text}": {error}') from None
    return lambda labels: all(requirement.matches(labels) for requirement in requirements)


class _Parser:
    """Recursive descent over the tokens of one selector."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def selector(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        if self._peek() == "":
            return requirements
        while True:
            requirements.append(self._requirement())
            found = self._next()
            if found == "":
                return requirements
            if found != ",":
                raise FilterError(f"found '{found}', expected: ',' or 'end of string'")
            if self._peek() != "!" and self._peek() in _SPECIAL:
                raise FilterError(f"found '{self._peek()}', expected: identifier after ','")

    def _peek(self) -> str:
        return str(self._tokens[self._at]) if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._next()
            return _requirement(self._key(), "!", ())
        key = self._key()
        if self._peek() in ("", ","):
            return _requirement(key, "exists", ())
        operator = self._next()
        if operator in _EQUALITY:
            return _requirement(key, "notin" if operator == "!=" else "in", (self._exact(),))
        if operator in _ORDER:
            return _requirement(key, operator, (self._exact(),))
        if operator in _SETS:
            return _requirement(key, operator, self._values())
        raise FilterError(
            f"unable to parse requirement: found '{operator}', expected: {_OPERATORS}"
        )

    def _key(self) -> str:
        token = self._next()
        if token in _SPECIAL:
            expected = "!, identifier, or 'end of string'"
            raise FilterError(f"found '{token}', expected: {expected}")
        return token

    def _exact(self) -> str:
        if self._peek() in ("", ","):
            return ""
        token = self._next()
        if token in _SPECIAL:
            raise FilterError(f"unable to parse requirement: found '{token}', expected: identifier")
        return token

    def _values(self) -> tuple[str, ...]:
        if self._next() != "(":
            raise FilterError("unable to parse requirement: expected: '('")
        values: list[str] = []
        expect_value = True
        while (found := self._next()) != ")":
            if found == ",":
                # `(a,)` and `(,a)` hold the empty value too.
                values += [""] if expect_value else []
                expect_value = True
            elif found in _SPECIAL or not expect_value:
                expected = "',' or ')'" if not expect_value else "',', ')' or identifier"
                reason = f"found '{found}', expected: {expected}"
                raise FilterError(f"unable to parse requirement: {reason}")
            else:
                values.append(found)
                expect_value = False
        if expect_value and values:
            values.append("")
        return tuple(values)


def _requirement(key: str, operator: str, values: tuple[str, ...]) -> Requirement:
    source, colon, rest = key.partition(":")
    if not colon:
        source, rest = ANY_SOURCE, key
    _check_key(f"{source}.{rest}")
    if operator in _SETS and not values:
        raise _invalid("values", "for 'in', 'notin' operators, values set can't be empty")
    for index, value in enumerate(values):
        if operator in _ORDER and not _INTEGER.fullmatch(value):
            raise _invalid(
                f"values[{index}]", f'"{value}": for Gt, Lt the value must be an integer'
            )
        if value and not _valid_name(value):
            raise _invalid(f"values[{index}][{key}]", f'"{value}": not a valid label value')
    network = _network(rest) if source == _CIDR_SOURCE else None
    return Requirement(source=source, key=rest, operator=operator, values=values, network=network)


def _check_key(key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= _MAX_SUBDOMAIN_CHARS and _SUBDOMAIN.fullmatch(prefix)):
        raise _invalid("key", f'"{key}": prefix part must be a DNS subdomain')
    if not _valid_name(name):
        raise _invalid("key", f'"{key}": name part must be a valid label name')


def _valid_name(text: str) -> bool:
    return len(text) <= _MAX_NAME_CHARS and _NAME.fullmatch(text) is not None


def _invalid(path: str, reason: str) -> FilterError:
    return FilterError(f"unable to parse requirement: {path}: Invalid value: {reason}")
