"""Values of flags: numbers, switches, durations and lists, in the syntax that Hubble takes.

Text comes in, a value goes out, or a ValueError with the text that Hubble's users know. Numbers
take a base prefix (`0x1f`, `0b1`, `017`) and underscores between digits; durations are written
`1h43m`, `1.5s`, `-5m`.
"""

import csv
import re
from decimal import Decimal

from cli.quoting import quoted

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_UINT = re.compile(
    r"0[xX](_?[0-9a-fA-F])+|0[bB](_?[01])+|0[oO](_?[0-7])+|0(_?[0-7])+|0|[1-9](_?[0-9])*"
)
_DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([^0-9.]*)")
_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek letter mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def parse_switch(text: str) -> bool:
    """Read a boolean: 1, t, true and the like."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax")


def parse_uint(text: str, bits: int = 64) -> int:
    """Read an unsigned number of at most `bits` bits; a leading 0 alone means octal."""
    if _UINT.fullmatch(text) is None:
        raise ValueError(f"strconv.ParseUint: parsing {quoted(text)}: invalid syntax")
    plain = text.replace("_", "")
    octal = len(plain) > 1 and plain[0] == "0" and plain[1].isdigit()
    value = int(plain, 8) if octal else int(plain, 0)
    if value >> bits:
        raise ValueError(f"strconv.ParseUint: parsing {quoted(text)}: value out of range")
    return value


def parse_decimal(text: str, bits: int) -> int:
    """Read an unsigned decimal number of at most `bits` bits; no prefix, no underscores."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"strconv.ParseUint: parsing {quoted(text)}: invalid syntax")
    if (value := int(text) if len(text) < 100 else 1 << 64) >> bits:
        raise ValueError(f"strconv.ParseUint: parsing {quoted(text)}: value out of range")
    return value


def parse_duration_ns(text: str) -> int:
    """Read a duration such as `1h43m`, `1.5s` or `-5m`, in nanoseconds."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total, position = Decimal(0), 0
    while match := _DURATION.match(rest, position):
        number, unit = match.groups()
        if not unit:
            raise ValueError(f"time: missing unit in duration {quoted(text)}")
        if unit not in _UNIT_NS:
            raise ValueError(f"time: unknown unit {quoted(unit)} in duration {quoted(text)}")
        total += Decimal(number) * _UNIT_NS[unit]
        position = match.end()
    if position != len(rest) or not rest or total >= 1 << 63:
        raise ValueError(f"time: invalid duration {quoted(text)}")
    return -int(total) if text[0] == "-" else int(total)


def duration_text(duration_ns: int) -> str:
    """Write a duration in the shortest usual form: `1m40s`, `12s`, `350ms`, `0s`."""
    sign, left = ("-", -duration_ns) if duration_ns < 0 else ("", duration_ns)
    if left < 1_000_000_000:
        for unit in ("ms", "us", "ns"):
            if left >= _UNIT_NS[unit]:
                name = "\u00b5s" if unit == "us" else unit
                return f"{sign}{_trimmed(Decimal(left) / _UNIT_NS[unit])}{name}"
        return "0s"
    minutes, left = divmod(left, _UNIT_NS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = _trimmed(Decimal(left) / _UNIT_NS["s"]) + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else sign + seconds


def parse_list(text: str) -> list[str]:
    """Split a comma-separated list; an element in double quotes may hold commas."""
    return next(csv.reader([text]), []) if text else []


def _trimmed(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
