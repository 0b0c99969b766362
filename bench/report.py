"""Results → the table that people read and the JSON that is kept.

The table has one row per measurement: our figure, its spread (least and most over the repeats),
the budget, whether it is kept, and Go's figure with the ratio ours/Go where one was taken.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.machine import Machine
from bench.measurement import Measurement, Skipped

Result = Measurement | Skipped

_HEAD: Final = ("line", "what", "ours", "spread", "n", "unit", "budget", "", "Go", "ours/Go")
_RIGHT: Final = frozenset({2, 3, 4, 8, 9})


def table(results: Sequence[Result]) -> str:
    """Lay out all results, notes and reasons below the row they belong to."""
    rows = [_HEAD, *(_cells(each) for each in results if isinstance(each, Measurement))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [_line(_HEAD, widths)]
    for each in results:
        if isinstance(each, Skipped):
            lines.append(f"{each.line:<{widths[0]}}  not measured: {each.reason}")
            continue
        lines.append(_line(_cells(each), widths))
        if each.note:
            lines.append(f"{'':<{widths[0]}}    {each.note}")
    return "\n".join(lines)


def as_json(machine: Machine, results: Sequence[Result], *, quick: bool) -> str:
    """Write machine, figures and every repeat."""
    document = {
        "machine": asdict(machine),
        "quick": quick,
        "results": [_record(each) for each in results],
    }
    return json.dumps(document, indent=2) + "\n"


def save(path: Path, text: str) -> None:
    """Write the JSON, making its folder.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def number(value: float) -> str:
    """Write a figure with three significant digits, thousands with commas."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cells(each: Measurement) -> tuple[str, ...]:
    peer = each.peer_value
    verdict = {None: "", True: "ok", False: "OVER"}[each.within_budget]
    return (
        each.line,
        each.what,
        number(each.value),
        f"{number(min(each.values))}-{number(max(each.values))}",
        str(len(each.values)),
        each.unit,
        "" if each.budget is None else str(each.budget),
        verdict,
        "" if peer is None else number(peer),
        f"{each.value / peer:.2f}" if peer else "",
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    parts = [
        f"{cell:>{width}}" if column in _RIGHT else f"{cell:<{width}}"
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(parts).rstrip()


def _record(each: Result) -> dict[str, Any]:
    if isinstance(each, Skipped):
        return {"line": each.line, "skipped": each.reason}
    derived = {
        "value": each.value,
        "within_budget": each.within_budget,
        "peer_value": each.peer_value,
    }
    return asdict(each) | derived
