"""`hubble version`."""

import platform
import sys

from api.version import VERSION
from cli.flags.arguments import Arguments
from cli.surroundings import Surroundings


def version_line() -> str:
    """Say what this is and what it runs on."""
    python = platform.python_version()
    return (
        f"hubble v{VERSION} (Leavitt) with Python {python} on {sys.platform}/{platform.machine()}\n"
    )


def run(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the version."""
    arguments.read()
    surroundings.out.write(version_line())
