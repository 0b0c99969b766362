"""The scripts for other shells: all that can be typed is in them, and shells can read them."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.app import run
from cli.commands.tree import ROOT
from cli.completion.outline import places, steps

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Screen

SHELLS = ("bash", "fish", "powershell", "zsh")


def script_of(shell: str, screen: Screen) -> str:
    assert run(["completion", shell], screen.surroundings()) == 0
    return screen.out


@pytest.mark.parametrize("shell", SHELLS)
def test_names_all_commands_flags_and_values(shell: str, screen: Screen) -> None:
    script = script_of(shell, screen)
    for place in places(ROOT):
        assert place.path in script
        for flag in place.flags:
            assert (f"-l {flag.name} " if shell == "fish" else f"--{flag.name}") in script
            assert all(choice in script for choice in flag.choices)
    assert all(typed in script for typed, _ in steps(ROOT))
    assert "hubble watch" not in script, "hidden"


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", ["-n"]), ("zsh", ["-n"]), ("fish", ["--no-execute"])]
)
def test_a_shell_can_read_it(shell: str, words: list[str], screen: Screen, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(script_of(shell, screen))
    done = subprocess.run([program, *words, str(path)], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("words", [[], ["tcsh"]])
def test_without_a_shell_it_helps(words: list[str], screen: Screen) -> None:
    assert run(["completion", *words], screen.surroundings()) == 0
    assert screen.out.startswith(
        "Print the script that completes `hubble` command lines in a shell"
    )
