from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from lab.processes import Process, birth_of, end, record, recorded

if TYPE_CHECKING:
    from pathlib import Path

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start shells that say when they are ready; whatever is left is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_one(script: str) -> subprocess.Popen[str]:
        one = subprocess.Popen(
            ["/bin/sh", "-c", f"{script}; echo ready; read line"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(one)
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
        return one

    yield start_one
    for one in started:
        one.kill()
        one.communicate()


def noted(folder: Path, pid: int) -> Process:
    record(folder, pid, "a name of words")
    (found,) = recorded(folder)
    return found


def test_a_note_finds_its_process_again(tmp_path: Path, start: Start) -> None:
    shell = start("true")

    found = noted(tmp_path, shell.pid)

    assert (found.pid, found.name, found.lives) == (shell.pid, "a name of words", True)


def test_asks_before_it_kills(tmp_path: Path, start: Start) -> None:
    polite = start("trap 'exit 7' TERM")
    # A shell waits for its foreground program before it acts on a trap: here that is `read`.
    end([noted(tmp_path, polite.pid)])

    assert polite.wait() == 7


def test_kills_what_does_not_listen(tmp_path: Path, start: Start) -> None:
    stubborn = start("trap '' TERM")

    end([noted(tmp_path, stubborn.pid)], grace_s=0.05)

    assert stubborn.wait() == -signal.SIGKILL


def test_spares_another_process_with_the_same_id(start: Start) -> None:
    shell = start("true")

    end([Process(pid=shell.pid, birth="another-boot 12345", name="was here before")])

    assert shell.poll() is None


def test_an_ended_process_is_gone_even_as_zombie(tmp_path: Path, start: Start) -> None:
    shell = start("true")
    found = noted(tmp_path, shell.pid)
    shell.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, shell.pid, os.WEXITED | os.WNOWAIT)

    assert birth_of(shell.pid) is None
    assert not found.lives
    end([found])  # and ending it again is no error


def test_a_note_cut_short_speaks_of_nobody(tmp_path: Path) -> None:
    (tmp_path / "1234").write_text("boot")

    assert recorded(tmp_path) == []


def test_nothing_is_noted_of_a_process_that_is_gone(tmp_path: Path) -> None:
    record(tmp_path, 2**22 + 1, "beyond pid_max")

    assert recorded(tmp_path) == []
