"""Tables that drive the walk: for each tag of a message, where its text goes and who writes it."""

from collections.abc import Callable
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from cli.wirejson import render

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

WriterOf = Callable[[Descriptor], Callable[[bytes], str]]
WriteVarint = Callable[[int], str]
WritePayload = Callable[[bytes], str]


class Field(NamedTuple):
    """One row of a table; a named tuple because the walk takes it apart for each field it meets."""

    slot: int
    """Place in the JSON text; shared by the members of a oneof."""
    head: str
    """Name in quotes and colon."""
    of_varint: WriteVarint | None
    """Writes a raw varint; None if the field travels as a payload."""
    of_payload: WritePayload
    """Writes a payload: the bytes behind a length, or the 8 bytes of a double."""
    repeated: bool
    """Whether each payload is one element of a list."""
    zero_is_unset: bool
    """Whether a zero or an empty payload is left out."""
    varints: dict[int, str]
    """Texts by raw value, with head and comma."""
    payloads: dict[bytes, str]
    """Texts by payload, with head and comma."""


def fields_of(descriptor: Descriptor, writer_of: WriterOf) -> dict[int, Field]:
    """Make the table of a message: tag (number and wire type) to row."""
    slots: dict[str, int] = {}
    table = {}
    for field in descriptor.fields:
        oneof = field.containing_oneof
        place = oneof.full_name if oneof is not None else field.full_name
        slot = slots.setdefault(place, len(slots))
        wire, row = _row(field, slot, writer_of)
        table[field.number << 3 | wire] = row
    return table


def _row(field: FieldDescriptor, slot: int, writer_of: WriterOf) -> tuple[int, Field]:
    wire, of_varint, of_payload = _writers(field, writer_of)
    is_message = field.message_type is not None
    return wire, Field(
        slot=slot,
        head=f'"{field.name}":',
        of_varint=of_varint,
        of_payload=of_payload,
        repeated=field.is_repeated and (is_message or _is_text(field)),
        zero_is_unset=not field.has_presence,
        varints={},
        payloads={},
    )


def _writers(
    field: FieldDescriptor, writer_of: WriterOf
) -> tuple[int, WriteVarint | None, WritePayload]:
    if field.message_type is not None:
        return LENGTH, None, _later(field.message_type, writer_of)
    if _is_text(field):
        return LENGTH, None, render.string
    if field.type == FieldDescriptor.TYPE_DOUBLE and not field.is_repeated:
        return FIXED64, None, render.double
    of_varint = render.varint_text(field)
    if field.is_repeated:
        return LENGTH, None, lambda payload: _packed(payload, of_varint)
    return VARINT, of_varint, render.string


def _is_text(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_STRING


def _later(descriptor: Descriptor, writer_of: WriterOf) -> WritePayload:
    """Get the writer of an inner message when the first payload comes: types may be recursive."""
    writer: WritePayload | None = None

    def write(payload: bytes) -> str:
        nonlocal writer
        if writer is None:
            writer = writer_of(descriptor)
        return writer(payload)

    return write


def _packed(payload: bytes, of_varint: WriteVarint) -> str:
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
