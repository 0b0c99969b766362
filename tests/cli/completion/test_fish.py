"""The script for fish, asked by fish itself."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.commands.tree import ROOT
from cli.completion.fish import fish_script
from cli.completion.outline import places, spellings
from tests.cli.completion.questions import QUESTIONS

if TYPE_CHECKING:
    from pathlib import Path

FISH = shutil.which("fish")
pytestmark = pytest.mark.skipif(FISH is None, reason="fish is not installed")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("fish") / "hubble.fish"
    path.write_text(fish_script(ROOT))
    return path


def offered(script: Path, line: str) -> list[str]:
    assert FISH is not None
    home = {"HOME": str(script.parent), "PATH": "/usr/bin:/bin"}
    ask = [FISH, "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", str(script), line]
    done = subprocess.run(ask, capture_output=True, text=True, check=True, env=home)
    assert done.stderr == ""
    # Behind each word its meaning.
    return [answer.partition("\t")[0] for answer in done.stdout.splitlines()]


@pytest.mark.parametrize(("line", "answers"), QUESTIONS)
def test_offers(line: str, answers: str, script: Path) -> None:
    assert sorted(offered(script, line.removesuffix("|"))) == sorted(answers.split())


def test_offers_values_behind_an_equals_sign(script: Path) -> None:
    assert offered(script, "hubble observe --output=t") == ["--output=table"]


def test_offers_files(script: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    for flag in ("status --tls-ca-cert-files", "observe --input-file"):
        assert offered(script, f"hubble {flag} {tmp_path}/c") == [f"{tmp_path}/ca.pem"]


@pytest.mark.parametrize("place", places(ROOT), ids=lambda place: place.path)
def test_offers_all_flags_of_each_command(place: object, script: Path) -> None:
    (wanted,) = [each for each in places(ROOT) if each == place]
    flags = {spelling for flag in wanted.flags for spelling in spellings(flag)}
    long = {flag for flag in flags if flag.startswith("--")}
    assert set(offered(script, f"{wanted.path} --")) == long
    # Letters are offered together with long names.
    assert set(offered(script, f"{wanted.path} -")) == flags
