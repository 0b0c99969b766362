"""The datapath: C programs, their headers, and the stub headers they compile against.

`include/events.h` is the layout of everything the programs send to user space, `include/layout.h`
that of the maps; `observer.decode` and `observer.kernel` hold their Python twins. This package only
says where the sources lie: `observer.kernel` compiles, loads and attaches them.
"""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
INCLUDE: Final = FOLDER / "include"
STUB: Final = FOLDER / "stub"
"""Stands for a kernel source tree (BCC_KERNEL_SOURCE): hosts rarely have one."""
SOURCES: Final = (FOLDER / "endpoint.c", FOLDER / "sweep.c")
"""Compiled together, in this order, as one unit."""
OBSERVE_SOURCES: Final = (FOLDER / "observe.c", FOLDER / "sweep.c")
"""The same for interfaces of others, with programs that only look."""
PROGRAMS: Final = ("from_endpoint", "to_endpoint", "sweep")
"""Functions of SOURCES, and of OBSERVE_SOURCES, that are programs, all of type SCHED_CLS."""
