"""`hubble-lab demo`, as far as it goes before there is something to see."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import demo, servers
from lab.app import main
from lab.certificates import TlsFiles
from lab.namespaces import netns_names
from lab.portforward import HOST
from lab.runs import Run

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def run() -> Iterator[Run]:
    """A demo that does not meet one that is going on."""
    run = Run(name=f"d{os.getpid()}"[:8])
    yield run
    run.remove()


@pytest.fixture
def demo_arguments(run: Run) -> list[str]:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    return ["demo", "--run", run.name, "--port", str(port)]


@pytest.mark.e2e
def test_a_taken_port_is_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--run", run.name, "--port", str(port)]) == 1

    problem = f"hubble-lab: listen on 127.0.0.1:{port}: Address already in use; "
    assert capsys.readouterr().err.startswith(problem)
    assert not run.folder.exists()


@pytest.mark.e2e
def test_another_demo_going_on_is_named(
    run: Run, demo_arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with run.lock():
        assert main(demo_arguments) == 1

    problem = f"hubble-lab: run {run.name} is in use by process {os.getpid()}\n"
    assert capsys.readouterr().err == problem


@pytest.mark.e2e
def test_a_server_that_fails_is_quoted_and_the_lab_taken_down(
    run: Run,
    demo_arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = tmp_path / "hubble-server"
    server.write_text(
        '#!/bin/sh\n[ "$2" = lab-1 ] || exec sleep 100\necho "no BPF here: $2" >&2\nexit 3\n'
    )
    server.chmod(0o755)
    monkeypatch.setattr(servers, "path_of", lambda name: str(tmp_path / name))

    assert main(demo_arguments) == 1

    assert capsys.readouterr().err == (
        "hubble-lab: hubble-server-lab-1 ended with status 3: no BPF here: lab-1\n"
    )
    assert netns_names(f"lv{run.name}-") == []
    assert not run.folder.exists()


@pytest.mark.e2e
def test_a_missing_command_is_named_with_its_package(
    demo_arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lab.traffic.SEARCH_PATH", "/nowhere")

    assert main(demo_arguments) == 1

    problem = "hubble-lab: find curl: not found; install it: apt-get install curl\n"
    assert capsys.readouterr().err == problem


def test_what_to_try_can_be_typed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(demo.__file__).parents[1])
    monkeypatch.setattr("sys.executable", str(Path.cwd() / ".venv/bin/python"))
    run = Run(name="other")

    usual = [line.strip() for line in demo.explanation(4245, run).splitlines()]
    other = [line.strip() for line in demo.explanation(5000, run).splitlines()]

    drops = ".venv/bin/hubble observe --to-label class=deathstar --verdict DROPPED --follow"
    assert drops in usual
    assert ".venv/bin/hubble-lab status --run other" in usual
    # Also where another lab is up, in which these pods would not be found.
    assert ".venv/bin/hubble-lab exec --run other xwing -- ping -c 1 10.244.1.21" in usual
    assert ".venv/bin/hubble observe --server 127.0.0.1:5000 --last 20" in other


def test_with_tls_one_reads_which_files_to_show() -> None:
    files = TlsFiles(folder=Path("/run/x/tls"))

    shown = [line.strip() for line in demo.explanation(4245, Run(name="x"), files).splitlines()]

    assert "export HUBBLE_TLS=true" in shown
    assert "export HUBBLE_TLS_CA_CERT_FILES=/run/x/tls/ca.crt" in shown
    assert "export HUBBLE_TLS_CLIENT_KEY_FILE=/run/x/tls/client.key" in shown
