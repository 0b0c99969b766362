"""Walk the bytes of a message and write its JSON, field by field, with tables by type.

    tag | length | payload  ->  fields[tag] = slot, kept texts, write  ->  slots[slot] = text,

A slot is a field's place in the JSON; members of a oneof share one. Payloads that come again
(an endpoint, a node name) are found among the kept texts and not walked again.

Only bytes in the shape that every encoder writes are walked. Anything else that is valid (a
field twice, a list not packed) is first brought into that shape by protobuf itself.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError

from cli.wirejson.fields import LENGTH, fields_of, varint
from cli.wirejson.known import known_type

_KEPT = 8192


class Writers:
    """Writers by message type, made when first asked for."""

    def __init__(self) -> None:
        self._writers: dict[str, Callable[[bytes], str]] = {}

    def of(self, descriptor: Descriptor) -> Callable[[bytes], str]:
        """Get the function from wire bytes to JSON text; it raises DecodeError."""
        name = descriptor.full_name
        if name not in self._writers:
            self._writers[name] = known_type(descriptor, self.of) or _Writer(descriptor, self)
        return self._writers[name]


class _Writer:
    """Writes messages of one type."""

    def __init__(self, descriptor: Descriptor, writers: Writers) -> None:
        self._class = message_factory.GetMessageClass(descriptor)
        self._fields = fields_of(descriptor, writers.of)
        rows = self._fields.values()
        self._blank = [""] * (1 + max((row.slot for row in rows), default=0))

    def __call__(self, data: bytes) -> str:
        """Write a message as a JSON object; raises DecodeError on bytes that are none."""
        try:
            text = self._walk(data)
        except IndexError:
            raise DecodeError("truncated message") from None
        return self._usual(data) if text is None else text

    def _usual(self, data: bytes) -> str:
        """Write bytes of an unusual shape: let protobuf bring them into the usual one."""
        message = self._class.FromString(data)
        message.DiscardUnknownFields()
        text = self._walk(message.SerializeToString())
        if text is None:
            raise DecodeError("message cannot be brought into the usual shape")
        return text

    def _walk(self, data: bytes) -> str | None:
        """Write a message; None if its shape is unusual, IndexError if it is cut off."""
        # One loop without calls for the common cases: this runs some twenty times a flow.
        slots = self._blank.copy()
        lists: dict[int, list[str]] = {}
        find = self._fields.get
        position, end = 0, len(data)
        while position < end:
            tag = data[position]
            position += 1
            if tag > 127:
                tag, position = varint(data, position - 1)
            field = find(tag)
            if field is None:
                position = _skipped(data, position, tag)
                if position < 0:
                    return None
                continue
            slot, head, of_varint, of_payload, repeated, zero_is_unset, varints, payloads = field
            if of_varint is not None:
                value = data[position]
                position += 1
                if value > 127:
                    value, position = varint(data, position - 1)
                text = varints.get(value)
                if text is None:
                    text = "" if zero_is_unset and not value else f"{head}{of_varint(value)},"
                    _keep(varints, value, text)
            else:
                if tag & 7 == LENGTH:
                    length = data[position]
                    position += 1
                    if length > 127:
                        length, position = varint(data, position - 1)
                else:
                    length = 8
                payload = data[position : position + length]
                position += length
                if position > end:
                    raise IndexError
                if repeated:
                    lists.setdefault(slot, [head]).append(of_payload(payload))
                    continue
                text = payloads.get(payload)
                if text is None:
                    text = "" if zero_is_unset and not payload else f"{head}{of_payload(payload)},"
                    _keep(payloads, payload, text)
            if slots[slot]:
                return None
            slots[slot] = text
        for slot, (head, *texts) in lists.items():
            slots[slot] = f"{head}[{','.join(texts)}],"
        return "{" + "".join(slots)[:-1] + "}"


def _keep(kept: dict[Any, str], key: bytes | int, text: str) -> None:
    if len(kept) >= _KEPT:
        kept.clear()
    kept[key] = text


def _skipped(data: bytes, position: int, tag: int) -> int:
    """Position behind a field that is not in the table; -1 for what only protobuf can judge."""
    match tag & 7:
        case 0:
            return varint(data, position)[1]
        case 2:
            length, position = varint(data, position)
            position += length
        case 1:
            position += 8
        case 5:
            position += 4
        case _:
            return -1
    if position > len(data):
        raise IndexError
    return position
