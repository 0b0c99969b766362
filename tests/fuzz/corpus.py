"""The targets, and the inputs that are kept for each.

A target is a module in `targets/`: `check(data)` fails if the program does anything but what it
should, `seeds()` gives inputs to begin with. Kept are the seeds, written by `write_seeds`, and
each input that once made `check` fail, which stands beside them as `crash-…`.
"""

import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, cast

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
NAMES = tuple(sorted(path.stem for path in (HERE / "targets").glob("*.py")))


class Target(Protocol):
    """What a target's module offers."""

    MOST_BYTES: int
    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[tuple[str, bytes]]]


def load(name: str) -> Target:
    """Import a target."""
    return cast("Target", importlib.import_module(f"tests.fuzz.targets.{name}"))


def folder(name: str) -> Path:
    """Say where a target's inputs are kept."""
    return CORPUS / name


def file_name(seed: str) -> str:
    """Name the file of a seed."""
    return "seed-" + re.sub(r"[^a-z0-9]+", "-", seed.lower()).strip("-")


def kept() -> Iterator[tuple[str, Path]]:
    """Give each target's name and each of its inputs."""
    for name in NAMES:
        for path in sorted(folder(name).iterdir()):
            yield name, path


def write_seeds(names: Iterable[str] = NAMES) -> None:
    """Write the seeds anew; those that are no more go."""
    for name in names:
        where = folder(name)
        where.mkdir(parents=True, exist_ok=True)
        for path in where.glob("seed-*"):
            path.unlink()
        for seed, data in load(name).seeds():
            (where / file_name(seed)).write_bytes(data)
