"""Value of a setting → the text that `api.process.parse` reads back as the same value."""

from collections.abc import Iterable, Iterator
from typing import Final

_SECOND_NS: Final = 1_000_000_000
# "us" where Go writes "µs": both are read, and this is the same in every encoding.
_SMALL_UNITS: Final = ((1_000_000, "ms"), (1_000, "us"), (1, "ns"))
_LARGE_UNITS: Final = ((3600, "h"), (60, "m"))


def switch(value: bool) -> str:
    """Spell a truth value as YAML and Go do."""
    return "true" if value else "false"


def duration_s(value: float) -> str:
    """Spell seconds as Go does: 300ms, 5s, 1m30s, 2h0m0s; exact to the nanosecond."""
    whole_ns = round(value * _SECOND_NS)
    if 0 < whole_ns < _SECOND_NS:
        unit_ns, name = next(unit for unit in _SMALL_UNITS if whole_ns >= unit[0])
        return _decimal(whole_ns, unit_ns) + name
    return "".join(_large_parts(whole_ns))


def joined(value: Iterable[object]) -> str:
    """Spell a list with commas."""
    return ",".join(map(str, value))


def _large_parts(whole_ns: int) -> Iterator[str]:
    is_begun = False
    for unit_s, name in _LARGE_UNITS:
        count, whole_ns = divmod(whole_ns, unit_s * _SECOND_NS)
        is_begun |= count > 0
        if is_begun:
            yield f"{count}{name}"
    yield _decimal(whole_ns, _SECOND_NS) + "s"


def _decimal(count: int, unit: int) -> str:
    """Write count/unit, unit a power of ten, without zeros at the end."""
    whole, rest = divmod(count, unit)
    digits = f"{rest + unit}"[1:].rstrip("0")
    return f"{whole}.{digits}" if digits else f"{whole}"
