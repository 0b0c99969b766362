"""Is there what the programs are compiled with? BCC and the kernel's headers for user space.

BCC is looked for but not imported: it would cost 75 MB here. `server.checks.trial` does use it.
"""

import importlib.machinery
import re
import sys
import sysconfig
from pathlib import Path
from typing import Final

from server.checks.finding import Finding, blocker, fine
from server.settings import Settings

_INSTALL: Final = "apt-get install python3-bpfcc, then make setup"
_HEADERS: Final = Path("/usr/include")


def bcc(settings: Settings) -> Finding:
    """Ask whether `import bcc` brings the compiler, and not the geometry library of that name."""
    del settings
    name = "bcc"
    spec = importlib.machinery.PathFinder.find_spec("bcc", list(sys.path))
    if spec is None or spec.origin is None:
        return blocker(name, f"not there for {sys.executable}", _INSTALL)
    folder = Path(spec.origin).parent
    if not (folder / "libbcc.py").exists():
        return blocker(name, f"another package: {folder}", f"pip uninstall bcc; {_INSTALL}")
    return fine(name, f"{_version(folder)} in {folder.resolve()}")


def headers(settings: Settings) -> Finding:
    """Ask for the headers that the programs include."""
    del settings
    name = "headers"
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    wanted = (_HEADERS / "linux/bpf.h", _HEADERS / multiarch / "asm/types.h")
    missing = [str(path) for path in wanted if not path.exists()]
    if missing:
        return blocker(name, f"missing: {', '.join(missing)}", "apt-get install linux-libc-dev")
    return fine(name, f"{_HEADERS}/linux")


def _version(folder: Path) -> str:
    try:
        found = re.search(r"__version__ *= *['\"](.+?)['\"]", (folder / "version.py").read_text())
    except OSError:
        found = None
    return found[1] if found else "of unknown version"
