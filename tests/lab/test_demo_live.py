"""The whole demo as a user sees it: three servers, a relay, policy, traffic and viewer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.namespaces import netns_names
from lab.processes import recorded
from lab.runs import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

LAB = str(Path(sys.executable).with_name("hubble-lab"))
RUN = Run(name=f"l{os.getpid()}"[:8])
PORT = 20_000 + os.getpid() % 10_000
DEMO = [LAB, "demo", "--run", RUN.name, "--port", str(PORT)]


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    if RUN.is_there:
        subprocess.run([LAB, "down", "--run", RUN.name], check=True, capture_output=True)


@contextmanager
def demo() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        DEMO,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], *wanted: Callable[[str], bool]) -> list[str]:
    """Read lines until each condition was met by one; fails if the demo ends before."""
    assert process.stdout is not None
    lines: list[str] = []
    missing = list(wanted)
    for line in process.stdout:
        lines.append(line)
        missing = [each for each in missing if not each(line)]
        if not missing:
            return lines
    pytest.fail("the demo ended early:\n" + "".join(lines))


def test_shows_what_is_allowed_and_what_is_denied_and_ends_on_ctrl_c() -> None:
    with demo() as process:
        read_until(
            process,
            lambda line: (
                "default/tiefighter" in line and "deathstar" in line and "FORWARDED" in line
            ),
            lambda line: "default/xwing" in line and "deathstar" in line and "DROPPED" in line,
            lambda line: "kube-system/coredns" in line and "UDP" in line,
            lambda line: "default/xwing" in line and "ICMPv6" in line,
        )
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the viewer gets it, too
        rest, _ = process.communicate(timeout=30)

    assert process.returncode == 0, rest
    assert "Taking the lab down" in rest
    assert "Traceback" not in rest
    assert netns_names(f"lv{RUN.name}-") == []
    assert not RUN.folder.exists()
    assert str(RUN.own_bpffs) not in Path("/proc/self/mounts").read_text()


def test_a_closed_terminal_takes_everything_down() -> None:
    with demo() as process:
        read_until(process, lambda line: "FORWARDED" in line)
        assert process.stdout is not None
        process.stdout.close()
        with suppress(ProcessLookupError):  # the viewer may have noticed first
            os.killpg(process.pid, signal.SIGHUP)
        process.wait(30)

    assert netns_names(f"lv{RUN.name}-") == []
    assert not RUN.folder.exists()


def test_starts_again_after_it_was_killed_with_tls_and_ends_by_itself() -> None:
    with demo() as process:
        read_until(process, lambda line: "FORWARDED" in line)
        process.send_signal(signal.SIGKILL)
    left = recorded(RUN.processes)
    assert {one.name for one in left} >= {
        *(f"hubble-server-lab-{number}" for number in (1, 2, 3)),
        "hubble-relay",
        "port-forward",
        "traffic",
    }

    again = subprocess.run(
        [*DEMO, "--tls", "--duration", "5"], capture_output=True, text=True, timeout=60, check=False
    )

    assert again.returncode == 0, again.stderr
    assert "FORWARDED" in again.stdout
    assert not any(one.lives for one in left)
