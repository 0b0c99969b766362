import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import WrongAnswerError
from bench.lines import startup
from bench.measurement import Conditions


def test_startup_runs_as_a_command(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("leavitt-bench")
    path = tmp_path / "out.json"
    done = subprocess.run(
        [command, "--quick", "startup", "--json", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    version, server = json.loads(path.read_text())["results"]
    assert len(version["values"]) == len(server["values"]) == 3
    assert min(version["values"]) > 0


def test_a_command_that_fails_is_a_wrong_answer(tmp_path: Path) -> None:
    impostor = tmp_path / "hubble"
    impostor.write_text("#!/bin/sh\necho no such thing\n")
    impostor.chmod(0o755)
    conditions = Conditions(quick=True, folder=tmp_path, go_hubble=impostor)
    with pytest.raises(WrongAnswerError, match="no such thing"):
        next(startup.measure(conditions))
