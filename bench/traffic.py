"""The traffic generator: `traffic.c`, compiled where it is needed, run once per figure.

One thread on one CPU has both ends, so a figure is what the path between them costs, not how
soon somebody wakes up. Programs with ends of their own see less of what the path costs.
"""

import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from shutil import which
from typing import Final, Self

from bench.errors import NotMeasurableError, WrongAnswerError
from bench.pods import Pair

_SOURCE: Final = Path(__file__).with_name("traffic.c")
_COMPILERS: Final = ("cc", "gcc", "clang")
_OPTIONS: Final = ("-O2", "-Wall", "-Wextra", "-Werror")
_COMPILE_S: Final = 60.0
_MORE_THAN_ASKED_S: Final = 30.0


class Mode(StrEnum):
    """What is done over and over, as the generator calls it."""

    UDP = "udp"
    TCP = "tcp"
    CONNECT = "connect"
    BULK = "bulk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """The compiled program, and the CPU on which both its ends run."""

    program: Path
    cpu: int

    @classmethod
    def compiled(cls, folder: Path, *, cpu: int) -> Self:
        """Compile it into a folder.

        Raises:
            NotMeasurableError: there is no C compiler, or it cannot compile this.
        """
        compiler = next(filter(None, map(which, _COMPILERS)), None)
        if compiler is None:
            raise NotMeasurableError(
                "needs a C compiler for its traffic: apt-get install gcc libc6-dev"
            )
        program = folder / "traffic"
        done = subprocess.run(  # noqa: S603 - the compiler, and our own source
            [compiler, *_OPTIONS, "-o", program, _SOURCE],
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMPILE_S,
        )
        if done.returncode:
            raise NotMeasurableError(f"compile {_SOURCE.name}: {done.stderr.strip()[:300]}")
        return cls(program=program, cpu=cpu)

    def per_second(self, mode: Mode, pair: Pair, *, version: int, seconds: float) -> float:
        """Round trips, connections, or bytes a second between two pods.

        Raises:
            WrongAnswerError: the traffic does not get through.
        """
        done, spent_ns = self._run(mode, pair, version, round(seconds * 1e3))
        return done / spent_ns * 1e9

    def fill(self, pair: Pair, *, version: int, connections: int) -> None:
        """Send one datagram on each of so many connections, at most 100,000.

        Raises:
            WrongAnswerError: they cannot be sent.
        """
        sent, _ = self._run("fill", pair, version, connections)
        if sent != connections:
            raise WrongAnswerError(f"fill: {sent} datagrams sent, expected {connections}")

    def _run(self, mode: str, pair: Pair, version: int, amount: int) -> tuple[int, int]:
        where = (str(pair.client.path), str(pair.server.path), pair.server.address(version))
        done = subprocess.run(  # noqa: S603 - what was just compiled
            [self.program, mode, *where, str(self.cpu), str(amount)],
            capture_output=True,
            text=True,
            check=False,
            timeout=amount / 1e3 + _MORE_THAN_ASKED_S,
        )
        if done.returncode:
            raise WrongAnswerError(f"run {mode} to {where[-1]}: {done.stderr.strip()}")
        count, spent_ns = map(int, done.stdout.split())
        return count, spent_ns
