"""The script for bash, run by bash as its completion runs it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.commands.tree import ROOT
from cli.completion.bash import bash_script
from cli.completion.outline import places, spellings
from tests.cli.completion.questions import QUESTIONS

if TYPE_CHECKING:
    from pathlib import Path

# What bash sets before it calls the function, and what it reads afterwards.
ASK = """
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_hubble
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("bash") / "hubble"
    path.write_text(bash_script(ROOT))
    return path


def offered(script: Path, *words: str) -> list[str]:
    line = ["bash", "--norc", "-c", ASK, "bash", str(script), *words]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


# Bash takes the equals sign for a word of its own.
EQUALS = [
    ("hubble observe --output = t|", "table"),
    ("hubble observe --output = json --foll|", "--follow"),
]


@pytest.mark.parametrize(("line", "answers"), QUESTIONS + EQUALS)
def test_offers(line: str, answers: str, script: Path) -> None:
    words = line.removesuffix("|").split(" ")
    assert offered(script, *words) == answers.split()


def test_offers_files(script: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    begun = str(tmp_path / "c")
    assert offered(script, "hubble", "status", "--tls-ca-cert-files", begun) == [f"{begun}a.pem"]
    assert offered(script, "hubble", "observe", "--input-file", begun) == [f"{begun}a.pem"]


@pytest.mark.parametrize("place", places(ROOT), ids=lambda place: place.path)
def test_offers_all_flags_of_each_command(place: object, script: Path) -> None:
    (wanted,) = [each for each in places(ROOT) if each == place]
    flags = [spelling for flag in wanted.flags for spelling in spellings(flag)]
    assert offered(script, *wanted.path.split(), "-") == flags
