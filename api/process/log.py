"""Logs of the process: key=value on standard error, one line an event."""

import logging
import time


def configure(level: str) -> None:
    """Send everything of `level` and above to standard error; called once, by the process."""
    logging.basicConfig(
        level=level.upper(),
        format="time=%(asctime)s.%(msecs)03dZ level=%(levelname)s logger=%(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        force=True,
    )
    logging.Formatter.converter = time.gmtime
