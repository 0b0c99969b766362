import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.errors import NotMeasurableError, WrongAnswerError
from bench.processes import beside, program, run, stop, usage


def test_run_keeps_output_and_time() -> None:
    finished = run([sys.executable, "-c", "print('x' * 100_000); sum(range(10**6))"])
    assert finished.status == 0
    assert finished.output == b"x" * 100_000 + b"\n"
    assert finished.wall_s > 0
    assert finished.cpu_s > 0


def test_run_shows_errors_where_there_is_no_output() -> None:
    finished = run([sys.executable, "-c", "import sys; sys.exit('broken')"])
    assert (finished.status, finished.output) == (1, b"broken\n")


def test_run_needs_a_program(tmp_path: Path) -> None:
    with pytest.raises(WrongAnswerError, match=r"run .*missing"):
        run([tmp_path / "missing"])


def test_a_script_that_is_not_installed() -> None:
    with pytest.raises(NotMeasurableError, match="no leavitt-nothing"):
        program("leavitt-nothing")


def test_usage_of_this_process() -> None:
    found = usage(os.getpid())
    assert found.resident_bytes > found.private_bytes > 1 << 20
    with pytest.raises(WrongAnswerError, match="read usage"):
        usage(1 << 30)


def test_stop_asks_a_server_to_end() -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        stop(process)
        assert process.returncode == -signal.SIGTERM


def test_stop_kills_a_server_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.processes._STOP_S", 0.01)
    deaf = "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        stop(process)
        assert process.returncode == -signal.SIGKILL


def test_work_beside_is_killed_on_leaving() -> None:
    with beside(time.sleep, 3600.0) as process:
        assert process.is_alive()
    assert process.exitcode == -signal.SIGKILL
