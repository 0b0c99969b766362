"""A destination port as people write it: `80/TCP`, `53/UDP`, `8/ICMP`."""

from typing import Final

from cli.errors import UsageError

PROTOCOLS: Final = {"TCP": 6, "UDP": 17, "SCTP": 132, "ICMP": 1, "ICMPV6": 58}
NAMES: Final = {6: "TCP", 17: "UDP", 132: "SCTP", 1: "ICMP", 58: "ICMPv6"}
_LAST_PORT: Final = 65_535


def read_port(text: str) -> tuple[int, int]:
    """Read protocol and port; TCP where none is written. Raises UsageError."""
    if not text:
        raise UsageError("--port is missing: need a number and a protocol, such as 80/TCP")
    number, _, name = text.partition("/")
    protocol = PROTOCOLS.get((name or "TCP").upper())
    is_number = number.isascii() and number.isdigit() and int(number) <= _LAST_PORT
    if protocol is None or not is_number:
        raise UsageError(f"invalid port {text!r}: need a number and a protocol, such as 80/TCP")
    return protocol, int(number)


def port_text(protocol: int, port: int) -> str:
    """Write them again."""
    return f"{port}/{NAMES.get(protocol, protocol)}"
