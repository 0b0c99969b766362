"""`hubble-server` with a lag meter in its event loop: the same settings, the same parts.

Run as a script, with the file for the meter's counts before the server's own flags. The server
itself has no meter, since a timer that fires a hundred times a second would cost an idle one
more than all the rest it does.
"""

import asyncio
import os
import sys
from pathlib import Path

import uvloop

from api.process import log
from bench.lag_meter import lag_measured
from server.app import run
from server.configure import resolve
from server.settings import Settings


async def _run_measured(settings: Settings, counts: Path) -> None:
    with lag_measured(counts):
        await run(settings)


def main() -> None:
    """Run until told to stop."""
    settings = resolve(sys.argv[2:], os.environ)
    log.configure(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run_measured(settings, Path(sys.argv[1])))


if __name__ == "__main__":
    main()
