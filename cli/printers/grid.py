"""Rows of texts as aligned columns."""

from collections.abc import Sequence

_GAP = "   "


def grid(rows: Sequence[Sequence[str]]) -> str:
    """Align cells: three spaces between columns, the last one not padded."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    return "".join(
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "\n"
        for row in rows
    )
