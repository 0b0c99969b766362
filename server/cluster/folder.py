"""The cluster's objects from a folder of YAML files, and their changes as the files change.

The same objects and changes that a Kubernetes watch delivers. The folder is looked at every 200 ms
(about 50 µs for a dozen files) rather than watched by inotify: it works as well on network and
projected file systems, and a burst of writes is one batch. Files may be replaced by rename, be
written in place, come and go; server.cluster.scan says what counts. Next: server.cluster.state.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from server.cluster.errors import StateFolderError
from server.cluster.scan import FolderScan
from server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from server.cluster.errors import ObjectError
    from server.cluster.objects import Change

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S = 0.2


class StateFolder:
    """A folder of YAML files that describes the cluster."""

    def __init__(self, path: Path, *, look_interval_s: float = LOOK_INTERVAL_S) -> None:
        self._path = path
        self._look_interval_s = look_interval_s
        self._scan = FolderScan(path)
        self._unreadable: Problem | None = None

    @property
    def errors(self) -> tuple[ObjectError, ...]:
        """What in the files cannot be used at present; each was logged when it appeared."""
        return self._scan.errors

    def problems(self) -> tuple[Problem, ...]:
        """The same as problems, and that the folder itself cannot be read."""
        return (self._unreadable, *self._scan.problems) if self._unreadable else self._scan.problems

    async def changes(self) -> AsyncIterator[tuple[Change, ...]]:
        """Yield the whole folder first (an empty batch if it is empty), then what changes.

        Changes that were seen at one look are one batch: what belongs together, such as an object
        that moved between files, is not torn. Can be cancelled at any time.

        Raises:
            StateFolderError: The folder cannot be read at first; later that is only logged.
        """
        try:
            yield await asyncio.to_thread(self._scan.look)
        except OSError as error:
            reason = f"read state folder: {error.strerror}: {self._path}"
            raise StateFolderError(reason) from error
        while True:
            await asyncio.sleep(self._look_interval_s)
            try:
                changes = await asyncio.to_thread(self._scan.look)
            except OSError as error:
                self._fail(error)
                continue
            self._unreadable = None
            if changes:
                yield changes

    def _fail(self, error: OSError) -> None:
        known = self._unreadable
        if known is not None and known.reason == str(error):
            return
        since_ns = known.since_ns if known else time.time_ns()
        about = f"folder {self._path}"
        self._unreadable = Problem(about=about, reason=str(error), since_ns=since_ns)
        logger.error("state folder unreadable, its last state stays error=%r", error)
