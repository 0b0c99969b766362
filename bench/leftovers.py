"""What benches leave behind that were killed: network namespaces and pins.

Their names carry the process id of the bench that made them, so that those of a process which is
no more can be told. Called before new ones are made.
"""

import re
from pathlib import Path
from typing import Final

from pyroute2 import netns

from bench.errors import WrongAnswerError
from observer.kernel import pins
from observer.kernel.errors import KernelError

NODE: Final = "lvbench-"
"""Begins the name of a lone node."""
PODS: Final = "lvdp"
"""Begins the names of the nodes and pods of a datapath bench."""
_NAMESPACES: Final = Path("/run/netns")
_OWNER: Final = re.compile(rf"(?:{NODE}|{PODS})(\d+)")


def remove_leftovers() -> None:
    """Remove the pins and namespaces of benches whose process is no more."""
    pinned = pins.DEFAULT_BPFFS / "leavitt"
    for name in _abandoned(pinned):
        unpin(name)
    for name in _abandoned(_NAMESPACES):
        netns.remove(name)


def unpin(name: str) -> None:
    """Remove all that is pinned of a node.

    Raises:
        WrongAnswerError: somebody holds it.
    """
    try:
        pins.take(node=name, bpffs=pins.DEFAULT_BPFFS).remove()
    except KernelError as error:
        raise WrongAnswerError(f"remove pins of {name}: {error}") from error


def _abandoned(folder: Path) -> list[str]:
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    owners = {name: _OWNER.match(name) for name in names}
    return [
        name
        for name, owner in owners.items()
        if owner is not None and not Path("/proc", owner[1]).exists()
    ]
