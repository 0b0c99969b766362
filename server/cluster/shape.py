"""How YAML is put together, looked at before anything is made of it.

In: the parser's events. Out: nothing, or an error where a document nests too deep, where aliases
make a few lines stand for millions of values, where a value contains itself, or where a number is
longer than Python writes: what walks such documents later (errors, comparison, recordings) would
fail on them or never come to an end.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

DEEPEST_NESTING = 100
"""Kubernetes' own objects stay below 30."""

MOST_REPEATED = 100_000
"""Values that the aliases of one file may stand for, all together."""

LONGEST_NUMBER = 1_000
"""Characters of a number; Python writes no more than 4,300 digits."""

_NUMBER = re.compile(r"[-+]?[0-9][0-9a-fA-Fxo_:]*")


def check_shape(events: Iterable[yaml.Event]) -> None:
    """Follow the events of a whole file.

    Raises:
        YAMLError: The file is not YAML, or its shape is beyond reason.
    """
    shape = _Shape()
    for event in events:
        match event:
            case yaml.ScalarEvent():
                if len(event.value) > LONGEST_NUMBER and _NUMBER.fullmatch(event.value):
                    text = f"a number of {len(event.value)} characters {event.start_mark}"
                    raise yaml.YAMLError(text)
                shape.add(event.anchor, 1)
            case yaml.CollectionStartEvent():
                shape.begin(event)
            case yaml.CollectionEndEvent():
                shape.end()
            case yaml.AliasEvent():
                shape.repeat(event)
            case _:
                pass


class _Shape:
    """The collections that are open, and how much each anchor stands for."""

    def __init__(self) -> None:
        self._open: list[tuple[str | None, int]] = [(None, 0)]
        self._values: dict[str, int] = {}
        self._repeated = 0

    def begin(self, event: yaml.CollectionStartEvent) -> None:
        """Go into a collection."""
        if len(self._open) > DEEPEST_NESTING:
            raise yaml.YAMLError(f"nested deeper than {DEEPEST_NESTING} {event.start_mark}")
        self._open.append((event.anchor, 1))

    def end(self) -> None:
        """Leave it again; it counts for what is around it."""
        self.add(*self._open.pop())

    def add(self, anchor: str | None, count: int) -> None:
        """Count values."""
        if anchor is not None:
            self._values[anchor] = count
        around, before = self._open[-1]
        self._open[-1] = (around, before + count)

    def repeat(self, event: yaml.AliasEvent) -> None:
        """Count what an alias stands for; one that stands for nothing is the loader's to refuse."""
        if any(anchor == event.anchor for anchor, _ in self._open):
            raise yaml.YAMLError(f"alias {event.anchor} contains itself {event.start_mark}")
        count = self._values.get(event.anchor or "", 0)
        self._repeated += count
        if self._repeated > MOST_REPEATED:
            text = f"aliases stand for more than {MOST_REPEATED} values {event.start_mark}"
            raise yaml.YAMLError(text)
        self.add(None, count)
