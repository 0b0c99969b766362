"""Text of a setting that only a node has → its value; ValueError says what was expected.

Those that any process has are in `api.process.parse`.
"""

from pathlib import Path
from typing import Final

from api.process.parse import count, name, path, paths

_NETNS_FOLDER: Final = Path("/run/netns")


def netns(text: str) -> Path:
    """A name below /run/netns or a path to a network namespace."""
    found = path(text) if "/" in text else _NETNS_FOLDER / name(text)
    if not found.exists():
        raise ValueError(f"expected a network namespace, no {found}")
    return found


def ring_bytes(text: str) -> int:
    """A power of two from one page to 1 GiB."""
    number = count(text)
    if number & (number - 1) or not 4096 <= number <= 1 << 30:
        raise ValueError("expected a power of two from 4096 to 1073741824")
    return number


def capacity(text: str) -> int:
    """2^n - 1, n from 1 to 24: positions are masked, and one slot is the writer's."""
    number = count(text)
    if number > 16_777_215:
        raise ValueError("expected at most 16777215")
    if number & (number + 1):
        raise ValueError("expected one less than a power of two")
    return number


def speed(text: str) -> float | None:
    """A factor above zero, or `max` for None: as fast as possible."""
    if text == "max":
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < 1e9:
        raise ValueError("expected a factor above 0, or max")
    return factor


def globs(text: str) -> tuple[str, ...]:
    """Names or patterns of interfaces, with commas between."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if any(not part or "/" in part or part.split() != [part] for part in found):
        raise ValueError("expected names or patterns such as veth*, with commas between")
    return found


def sockets(text: str) -> tuple[Path, ...]:
    """Paths with commas between, or `none`; they need not exist."""
    return () if text == "none" else paths(text)


def metrics(text: str) -> str:
    """A list of metrics with their options; which there are is looked at when they are made."""
    if "," in text and " " not in text and ":" not in text:
        raise ValueError("expected names with spaces between")
    return text
