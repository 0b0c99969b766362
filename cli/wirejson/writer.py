"""Walk the bytes of a message and write its JSON, field by field, with tables by type.

    tag | length | payload  ->  fields[tag] = slot, kept texts, write  ->  slots[slot] = text,

A slot is a field's place in the JSON; members of a oneof share one. Payloads that come again
(an endpoint, a node name) are found among the kept texts and not walked again.

Only bytes in the shape that every encoder writes are walked. Anything else that is valid (a
field twice, a list not packed) is first brought into that shape by protobuf itself.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from cli.wirejson.fields import (
    ELEMENT,
    FIXED,
    PAYLOAD,
    UNIQUE,
    VARINT,
    rows_of,
    unpacked_tags,
    varint,
)
from cli.wirejson.known import known_type


class Writers:
    """Writers by message type, made when first asked for."""

    def __init__(self) -> None:
        self._writers: dict[str, Callable[[bytes], str]] = {}

    def of(self, descriptor: Any) -> Callable[[bytes], str]:  # noqa: ANN401  (upb's type)
        """Get the function from wire bytes to JSON text; it raises DecodeError."""
        name = descriptor.full_name
        if name not in self._writers:
            self._writers[name] = known_type(descriptor, self.of) or MessageWriter(descriptor, self)
        return self._writers[name]


class MessageWriter:
    """Writes messages of one type."""

    def __init__(self, descriptor: Any, writers: Writers) -> None:  # noqa: ANN401  (upb's type)
        """Make the table; writers of inner messages come from `writers` when they are met."""
        self._class = message_factory.GetMessageClass(descriptor)
        self._rows = rows_of(descriptor, writers.of)
        self._unusual = unpacked_tags(descriptor)
        self._blank = [""] * (1 + max((row.slot for row in self._rows.values()), default=0))

    def __call__(self, data: bytes) -> str:
        """Write a message as a JSON object; raises DecodeError on bytes that are none."""
        return f"{{{''.join(self.slots(data))[:-1]}}}"

    def slot(self, name: str) -> int:
        """Place of a field among the slots."""
        tag = self._class.DESCRIPTOR.fields_by_name[name].number
        return next(row.slot for key, row in self._rows.items() if key >> 3 == tag)

    def slots(self, data: bytes) -> list[str]:
        """Write each field into its slot, comma behind it; raises DecodeError."""
        try:
            slots = self._walk(data)
            if slots is None:
                slots = self._walk(self._usual(data))
        except IndexError:
            raise DecodeError("truncated message") from None
        if slots is None:
            raise DecodeError("message cannot be brought into the usual shape")
        return slots

    def _usual(self, data: bytes) -> bytes:
        """Bring bytes of an unusual but valid shape into the usual one."""
        message = self._class.FromString(data)
        message.DiscardUnknownFields()
        return message.SerializeToString()

    def _walk(self, data: bytes) -> list[str] | None:
        """Fill the slots; None if the shape is unusual, IndexError if the bytes are cut off."""
        # One loop without calls for the common cases: it turns some thirty times a flow.
        slots = self._blank.copy()
        lists: dict[int, list[str]] = {}
        find = self._rows.get
        position, end = 0, len(data)
        while position < end:
            tag = data[position]
            position += 1
            if tag > 127:
                more = data[position]
                if more < 128:
                    position += 1
                    tag += (more - 1) << 7
                else:
                    tag, position = varint(data, position - 1)
            row = find(tag)
            if row is None:
                if tag in self._unusual:
                    return None
                position = _skipped(data, position, tag)
                if position < 0:
                    return None
                continue
            slot, kind, texts = row
            if kind == VARINT:
                value = data[position]
                position += 1
                if value > 127:
                    value, position = varint(data, position - 1)
                text = texts[value]
            else:
                length = data[position]
                position += 1
                if kind == FIXED:
                    length, position = 8, position - 1
                elif length > 127:
                    length, position = varint(data, position - 1)
                start, position = position, position + length
                payload = data[start:position]
                if kind == PAYLOAD:
                    text = texts[payload]
                elif kind == UNIQUE:
                    text = texts.fresh(payload)
                elif kind == ELEMENT:
                    lists.setdefault(slot, [texts.head]).append(texts.write(payload))
                    continue
                else:
                    text = texts[payload]
            if slots[slot]:
                return None
            slots[slot] = text
        if position != end:
            raise IndexError
        for slot, (head, *elements) in lists.items():
            slots[slot] = f"{head}[{','.join(elements)}],"
        return slots


def _skipped(data: bytes, position: int, tag: int) -> int:
    """Position behind a field that is not in the table; -1 for what only protobuf can judge."""
    match tag & 7:
        case 0:
            return varint(data, position)[1]
        case 2:
            length, position = varint(data, position)
            return position + length
        case 1:
            return position + 8
        case 5:
            return position + 4
        case _:
            return -1
