"""All inputs that are kept, through their targets: what once failed must not fail again."""

from pathlib import Path

import pytest

from tests.fuzz import corpus

KEPT = list(corpus.kept())


@pytest.mark.parametrize(
    ("name", "path"), [pytest.param(*each, id=f"{each[0]}-{each[1].name}") for each in KEPT]
)
def test_kept_input(name: str, path: Path) -> None:
    corpus.load(name).check(path.read_bytes())


@pytest.mark.parametrize("name", corpus.NAMES)
def test_the_seeds_are_those_of_the_target(name: str) -> None:
    """A seed that is not kept would be lost; write them with `make fuzz ARGS=--write-seeds`."""
    made = {corpus.file_name(seed): data for seed, data in corpus.load(name).seeds()}
    kept = {path.name: path.read_bytes() for each, path in KEPT if each == name}
    assert made == {key: data for key, data in kept.items() if key.startswith("seed-")}


@pytest.mark.parametrize("name", corpus.NAMES)
def test_nothing_at_all(name: str) -> None:
    corpus.load(name).check(b"")
