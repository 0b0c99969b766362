r"""Texts of single values: strings, numbers, enums, times, wrappers, Any.

Everything here goes from wire form (raw varint, payload bytes) to JSON text. Strings are escaped
as Go's encoder does it for HTML's sake: `<` becomes `\u003c`; line separators, too.
"""

import math
import re
import struct
from collections.abc import Callable
from functools import lru_cache

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from cli.times import SECOND_NS, utc

VarintText = Callable[[int], str]
PayloadText = Callable[[bytes], str]

_SPECIAL = re.compile('[\x00-\x1f"\\\\<>&\u2028\u2029]')
_SHORT = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
_FIRST_SECOND = -62_135_596_800  # 0001-01-01T00:00:00Z
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z


def string(payload: bytes) -> str:
    """Write a string; raises DecodeError if it is not UTF-8."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise DecodeError("string field contains invalid UTF-8") from None
    return quoted(text)


def is_special(text: str) -> bool:
    """Tell whether something in a text has to be escaped."""
    return _SPECIAL.search(text) is not None


def quoted(text: str) -> str:
    """Write text in quotes, with what JSON and HTML take amiss escaped."""
    if _SPECIAL.search(text) is not None:
        text = _SPECIAL.sub(_escape, text)
    return f'"{text}"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _SHORT.get(character) or f"\\u{ord(character):04x}"


def bool_text(value: int) -> str:
    """Write a bool."""
    return "true" if value else "false"


def uint32(value: int) -> str:
    """Write 32 bits without sign; higher bits are cut, as parsers do."""
    return str(value & 0xFFFFFFFF)


def int32(value: int) -> str:
    """Write 32 bits with sign."""
    low = value & 0xFFFFFFFF
    return str(low - (1 << 32) if low >> 31 else low)


def uint64(value: int) -> str:
    """Write 64 bits without sign: a string, JSON's numbers are too narrow."""
    return f'"{value}"'


def int64(value: int) -> str:
    """Write 64 bits with sign, as a string."""
    return f'"{value - (1 << 64) if value >> 63 else value}"'


def enum_text(enum: EnumDescriptor) -> VarintText:
    """Make the writer of an enum: the name, or the number where there is none."""
    names = {number: f'"{value.name}"' for number, value in enum.values_by_number.items()}

    def text(value: int) -> str:
        number = int32(value)
        return names.get(int(number)) or number

    return text


def double(payload: bytes) -> str:
    """Write a double of 8 bytes, little end first; shortest form that reads back the same."""
    (value,) = struct.unpack("<d", payload)
    if math.isnan(value):
        return '"NaN"'
    if math.isinf(value):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    if 1e-6 <= abs(value) < 1e21:
        return f"{int(value)}" if value.is_integer() else _plain(value)
    mantissa, exponent = repr(value).split("e")
    return f"{mantissa.removesuffix('.0')}e{exponent[0]}{exponent[1:].lstrip('0').rjust(2, '0')}"


def _plain(value: float) -> str:
    text = repr(value)
    return f"{value:.30f}".rstrip("0") if "e" in text else text


def timestamp(seconds: int, nanos: int) -> str:
    """Write a time in RFC 3339 with 0, 3, 6 or 9 digits; raises DecodeError out of range."""
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND or not 0 <= nanos < SECOND_NS:
        raise DecodeError(f"google.protobuf.Timestamp out of range: {seconds} s, {nanos} ns")
    if nanos % 1000:
        return f'"{second_text(seconds)}.{nanos:09}Z"'
    return f'"{second_text(seconds)}{fraction_text(nanos)}Z"'


@lru_cache(maxsize=256)
def second_text(seconds: int) -> str:
    """Write date and time of a second; neighbouring flows share it."""
    moment = utc(seconds)
    return (
        f"{moment.year:04}-{moment.month:02}-{moment.day:02}"
        f"T{moment.hour:02}:{moment.minute:02}:{moment.second:02}"
    )


def fraction_text(nanos: int) -> str:
    """Write whole microseconds of a second in groups of three digits; nothing for none."""
    if not nanos:
        return ""
    if nanos % 1_000_000:
        return f".{nanos // 1000:06}"
    return f".{nanos // 1_000_000:03}"


def varint_text(field: FieldDescriptor) -> VarintText:
    """Choose the writer of a field that travels as a varint; raises KeyError for others."""
    if field.enum_type is not None:
        return enum_text(field.enum_type)
    return _VARINTS[field.type]


_VARINTS: dict[int, VarintText] = {
    FieldDescriptor.TYPE_BOOL: bool_text,
    FieldDescriptor.TYPE_UINT32: uint32,
    FieldDescriptor.TYPE_INT32: int32,
    FieldDescriptor.TYPE_UINT64: uint64,
    FieldDescriptor.TYPE_INT64: int64,
}
