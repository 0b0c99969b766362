"""Carry out what `wiring` planned, and take it down again.

Every command goes through `ip -batch` as text on standard input: one process for each namespace,
no shell, and an error that names the line.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import NetworkError
from lab.namespaces import inside, netns_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lab.wiring import Step

SETTINGS_FOLDER = Path("/proc/sys/net")


def apply(steps: Iterable[Step]) -> None:
    """Do the steps one after another. NetworkError names the first that failed."""
    for step in steps:
        if step.netns and step.settings:
            with inside(step.netns):
                _write_settings(step)
        if step.commands:
            run_ip(step.commands, netns=step.netns)


def delete_namespaces(name_prefix: str) -> list[str]:
    """Delete all network namespaces with this prefix, and give their names.

    The cables go with them. A namespace that a process still uses lives on without a name until
    that process ends.
    """
    names = netns_names(name_prefix)
    if names:
        run_ip([f"netns delete {name}" for name in names], netns=None)
    return names


def run_ip(commands: Sequence[str], *, netns: str | None) -> None:
    """Run lines of `ip` in a namespace. NetworkError with the failed line and the reason."""
    program = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        raise NetworkError("run ip: not found; install it with: apt-get install iproute2")
    place = ["-netns", netns] if netns else []
    done = subprocess.run(  # noqa: S603 - fixed program, the lines go in as text, not as arguments
        [program, *place, "-batch", "-"],
        input="\n".join(commands) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NetworkError(_failure(done.stderr, commands, netns))


def _write_settings(step: Step) -> None:
    for name, value in step.settings.items():
        path = SETTINGS_FOLDER / name
        try:
            path.write_text(value)
        except OSError as error:
            raise NetworkError(f"set {path} to {value} in {step.netns}: {error.strerror}") from None


def _failure(stderr: str, commands: Sequence[str], netns: str | None) -> str:
    """Turn `Command failed -:7` back into the line it speaks of."""
    reasons = [line for line in stderr.splitlines() if not line.startswith("Command failed")]
    numbered = re.search(r"^Command failed -:(\d+)", stderr, re.MULTILINE)
    line = commands[int(numbered[1]) - 1] if numbered else "-batch"
    return f"ip {line} (namespace {netns or 'of the machine'}): {'; '.join(reasons)}"
