"""Kubernetes label selectors: text in, a predicate over labels out.

    app=x, env in (prod, test), k8s:tier!=db, !canary, replicas>2

Several requirements are joined by commas, and all must hold. Grammar and error texts are those
that users of kubectl and Hubble know.
"""

import re
from collections.abc import Callable
from typing import Final

from observer.filters.errors import FilterError
from observer.filters.labels import (
    ANY_SOURCE,
    CIDR_SOURCE,
    INTEGER,
    Labels,
    Requirement,
    parse_network,
)

_TOKEN: Final = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+|$)")
_OPERATORS: Final = "in, notin, =, ==, !=, gt, lt"
_EQUALITY: Final = ("=", "==", "!=")
_SETS: Final = ("in", "notin")
_ORDER: Final = ("<", ">")
_SPECIAL: Final = frozenset(("==", "!=", "=", "!", "<", ">", "(", ")", ",", ""))
_NAME: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_CHARACTERS: Final = (
    "consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character "
)
_NAME_RULE: Final = (
    f"{_CHARACTERS}(e.g. 'MyName',  or 'my.name',  or '123-abc', "
    f"regex used for validation is '{_NAME.pattern}')"
)
_VALUE_RULE: Final = (
    f"be an empty string or {_CHARACTERS}(e.g. 'MyValue',  or 'my_value',  or '12345', "
    f"regex used for validation is '({_NAME.pattern})?')"
)
_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
    "'-' or '.', and must start and end with an alphanumeric character "
    f"(e.g. 'example.com', regex used for validation is '{_SUBDOMAIN.pattern}')"
)
_NOINTEGER: Final = "for 'Gt', 'Lt' operators, the value must be an integer"
_MAX_NAME_CHARS: Final = 63
_MAX_SUBDOMAIN_CHARS: Final = 253

Selector = Callable[[Labels], bool]


def parse_selector(text: str) -> Selector:
    """Return a predicate over parsed labels; an empty selector accepts all.

    Raises:
        FilterError: the text is no selector; it says what was found and expected.
    """
    requirements = _Parser(text).selector()
    if len(requirements) == 1:
        return requirements[0].matches
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
            if self._peek() == "":
                raise FilterError("found '', expected: identifier after ','")

    def _peek(self) -> str:
        return str(self._tokens[self._at]) if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _requirement(self) -> Requirement:
        if self._peek() == "!":
            self._next()
            if self._peek() == "!":
                raise FilterError("unable to parse requirement: found '!', expected: identifier")
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
        if self._peek() in _SPECIAL:
            nothing = f"{ANY_SOURCE}."
            raise _invalid("<nil>", nothing, _key_error(nothing))
        return self._next()

    def _exact(self) -> str:
        if self._peek() in ("", ","):
            return ""
        token = self._next()
        if token in _SPECIAL:
            raise FilterError(f"unable to parse requirement: found '{token}', expected: identifier")
        return token

    def _values(self) -> tuple[str, ...]:
        if self._peek() != "(":
            raise FilterError(f"unable to parse requirement: found '{self._peek()}' expected: '('")
        self._next()
        values: list[str] = []
        expect_value = True
        while (found := self._next()) != ")":
            if found == ",":
                # `(a,)` and `(,a)` hold the empty value too.
                values += [""] if expect_value else []
                expect_value = True
            elif found in _SPECIAL or not expect_value:
                expected = "',' or ')'"
                if expect_value:
                    expected = "',', or identifier" if values else "',', ')' or identifier"
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
    # What is checked, and told, is the form in which Kubernetes knows it.
    full_key = f"{source}.{rest}"
    if reason := _key_error(full_key):
        raise _invalid("<nil>", full_key, reason)
    for index, value in enumerate(values):
        if operator in _ORDER and not INTEGER.fullmatch(value):
            raise _invalid(f"values[{index}]", value, _NOINTEGER)
        if reason := _value_error(value):
            raise _invalid(f"values[{index}][{full_key}]", value, reason)
    network = parse_network(rest) if source == CIDR_SOURCE else None
    return Requirement(
        source=source, key=rest, operator=operator, values=frozenset(values), network=network
    )


def _key_error(key: str) -> str:
    *prefixes, name = key.split("/")
    if len(prefixes) > 1:
        optional = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return f"a valid label key must {_NAME_RULE} {optional}"
    reasons = []
    if prefixes and len(prefixes[0]) > _MAX_SUBDOMAIN_CHARS:
        reasons.append(f"prefix part must be no more than {_MAX_SUBDOMAIN_CHARS} bytes")
    if prefixes and not _SUBDOMAIN.fullmatch(prefixes[0]):
        reasons.append(f"prefix part {_SUBDOMAIN_RULE}")
    if not name:
        reasons.append("name part must be non-empty")
    if len(name) > _MAX_NAME_CHARS:
        reasons.append(f"name part must be no more than {_MAX_NAME_CHARS} bytes")
    if not _NAME.fullmatch(name):
        reasons.append(f"name part must {_NAME_RULE}")
    return "; ".join(reasons)


def _value_error(value: str) -> str:
    reasons = []
    if len(value) > _MAX_NAME_CHARS:
        reasons.append(f"must be no more than {_MAX_NAME_CHARS} bytes")
    if value and not _NAME.fullmatch(value):
        reasons.append(f"a valid label must {_VALUE_RULE}")
    return "; ".join(reasons)


def _invalid(path: str, value: str, reason: str) -> FilterError:
    return FilterError(f'unable to parse requirement: {path}: Invalid value: "{value}": {reason}')
