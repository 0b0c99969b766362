"""A file that is only memory, for readers that want a path."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_of(data: bytes) -> Iterator[Path]:
    """Give a path under which these bytes can be read."""
    fd = os.memfd_create("fuzz")
    try:
        os.write(fd, data)
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
