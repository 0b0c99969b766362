"""The metrics of one node: a sink of the pipeline on one side, an exposition on the other.

Beside the families that were chosen it shows what the node says of itself: losses by stage, the
table and how far it reaches back, and labels that found no room.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from observer.ledger import Ledger, Stage
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from observer.table.rows import Rows
from server.metrics.contexts import contexts_of
from server.metrics.errors import MetricsError
from server.metrics.families import FAMILIES, OPTIONS
from server.metrics.families.source import Source
from server.metrics.family import Counting
from server.metrics.options import Choice
from server.metrics.series import Metric, escaped

_NS_PER_S: Final = 1_000_000_000
_CONTEXTS: Final = frozenset(
    f"{side}{when}context"
    for side in ("source", "destination")
    for when in ("", "ingress", "egress")
) | {"labelscontext"}
_MOST_SERIES: Final = 10_000
"""Of one metric; Prometheus feels a few hundred thousand in all."""
_LOST_SOURCES: Final = {
    Stage.RING: "perf_event_ring_buffer",
    Stage.READER: "hubble_ring_buffer",
}


class Metrics:
    """Counts what was chosen."""

    def __init__(
        self,
        choices: Sequence[Choice],
        *,
        table: FlowTable,
        ledger: Ledger,
        most_series: int = _MOST_SERIES,
    ) -> None:
        """Make the families.

        Raises:
            MetricsError: a name or an option is not known.
        """
        self._table = table
        self._ledger = ledger
        self._families = tuple(_counting(one, table.interns, most_series) for one in choices)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Those of the families, in the order of the choice."""
        return tuple(family.metric for family in self._families)

    def consume(self, rows: Rows, first: int) -> None:
        """Count rows that were just appended; a sink of the pipeline."""
        for family in self._families:
            family.count(rows.columns)

    def remove(self, is_gone: Callable[[Mapping[str, str]], bool]) -> int:
        """Remove series by their labels; return how many."""
        return sum(family.remove(is_gone) for family in self._families)

    def exposition(self, *, is_open: bool) -> Iterator[str]:
        """Write all in pieces, none longer than half a millisecond's work; counting may go on."""
        for metric in self.metrics:
            yield from metric.exposition(is_open=is_open)
        yield from self._of_itself(is_open)
        if is_open:
            yield "# EOF\n"

    def _of_itself(self, is_open: bool) -> Iterator[str]:
        lost = [
            ({"source": source}, self._ledger.total(stage))
            for stage, source in _LOST_SOURCES.items()
        ]
        yield _samples(
            "hubble_lost_events_total", "Number of lost events", "counter", lost, is_open
        )
        losses = [
            ({"stage": stage.value, "reason": reason}, count)
            for stage, reason, count in self._ledger.snapshot()
        ]
        yield _samples(
            "leavitt_lost_total", "What was lost, by stage and reason", "counter", losses, is_open
        )
        folded = [({"metric": one.name}, one.folded) for one in self.metrics if one.folded]
        yield _samples(
            "leavitt_metric_folded_total",
            "Label values that found no room",
            "counter",
            folded,
            is_open,
        )
        found = self._table.statistics()
        # not the watermark: after a replay that is now, years after its last row
        newest_ns = int(self._table.columns["time_ns"][self._table.head - 1 & found.capacity])
        span_ns = 0 if found.oldest_ns is None else newest_ns - found.oldest_ns
        for name, meaning, value in (
            ("leavitt_table_rows", "Rows in the flow table", found.rows),
            ("leavitt_table_capacity_rows", "Rows that the flow table can hold", found.capacity),
            ("leavitt_table_span_seconds", "How far the table reaches back", span_ns / _NS_PER_S),
        ):
            yield _samples(name, meaning, "gauge", [({}, value)], is_open)


def _counting(choice: Choice, interns: Interns, most_series: int) -> Counting:
    make = FAMILIES.get(choice.name)
    if make is None:
        raise MetricsError(f"metric '{choice.name}' does not exist")
    known = _CONTEXTS | OPTIONS.get(choice.name, frozenset())
    for option in choice.options:
        if option not in known:
            raise MetricsError(f"set metrics: {choice.name} has no option {option!r}")
    family = make(Source(interns=interns, options=choice.options))
    return Counting(family, contexts_of(choice.options), interns, most_series=most_series)


def _samples(
    name: str,
    meaning: str,
    kind: str,
    values: Sequence[tuple[Mapping[str, str], float]],
    is_open: bool,
) -> str:
    """Write one family of samples; nothing if there is none."""
    if not values:
        return ""
    family = name.removesuffix("_total") if is_open else name
    lines = [f"# HELP {family} {meaning}\n# TYPE {family} {kind}\n"]
    for labels, value in values:
        inner = ",".join(f'{key}="{escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inner}}} {value}\n" if inner else f"{name} {value}\n")
    return "".join(lines)
