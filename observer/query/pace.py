"""Pace: how many rows to take at once, so that one step stays short on any machine."""

from typing import Final

TURN_S: Final = 0.001_75
"""A turn scans slices and encodes what they gave: below the 2 ms that the loop allows."""
SCAN_TARGET_S: Final = 0.000_5
"""One slice."""
ENCODE_TARGET_S: Final = 0.001
"""The rest is for joining and writing the first of it."""


class Pace:
    """A number of rows that follows the time which the last ones took."""

    def __init__(self, *, target_s: float, rows: int, least: int, most: int) -> None:
        self._target_s = target_s
        self.rows = rows
        self._least = least
        self._most = most

    def took(self, rows: int, seconds: float) -> None:
        """Learn from a step: at most double or halve, since one measurement may be off."""
        if rows <= 0 or seconds <= 0:
            return
        fitting = int(rows * self._target_s / seconds)
        if fitting > self.rows and rows < self.rows:
            # A short step says little about long ones.
            return
        self.limit(min(max(fitting, self.rows // 2), 2 * self.rows))

    def limit(self, rows: int) -> None:
        """Set the number of rows, within the bounds."""
        self.rows = min(max(rows, self._least), self._most)
