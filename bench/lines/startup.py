"""Start-up: how long a command takes that only has to say its version.

Each command is run once to warm the page cache and the .pyc files, then timed as a whole process,
from the fork to the wait.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.errors import WrongAnswerError
from bench.measurement import Budget, Conditions, Measurement
from bench.processes import Finished, program, run

_BUDGET_MS: Final = 80.0


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Time `hubble version` and `hubble-server --version`, Go's `hubble version` beside ours."""
    repeats = conditions.repeats(20, quick=3)
    peer = (
        _times_ms([conditions.go_hubble, "version"], repeats, "hubble")
        if conditions.go_hubble
        else ()
    )
    yield Measurement(
        line="startup",
        what="hubble version",
        unit="ms",
        values=_times_ms([program("hubble"), "version"], repeats, "hubble"),
        budget=Budget(limit=_BUDGET_MS, ceiling=True),
        peer=peer,
    )
    yield Measurement(
        line="startup",
        what="hubble-server --version",
        unit="ms",
        values=_times_ms([program("hubble-server"), "--version"], repeats, "leavitt"),
    )


def _times_ms(command: list[str | Path], repeats: int, says: str) -> tuple[float, ...]:
    _check(command, run(command), says)
    finished = [run(command) for _ in range(repeats)]
    for each in finished:
        _check(command, each, says)
    return tuple(each.wall_s * 1e3 for each in finished)


def _check(command: list[str | Path], finished: Finished, says: str) -> None:
    text = finished.output.decode(errors="replace")
    if finished.status or not text.startswith(says):
        line = " ".join(map(str, command))
        raise WrongAnswerError(f"run {line}: exit {finished.status}, said {text[:200]!r}")
