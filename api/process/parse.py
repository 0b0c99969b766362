"""Text of a setting → its value; ValueError says what was expected.

Shared by flags, environment and file, so that a value means the same wherever it stands.
"""

import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_S: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def name(text: str) -> str:
    """Letters, digits, `-`, `_` and `.`, at most 253, as Kubernetes names are."""
    if len(text) > 253 or not _NAME.fullmatch(text):
        raise ValueError("expected letters, digits, '-', '_' and '.', at most 253")
    return text


def hostname() -> str:
    """The machine's own name, without its domain."""
    return socket.gethostname().partition(".")[0] or "localhost"


def path(text: str) -> Path:
    """Any path; it need not exist."""
    if not text:
        raise ValueError("expected a path")
    return Path(text)


def paths(text: str) -> tuple[Path, ...]:
    """Paths with commas between them, at least one; they need not exist."""
    return tuple(path(each.strip()) for each in text.split(","))


def existing_folder(text: str) -> Path:
    """A folder that is there."""
    folder = path(text)
    if not folder.is_dir():
        raise ValueError("expected a folder, found none")
    return folder


def address(text: str) -> str:
    """`host:port`, `[v6]:port` or `:port`; port 0 to 65535."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise ValueError("expected host:port, [ipv6]:port or :port")
    if not port.isdecimal() or int(port) > 65_535:
        raise ValueError("expected a port from 0 to 65535")
    return text


def count(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) == 0:
        raise ValueError("expected a whole number above 0")
    return int(text)


def duration_s(text: str) -> float:
    """A Go duration such as 300ms, 5s or 1m30s, in seconds."""
    if not _DURATION.fullmatch(text):
        raise ValueError("expected a duration such as 300ms, 5s or 1m30s")
    return sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION_PART.findall(text))


def switch(text: str) -> bool:
    """True or false, as YAML and Go spell them."""
    lowered = text.lower()
    if lowered in ("true", "1", "yes", "on"):
        return True
    if lowered in ("false", "0", "no", "off"):
        return False
    raise ValueError("expected true or false")


def word(*words: str) -> Callable[[str], str]:
    """One of some words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text

    return parse
