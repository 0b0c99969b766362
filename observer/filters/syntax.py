"""The syntax tree of a checked CEL expression, read from what the engine serializes.

Only what the estimate of its cost needs: which operations there are, and what they are applied to.
The format is cel.expr.CheckedExpr (github.com/google/cel-spec, cel/expr/checked.proto and
syntax.proto), inside of a google.protobuf.Any; the numbers below are those of its fields.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_ANY_VALUE: Final = 2
_CHECKED_EXPR: Final = 4
_FIXED64_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A literal; `text` holds the characters of a string, and of bytes."""

    text: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A variable, or the name of an enum's value."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """A field of a message."""

    operand: "Node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function or an operator; the target of a method comes first."""

    function: str
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A list, a map (keys and values in turn) or a message."""

    items: tuple["Node", ...]
    is_list: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """What `all`, `exists`, `map` and `filter` become."""

    variable: str
    range: "Node"
    sum_name: str
    start: "Node"
    condition: "Node"
    step: "Node"
    result: "Node"


Node = Constant | Name | Select | Call | Literal | Loop


class SyntaxFormatError(Exception):
    """Bytes that are no expression."""


def read_syntax(serialized: bytes) -> Node:
    """Return the tree of an expression as the engine serializes it.

    Raises:
        SyntaxFormatError: it holds something that is not known here.
    """
    try:
        return _node(_one(_one(serialized, _ANY_VALUE), _CHECKED_EXPR))
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise SyntaxFormatError(f"read expression: {error!r}") from error


def _node(data: bytes) -> Node:
    for number, value in _fields(data):
        if number in _READERS:
            return _READERS[number](value)
    raise SyntaxFormatError(f"read expression: a node without a kind: {data[:20]!r}")


def _constant(data: bytes) -> Node:
    texts = [value for number, value in _fields(data) if number in (6, 7)]
    return Constant(text=texts[0] if texts else None)


def _name(data: bytes) -> Node:
    return Name(name=_one(data, 1).decode())


def _select(data: bytes) -> Node:
    return Select(operand=_node(_one(data, 1)))


def _call(data: bytes) -> Node:
    arguments = tuple(_node(value) for number, value in _fields(data) if number in (1, 3))
    return Call(function=_one(data, 2).decode(), arguments=arguments)


def _list(data: bytes) -> Node:
    items = tuple(_node(value) for number, value in _fields(data) if number == 1)
    return Literal(items=items, is_list=True)


def _struct(data: bytes) -> Node:
    entries = [value for number, value in _fields(data) if number == 2]
    parts = (part for entry in entries for part in _fields(entry))
    items = tuple(_node(value) for number, value in parts if number in (3, 4))
    return Literal(items=items, is_list=False)


def _loop(data: bytes) -> Node:
    parts = dict(_fields(data))
    return Loop(
        variable=parts[1].decode(),
        range=_node(parts[2]),
        sum_name=parts[3].decode(),
        start=_node(parts[4]),
        condition=_node(parts[5]),
        step=_node(parts[6]),
        result=_node(parts[7]),
    )


_READERS: Final = {3: _constant, 4: _name, 5: _select, 6: _call, 7: _list, 8: _struct, 9: _loop}
"""By field of Expr.expr_kind."""


def _one(data: bytes, wanted: int) -> bytes:
    for number, value in _fields(data):
        if number == wanted:
            return value
    raise KeyError(wanted)


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk a message's fields; those that are numbers have no bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                _, at = _varint(data, at)
                value = b""
            case 1:
                value, at = b"", at + _FIXED64_BYTES
            case 2:
                size_bytes, start = _varint(data, at)
                value, at = data[start : start + size_bytes], start + size_bytes
            case wire_type:
                raise SyntaxFormatError(f"read expression: wire type {wire_type}")
        yield key >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
