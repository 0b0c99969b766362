"""The traffic of the demo: what the ships do, over and over, as processes in their pods.

All of it is done with the commands that people type into such pods: curl, ping, getent. How a
command ends is of no interest here, it is what `hubble observe` shows; each one gives up by
itself after a few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
from dataclasses import dataclass
from subprocess import SubprocessError
from typing import TYPE_CHECKING

from lab.errors import LabError, ProcessError
from lab.session import SEARCH_PATH

if TYPE_CHECKING:
    from lab.session import Lab

logger = logging.getLogger(__name__)

PACKAGE_BY_COMMAND = {"curl": "curl", "ping": "iputils-ping", "getent": "libc-bin"}

LANDING_PAD = "http://deathstar/v1/request-landing"
"""Short: a full name would be tried below each search domain first, ten more lines of DNS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One command that a pod runs again and again."""

    pod: str
    command: tuple[str, ...]
    first_s: float
    """When it runs first, from the start: spread, so that a viewer can follow."""

    every_s: float
    """The pause after its end."""


def empire_errands(lab: Lab) -> tuple[Errand, ...]:
    """Give what goes on in the `empire` scenario: what is allowed, and what is denied."""
    tiefighter = lab.topology.pod("default/tiefighter")
    land = ("curl", "--silent", "--max-time", "4", "--request", "POST", LANDING_PAD)
    ping = ("ping", "-c", "1", "-W", "2")
    return (
        # The first second is the policy's, to take effect.
        Errand(pod="default/tiefighter", command=land, first_s=1.0, every_s=3.0),
        # Its SYNs are dropped at the death star's door: it has to give up.
        Errand(
            pod="default/xwing",
            command=(*land, "--connect-timeout", "2"),
            first_s=2.0,
            every_s=4.0,
        ),
        *(
            Errand(
                pod="default/xwing",
                command=(*ping, str(tiefighter.address(version))),
                first_s=first_s,
                every_s=6.0,
            )
            for version, first_s in ((4, 3.0), (6, 5.0))
        ),
        # A planet that is no longer there; the dot at the end asks for this name alone.
        Errand(
            pod="default/tiefighter",
            command=("getent", "ahostsv4", "alderaan.default.svc.cluster.local."),
            first_s=4.0,
            every_s=8.0,
        ),
    )


def check_commands() -> None:
    """Raise LabError if this machine lacks one of the commands, saying how to get it."""
    for command, package in PACKAGE_BY_COMMAND.items():
        if shutil.which(command, path=SEARCH_PATH) is None:
            raise LabError(f"find {command}: not found; install it: apt-get install {package}")


async def run_traffic(lab: Lab) -> None:
    """Run the errands until SIGTERM or Ctrl-C; commands under way are ended then.

    Raises:
        LabError: the lab is another one than `empire`, or was taken away meanwhile.
    """
    check_commands()
    errands = empire_errands(lab)
    try:
        async with asyncio.TaskGroup() as tasks:
            _end_on_signals([tasks.create_task(_repeat(lab, errand)) for errand in errands])
            print(f"Making traffic in run {lab.run.name}; Ctrl-C ends it", flush=True)
    except ExceptionGroup as failures:
        # All errands fail of the same: say it once.
        raise failures.exceptions[0] from None


def _end_on_signals(tasks: list[asyncio.Task[None]]) -> None:
    def end() -> None:
        for task in tasks:
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)


async def _repeat(lab: Lab, errand: Errand) -> None:
    await asyncio.sleep(errand.first_s)
    while True:
        process = await _start(lab, errand)
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        logger.debug("errand pod=%s command=%s status=%d", errand.pod, errand.command[0], status)
        await asyncio.sleep(errand.every_s)


async def _start(lab: Lab, errand: Errand) -> asyncio.subprocess.Process:
    pod = lab.topology.pod(errand.pod)
    try:
        return await asyncio.create_subprocess_exec(
            *errand.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=lab.environment(pod),
            preexec_fn=lab.entrance(pod),
            start_new_session=True,
        )
    except (OSError, SubprocessError) as error:
        raise ProcessError(f"run {errand.command[0]} in {errand.pod}: {error}") from None
