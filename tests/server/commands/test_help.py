"""What each command says of itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.process.parse import hostname

PROGRAM = Path(sys.executable).with_name("hubble-server")
GOLDEN = Path(__file__).with_name("golden")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    narrow = os.environ | {"COLUMNS": "40"}  # must not matter
    return subprocess.run(
        [PROGRAM, *words], capture_output=True, text=True, check=False, timeout=60, env=narrow
    )


@pytest.mark.parametrize(
    ("words", "page"),
    [
        (["--help"], "help_serve"),
        (["serve", "--help"], "help_serve"),
        (["check", "--help"], "help_check"),
        (["config", "-h"], "help_config"),
        (["get", "--help"], "help_get"),
        (["cleanup", "--help"], "help_cleanup"),
    ],
)
def test_help(words: list[str], page: str) -> None:
    result = run(*words)
    assert (result.returncode, result.stderr) == (0, "")
    # without the breaks of lines: a machine may have a long name
    shown = " ".join(result.stdout.split()).replace(f"default {hostname()}", "default HOST")
    assert shown == " ".join((GOLDEN / f"{page}.txt").read_text().split())


def test_an_unknown_command_is_named() -> None:
    result = run("bogus", "--node-name", "x")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "hubble-server: unknown command: expected one of serve, check, config, get, cleanup: "
        "'bogus'\n"
    )


def test_serve_is_the_default_and_takes_the_same_flags() -> None:
    words = ("--event-buffer-capacity", "4096")
    assert run(*words).stderr == run("serve", *words).stderr != ""


@pytest.mark.parametrize("command", ["serve", "check", "config", "cleanup"])
def test_what_a_command_does_not_know_is_named(command: str) -> None:
    result = run(command, "--bogus")
    assert result.returncode == 2
    assert "unrecognized arguments: --bogus" in result.stderr
