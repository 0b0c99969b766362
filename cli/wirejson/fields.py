"""Tables that drive the walk: for each tag of a message, where its text goes and what it is.

flow.Flow   0x12 0x10  ->  slot 3, VARINT,  {1: '"verdict":"FORWARDED",', ...}
            0x42       ->  slot 9, PAYLOAD, {b'...': '"source":{...},', ...}
            0x0a       ->  slot 0, UNIQUE,  writes '"time":"...",'
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from cli.kept import Kept
from cli.wirejson import render

VARINT, PAYLOAD, UNIQUE, ELEMENT, FIXED = range(5)
"""How a row's value is read: a varint; a payload that comes again, that does not, that is one of
a list; eight bytes."""

WriterOf = Callable[[Any], Callable[[bytes], str]]
"""Finds the writer of a message by its descriptor; upb's descriptors are not the declared type."""
Write = Callable[[Any], str]

_KEPT = 8192
_WIRE_TYPES = {VARINT: 0, FIXED: 1, PAYLOAD: 2, UNIQUE: 2, ELEMENT: 2}
# With ports and times in them, no two are the same.
_UNIQUE_MESSAGES = frozenset(
    {"google.protobuf.Timestamp", "flow.Flow", "flow.Layer4", "flow.TCP", "flow.UDP"}
)


class Row(NamedTuple):
    """One row of a table; a named tuple because the walk takes it apart for each field."""

    slot: int
    """Place in the JSON text; shared by the members of a oneof."""
    kind: int
    """How the value is read."""
    texts: "Texts"
    """Values to texts, name and comma included."""


class Texts(dict[Any, str]):
    """Texts of one field by raw value; makes and keeps what is missing, at most 8,192."""

    def __init__(self, name: str, write: Write, *, zero_is_unset: bool) -> None:
        """Take the field's name, and what turns a raw value into text."""
        self.head = f'"{name}":'
        self.write = write
        self._zero_is_unset = zero_is_unset

    def fresh(self, raw: int | bytes) -> str:
        """Write a value without keeping the text; nothing for one that counts as unset."""
        if not raw and self._zero_is_unset:
            return ""
        return f"{self.head}{self.write(raw)},"

    def __missing__(self, raw: int | bytes) -> str:
        """Write a value that was not met before."""
        text = self.fresh(raw)
        if len(self) >= _KEPT:
            self.clear()
        self[raw] = text
        return text


def rows_of(descriptor: Any, writer_of: WriterOf) -> dict[int, Row]:  # noqa: ANN401  (upb's type)
    """Make the table of a message: tag, its bytes as a little-endian number, to row."""
    slots: dict[str, int] = {}
    table = {}
    for field in descriptor.fields:
        oneof = field.containing_oneof
        place = oneof.full_name if oneof is not None else field.full_name
        slot = slots.setdefault(place, len(slots))
        kind, write = _kind(field, writer_of)
        tag = field.number << 3 | _WIRE_TYPES[kind]
        texts = Texts(field.name, write, zero_is_unset=not field.has_presence)
        table[tag] = Row(slot=slot, kind=kind, texts=texts)
    return table


def unpacked_tags(descriptor: Any) -> frozenset[int]:  # noqa: ANN401  (upb's type)
    """Tags of lists of numbers whose elements stand alone: valid, but no encoder writes them."""
    return frozenset(
        field.number << 3 for field in descriptor.fields if field.is_repeated and field.is_packed
    )


def _kind(field: FieldDescriptor, writer_of: WriterOf) -> tuple[int, Write]:
    is_text = field.type == FieldDescriptor.TYPE_STRING
    if field.message_type is not None:
        write = _later(field.message_type, writer_of)
        unique = field.message_type.full_name in _UNIQUE_MESSAGES
    elif is_text:
        write, unique = render.string, field.name == "uuid"
    elif field.type == FieldDescriptor.TYPE_DOUBLE and not field.is_repeated:
        return FIXED, render.double
    else:
        of_varint = render.varint_text(field)
        if field.is_repeated:
            return PAYLOAD, lambda payload: _packed(payload, of_varint)
        return VARINT, of_varint
    if field.is_repeated:
        # Labels: endpoints have most of theirs in common.
        return ELEMENT, Kept(write).__getitem__ if is_text else write
    return UNIQUE if unique else PAYLOAD, write


def _later(descriptor: Any, writer_of: WriterOf) -> Write:  # noqa: ANN401  (upb's type)
    """Get the writer of an inner message when the first payload comes: most never come."""
    writer: Write | None = None

    def write(payload: bytes) -> str:
        nonlocal writer
        if writer is None:
            writer = writer_of(descriptor)
        return writer(payload)

    return write


def _packed(payload: bytes, of_varint: Callable[[int], str]) -> str:
    texts, position = [], 0
    while position < len(payload):
        value, position = varint(payload, position)
        texts.append(of_varint(value))
    return f"[{','.join(texts)}]"


def varint(data: bytes, position: int) -> tuple[int, int]:
    """Read a varint of at most 64 bits; returns value and next position.

    Raises:
        IndexError: the bytes end before it does.
        DecodeError: more than ten bytes.
    """
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7
        if shift > 63:
            raise DecodeError("varint of more than ten bytes")
