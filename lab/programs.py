"""Our own programs: where they are, and how one would type them.

They stand beside the Python that runs the lab, so that a lab never mixes two installations.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def path_of(name: str) -> str:
    """Give the path of one of our programs."""
    return str(Path(sys.executable).with_name(name))


def typed(name: str) -> str:
    """Give it as one would type it here: relative to the current folder where that is shorter."""
    path = path_of(name)
    return min(path, os.path.relpath(path), key=len)
