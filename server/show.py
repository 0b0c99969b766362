"""Value of a setting that only a node has → the text that `server.parse` reads back."""

from collections.abc import Iterable

from api.process.show import joined


def sockets(value: Iterable[object]) -> str:
    """Spell a list of paths, or `none`."""
    return joined(value) or "none"


def speed(value: float | None) -> str:
    """Spell a factor, or `max` for None."""
    return "max" if value is None else repr(value)
