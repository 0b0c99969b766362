"""A node as users have it: the tutorial's pods in a lab, `hubble-server` on it, `hubble` to ask it.

The node's name carries the process id, so that its pins and namespaces are its own.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.session import Lab, open_lab, scenario

PROGRAMS = Path(sys.executable).parent
STOP_S = 20.0
"""Far more than a shutdown takes: a hang fails the test, a slow machine does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A `hubble-server` that has said that it is ready."""

    process: subprocess.Popen[str]
    socket: Path

    def hubble(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `hubble` against it, to the end."""
        server = ["--server", f"unix://{self.socket}"]
        return subprocess.run(
            [PROGRAMS / "hubble", *words, *server],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def flows(self, *words: str) -> list[dict[str, Any]]:
        """Flows that `hubble observe` shows as JSON; fails if it fails."""
        result = self.hubble("observe", "-o", "json", *words)
        assert result.returncode == 0, result.stderr
        responses = [json.loads(line) for line in result.stdout.splitlines()]
        return [response["flow"] for response in responses if "flow" in response]

    def seen_flows(self) -> int:
        """Flows since the start, by the server's own count."""
        result = self.hubble("status", "-o", "json")
        assert result.returncode == 0, result.stderr
        return int(json.loads(result.stdout)["seen_flows"])

    def stop(self) -> int:
        """Send SIGTERM and give the exit status."""
        self.process.terminate()
        return self.process.wait(STOP_S)


@contextmanager
def running_server(folder: Path, *words: str | Path) -> Iterator[RunningServer]:
    """Start `hubble-server`, wait until it is ready, and end it in any case."""
    socket = folder / "hubble.sock"
    command: Sequence[str | Path] = [PROGRAMS / "hubble-server", "--socket-path", socket, *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines: list[str] = []
            for line in process.stderr:
                lines.append(line)
                if "logger=server.app ready" in line:
                    break
            else:
                pytest.fail("hubble-server ended early:\n" + "".join(lines))
            yield RunningServer(process=process, socket=socket)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def node_name() -> str:
    """The name of the lab's only node."""
    return f"e2e-{os.getpid()}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, node_name: str) -> Iterator[Lab]:
    """The pods of the tutorials, waiting for a datapath."""
    file = tmp_path_factory.mktemp("scenario") / "empire.yaml"
    file.write_text(scenario("empire").read_text().replace("lab-1", node_name))
    with open_lab(file, run=f"e{os.getpid()}"[:8], plain=False) as built:
        yield built
