"""The script for zsh, asked by the completion system of an interactive zsh on a terminal."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.commands.tree import ROOT
from cli.completion.outline import places, spellings
from cli.completion.zsh import zsh_script
from tests.cli.completion.questions import QUESTIONS

if TYPE_CHECKING:
    from pathlib import Path

ZSH = shutil.which("zsh")
pytestmark = pytest.mark.skipif(ZSH is None, reason="zsh is not installed")

# As soon as the line editor starts it gets the line, completes it as Tab would, and leaves. What
# is added to the answers is written down on its way, unless it is only looked at (-O, -A, -D).
SETUP = """
autoload -Uz compinit
compinit -D -u
source "$SCRIPT"
LISTMAX=9999
compadd() {
    if [[ ${argv[(r)-[OAD]]} == "" ]]; then
        local -a hits
        builtin compadd -O hits "$@"
        print -rl -- $hits >> "$ANSWERS"
    fi
    builtin compadd "$@"
}
ask() {
    BUFFER=$LINE
    CURSOR=$#BUFFER
    zle complete-word
    BUFFER=exit
    zle accept-line
}
zle -N zle-line-init ask
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("zsh")
    (path / "script").write_text(zsh_script(ROOT))
    (path / ".zshrc").write_text(SETUP)
    return path


def offered(home: Path, line: str) -> list[str]:
    assert ZSH is not None
    answers = home / "answers"
    answers.write_text("")
    environment = {
        "ZDOTDIR": str(home),
        "SCRIPT": str(home / "script"),
        "ANSWERS": str(answers),
        "LINE": line,
        "TERM": "xterm",
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
    }
    terminal, end = pty.openpty()
    try:
        with subprocess.Popen(
            [ZSH, "-d", "-i"],
            stdin=end,
            stdout=end,
            stderr=end,
            env=environment,
            start_new_session=True,
        ) as shell:
            os.close(end)
            drain(terminal)
            assert shell.wait(30) == 0
    finally:
        os.close(terminal)
    return answers.read_text().split()


def drain(terminal: int) -> None:
    """Read what the shell shows until it is gone."""
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:  # how a terminal says that nobody holds its other end
        return


@pytest.mark.parametrize(("line", "answers"), QUESTIONS)
def test_offers(line: str, answers: str, home: Path) -> None:
    assert sorted(offered(home, line.removesuffix("|"))) == sorted(answers.split())


def test_offers_values_behind_an_equals_sign(home: Path) -> None:
    assert offered(home, "hubble observe --output=t") == ["table"]
    assert offered(home, "hubble observe --pod=t") == []


def test_offers_files(home: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    for flag in ("status --tls-ca-cert-files", "observe --input-file"):
        assert "ca.pem" in offered(home, f"hubble {flag} {tmp_path}/c")


@pytest.mark.parametrize("place", places(ROOT), ids=lambda place: place.path)
def test_offers_all_flags_of_each_command(place: object, home: Path) -> None:
    (wanted,) = [each for each in places(ROOT) if each == place]
    flags = {spelling for flag in wanted.flags for spelling in spellings(flag)}
    assert set(offered(home, f"{wanted.path} -")) == flags
