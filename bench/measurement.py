"""What a line gives back: figures of repeats, the budget they are held against, Go's beside them.

A line measures, checks that the answer was right, and yields one `Measurement` per row of the
table. Nothing here prints; `bench.report` does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The bound of design and whether it is a ceiling (times, sizes) or a floor (rates)."""

    limit: float
    ceiling: bool

    def met_by(self, value: float) -> bool:
        """Tell whether a figure keeps the bound."""
        return value <= self.limit if self.ceiling else value >= self.limit

    def __str__(self) -> str:
        return f"{'<=' if self.ceiling else '>='} {self.limit:,.4g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One row of the table."""

    line: str
    """Name of the line, as on the command line."""
    what: str
    unit: str
    values: tuple[float, ...]
    """One figure per repeat, in the order in which they were taken; never empty."""
    budget: Budget | None = None
    """None: shown for comparison, nobody promised it."""
    fraction: float = 0.5
    """Which quantile of the values is the figure: the median unless a tail is asked for."""
    peer: tuple[float, ...] = ()
    """The Go program's figures, taken in the same run; empty if none was given."""
    note: str = ""
    """What the reader must know to read the figure."""

    @property
    def value(self) -> float:
        """The figure that is held against the budget."""
        return quantile(self.values, self.fraction)

    @property
    def peer_value(self) -> float | None:
        """The same quantile of the Go program's figures."""
        return quantile(self.peer, self.fraction) if self.peer else None

    @property
    def within_budget(self) -> bool | None:
        """None where there is no budget."""
        return None if self.budget is None else self.budget.met_by(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A line that could not be measured here."""

    line: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a line gets: how long it may take, where its files go, whom to compare with."""

    quick: bool
    """Few repeats: shows that the line works, not how fast it is."""
    folder: Path
    """Empty folder for this line; removed afterwards."""
    go_hubble: Path | None = None
    """The Go command line, for comparison."""
    go_client: Path | None = None
    """A Go GetFlows client: [-n N] [-follow] [-raw|-decode] TARGET, prints JSON."""
    soak_minutes: float = 10.0
    soak_events_per_s: int = 200_000

    def repeats(self, full: int, quick: int = 1) -> int:
        """Choose how often to measure."""
        return quick if self.quick else full


def quantile(values: Sequence[float], fraction: float) -> float:
    """Give the quantile, linear between neighbours; 0.5 is the median.

    Raises:
        ValueError: no values, or a fraction outside 0..1.
    """
    if not values or not 0 <= fraction <= 1:
        raise ValueError(f"take quantile {fraction} of {len(values)} values")
    ordered = sorted(values)
    at = fraction * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])
