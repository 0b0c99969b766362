"""Text of a setting that only a relay has → its value; ValueError says what was expected."""

from api.lane.address import parse_address
from api.process.parse import address, duration_s


def target(text: str) -> str:
    """Where to dial: `host:port`, `[v6]:port` or a unix socket, `unix:///path` or `/path`."""
    if text.startswith("/"):
        return f"unix://{text}"
    try:
        parse_address(text)
    except ValueError:
        raise ValueError("expected host:port or unix:///path") from None
    return text


def address_or_none(text: str) -> str | None:
    """A listening address, or nothing at all for none."""
    return address(text) if text else None


def some_time_s(text: str) -> float:
    """A Go duration above zero, in seconds."""
    found = duration_s(text)
    if found <= 0:
        raise ValueError("expected a duration above 0")
    return found
