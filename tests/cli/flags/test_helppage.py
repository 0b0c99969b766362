"""Help pages, to the letter."""

from pathlib import Path

import pytest

from cli.commands.tree import ROOT
from cli.flags.helppage import help_page, unknown_command
from cli.flags.scan import find_command


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["config"],
        ["config", "set"],
        ["list"],
        ["list", "nodes"],
        ["observe"],
        ["observe", "agent-events"],
        ["policy"],
        ["policy", "verdict"],
        ["status"],
    ],
    ids=" ".join,
)
def test_help_page(words: list[str], golden: Path) -> None:
    command, path, _ = find_command(ROOT, words)
    assert help_page(command, path) == (golden / f"help_{'_'.join(path)}.txt").read_text()


@pytest.mark.parametrize(
    ("word", "meant"),
    [("observ", "observe"), ("obsrve", "observe"), ("STAT", "status"), ("versoin", "version")],
)
def test_a_near_miss_names_what_was_meant(word: str, meant: str) -> None:
    assert unknown_command(ROOT, word) == (
        f'unknown command "{word}" for "hubble"\n\nDid you mean this?\n\t{meant}\n'
    )


def test_a_far_miss_does_not() -> None:
    assert unknown_command(ROOT, "bogus") == 'unknown command "bogus" for "hubble"'
