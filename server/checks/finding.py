"""The answer to one question of `hubble-server check`."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from server.settings import Settings


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """The server starts, but something will be missing, slow or surprising."""
    BLOCKER = "blocker"
    """The server would not start, or could not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one probe found."""

    name: str
    state: State
    found: str
    remedy: str = ""
    """What to do about it; empty when there is nothing to do."""


Probe = Callable[[Settings], Finding]
"""Answers one question; OSError and KernelError mean that it could not be asked."""


def fine(name: str, found: str) -> Finding:
    """Say that nothing needs to be done."""
    return Finding(name=name, state=State.OK, found=found)


def warning(name: str, found: str, remedy: str) -> Finding:
    """Say what will be missing, and what helps."""
    return Finding(name=name, state=State.WARNING, found=found, remedy=remedy)


def blocker(name: str, found: str, remedy: str) -> Finding:
    """Say what keeps a server from working, and what helps."""
    return Finding(name=name, state=State.BLOCKER, found=found, remedy=remedy)
