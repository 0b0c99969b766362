"""`hubble-server`: the process that observes one node and serves its flows.

    perf rings, state folder ──► live ───┐
                                         ├──► node (decode … table … encode) ──► lane
    recording ──────────────────► replay ┘

This file makes the parts, hands them to each other and runs them until SIGTERM or SIGINT. The other
commands, `check`, `config` and `cleanup`, look and tidy; they start nothing.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import uvloop

from api.lane.health import Health
from api.process import log
from api.process.errors import SettingError
from observer.kernel.errors import KernelError
from server import live, replay
from server.commands import check, cleanup, config, get
from server.configure import resolve
from server.contradictions import refuse_contradictions
from server.errors import ServerError
from server.http import serve_metrics
from server.listening import listen
from server.node import build_node
from server.observer_service import HEALTH_NAME
from server.settings import Settings

logger = logging.getLogger(__name__)

# Nearly nothing here makes cycles. With Python's 700 the collector looks at lists of ten thousand
# fragments again and again, a twentieth of what GetFlows costs.
_YOUNG_OBJECTS: Final = 20_000
_THREAD_TURN_S: Final = 0.0005
"""How long a thread may go on while the loop waits for its turn. With Python's 5 ms a thread that
parses 20,000 objects of YAML delays each pass of the loop by as much, hundreds of them."""


def main() -> int:
    """Do what the command line says; 0, or 1 with a line on standard error when it cannot go on."""
    argv = sys.argv[1:]
    is_word = bool(argv) and not argv[0].startswith("-")
    word = argv.pop(0) if is_word else "serve"
    try:
        if word not in COMMANDS:
            raise ServerError(f"unknown command: expected one of {', '.join(COMMANDS)}: {word!r}")
        return COMMANDS[word](argv, os.environ)
    except (ServerError, SettingError, KernelError) as error:
        print(f"hubble-server: {error}", file=sys.stderr)
    except BrokenPipeError:
        # `hubble-server check | head`: the reader has had enough, and must not be told so
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def serve(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run until told to stop; 0, or 1 with a line on standard error when it cannot go on."""
    settings = resolve(argv, environ)
    refuse_contradictions(settings)
    log.configure(settings.log_level)
    gc.set_threshold(_YOUNG_OBJECTS)
    sys.setswitchinterval(_THREAD_TURN_S)
    if settings.replay is None:
        # Until all is there for the first time nothing that is made goes away again, and looking at
        # it in vain would hold the loop for up to 50 ms with 20,000 pods. A replay can take hours.
        gc.disable()
    status = 0
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except* (ServerError, KernelError) as failures:
        for failure in _leaves(failures):
            print(f"hubble-server: {failure}", file=sys.stderr)
        status = 1
    return status


async def run(settings: Settings) -> None:
    """Build and run everything; returns after a clean shutdown.

    Raises:
        ServerError: a setting, an address or the state folder cannot be used.
        KernelError: the kernel refused or lacks something, or the recording is broken.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if settings.replay is None:
        observe = live.observe
    else:
        # what cannot be replayed is refused before anybody can connect
        observe = partial(replay.observe, recording=await replay.opened(settings.replay))
    node, health = build_node(settings), Health()
    lane = await listen(settings, node, health)
    try:
        async with AsyncExitStack() as opened, asyncio.TaskGroup() as tasks:
            if settings.metrics_server is not None:
                await opened.enter_async_context(
                    serve_metrics(
                        settings.metrics_server, node.metrics, is_open=settings.open_metrics
                    )
                )
            worker = tasks.create_task(
                observe(settings, node, on_ready=lambda: _say_ready(settings, health))
            )
            await stop.wait()
            logger.info("stopping")
            health.set(HEALTH_NAME, False)
            await lane.stop(settings.shutdown_grace)
            worker.cancel()
    finally:
        await lane.stop(0)


def _say_ready(settings: Settings, health: Health) -> None:
    # What is there by now stays: with 20,000 pods each look of the collector at all of it would
    # hold the loop for 46 ms. Reference counts still free what changes.
    gc.freeze()
    gc.enable()
    health.set(HEALTH_NAME, True)
    logger.info("ready node=%s cluster=%s", settings.node_name, settings.cluster_name)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


COMMANDS: Final[dict[str, Callable[[Sequence[str], Mapping[str, str]], int]]] = {
    "serve": serve,
    "check": check.main,
    "config": config.main,
    "get": get.main,
    "cleanup": cleanup.main,
}
"""The first word → what it does, given the flags and the environment: the exit status."""
