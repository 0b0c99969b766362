"""Series: the counters of one metric by the values of its labels, and the text they are shown as.

A metric has a bound. What comes beyond it is counted in one series whose labels all say `other`, so
that a choice of labels can make a metric coarse, but never take Prometheus down with it.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

logger = logging.getLogger(__name__)

OTHER: Final = "other"
_SLICE: Final = 500
"""Series in one piece of text: a fifth of a millisecond."""

Labels = tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Counter:
    """One series; only grows."""

    head: str
    """Its line of the exposition up to the value."""
    value: int = 0


class Metric:
    """All series of one counter."""

    def __init__(self, name: str, meaning: str, labels: Labels, *, most_series: int) -> None:
        """Take what the exposition says of it; the name ends in `_total`."""
        self.name = name
        self.meaning = meaning
        self.labels = labels
        self.folded = 0
        """Label values that found no room, counted as often as they came."""
        self._most = most_series
        self._series: dict[Labels, Counter] = {}
        self._other: Counter | None = None

    def __len__(self) -> int:
        return len(self._series) + (self._other is not None)

    def series(self, values: Labels) -> Counter:
        """Return the series of these values, which may be the one of all others."""
        found = self._series.get(values)
        if found is not None:
            return found
        if len(self._series) >= self._most:
            return self._fold()
        made = self._series[values] = self._made(values)
        return made

    def values(self) -> dict[Labels, int]:
        """Return the value of each series but the one of all others."""
        return {labels: counter.value for labels, counter in self._series.items()}

    def remove(self, is_gone: Callable[[Labels], bool]) -> int:
        """Forget series by their values; return how many."""
        gone = [values for values in self._series if is_gone(values)]
        for values in gone:
            del self._series[values]
        return len(gone)

    def exposition(self, *, is_open: bool) -> Iterator[str]:
        """Write it in pieces, as OpenMetrics or as Prometheus's own text."""
        if not len(self):
            return
        family = self.name.removesuffix("_total") if is_open else self.name
        yield f"# HELP {family} {self.meaning}\n# TYPE {family} counter\n"
        counters = list(self._series.values())
        if self._other is not None:
            counters.append(self._other)
        for start in range(0, len(counters), _SLICE):
            part = counters[start : start + _SLICE]
            yield "".join([f"{each.head}{each.value}\n" for each in part])

    def _fold(self) -> Counter:
        self.folded += 1
        if self._other is None:
            logger.warning("metric has too many series name=%s limit=%d", self.name, self._most)
            self._other = self._made((OTHER,) * len(self.labels))
        return self._other

    def _made(self, values: Labels) -> Counter:
        pairs = zip(self.labels, values, strict=True)
        inner = ",".join(f'{name}="{escaped(value)}"' for name, value in pairs)
        return Counter(head=f"{self.name}{{{inner}}} " if inner else f"{self.name} ")


def escaped(value: str) -> str:
    """Write a label's value as the text format wants it between quotes."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
