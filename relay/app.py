"""`hubble-relay`: one process that serves the flows of all nodes.

    peer service ──► discovery ──► pool (a link to each node)
                                     ▲
    client ──► lane ──► session ─────┘      probes ──► health      Prometheus ──► metrics

This file makes the parts, hands them to each other and runs them until SIGTERM or SIGINT. `check`
and `config` look and start nothing.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

import uvloop

from api.lane.health import Health
from api.lane.tls import TlsSource
from api.process import log
from api.process.configure import resolve_flags
from api.process.errors import SettingError
from api.process.flags import setting_parser
from relay.commands import check, config
from relay.encryption import towards_clients, towards_nodes
from relay.errors import RelayError
from relay.health import follow_health
from relay.listening import SERVICES, health_methods, listen, main_methods
from relay.nodes.discovery import discovery_of
from relay.nodes.pool import NodePool
from relay.session import Surroundings
from relay.settings import SCHEMA, Settings

logger = logging.getLogger(__name__)

USAGE: Final = "hubble-relay [serve|check|config] [flags]"
DESCRIPTION: Final = (
    "serve (if no command is given): serve the flows of all nodes over the Hubble API. check: say "
    "whether it can be started here and whether it would find nodes. config: print the settings "
    "and where they came from. Each command has its own --help."
)
_YOUNG_OBJECTS: Final = 20_000
"""Lists of pieces come and go by the thousand and make no cycles: the collector need not look."""


def main() -> int:
    """Do what the command line says; 0, or 1 with a line on standard error when it cannot go on."""
    argv = sys.argv[1:]
    is_word = bool(argv) and not argv[0].startswith("-")
    word = argv.pop(0) if is_word else "serve"
    try:
        if word not in COMMANDS:
            raise RelayError(f"unknown command: expected one of {', '.join(COMMANDS)}: {word!r}")
        return COMMANDS[word](argv, os.environ)
    except (RelayError, SettingError) as error:
        print(f"hubble-relay: {error}", file=sys.stderr)
    return 1


def serve(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run until told to stop; 0, or 1 with a line on standard error when it cannot go on."""
    parser = setting_parser(SCHEMA, "hubble-relay", usage=USAGE, description=DESCRIPTION)
    resolved = resolve_flags(SCHEMA, vars(parser.parse_args(argv)), environ)
    log.configure(resolved.settings.log_level)
    resolved.log_ignored()
    gc.set_threshold(_YOUNG_OBJECTS)
    status = 0
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(resolved.settings))
    except* RelayError as failures:
        for failure in failures.exceptions:
            print(f"hubble-relay: {failure}", file=sys.stderr)
        status = 1
    return status


async def run(settings: Settings) -> None:
    """Build and run everything; returns after a clean shutdown.

    Raises:
        RelayError: TLS or an address cannot be used.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    node_tls, client_tls = towards_nodes(settings), towards_clients(settings)
    health = Health()
    async with asyncio.TaskGroup() as tasks:
        pool = NodePool(tasks, tls=node_tls)
        discovery = discovery_of(settings, pool, node_tls)
        around = Surroundings(
            pool=pool,
            discovery=discovery,
            node_name=settings.node_name,
            patience_s=settings.sort_buffer_drain_timeout,
            clock_s=time.monotonic,
            wall_ns=time.time_ns,
        )
        async with AsyncExitStack() as opened:
            await _open(settings, around, health, client_tls, opened)
            workers = [
                tasks.create_task(discovery.run()),
                tasks.create_task(follow_health(health, discovery, pool)),
            ]
            gc.freeze()
            logger.info("ready cluster=%s peers=%s", settings.cluster_name, settings.peer_service)
            await stop.wait()
            logger.info("stopping")
        for worker in workers:
            worker.cancel()
        pool.keep_only(())


async def _open(
    settings: Settings,
    around: Surroundings,
    health: Health,
    tls: TlsSource | None,
    opened: AsyncExitStack,
) -> None:
    """Listen on all addresses; leaving `opened` ends that, with grace for open calls."""
    methods = main_methods(around, health)
    if settings.metrics_listen_address is not None:
        # here, since what it imports takes longer than all the rest to start
        from relay import metrics

        registry = metrics.relay_registry(around.pool, around.wall_ns)
        methods = metrics.counted(methods, SERVICES, registry)
        page = await metrics.serve_metrics(settings.metrics_listen_address, registry)
        opened.push_async_callback(page.cleanup)
    for served, address, secret in (
        (methods, settings.listen_address, tls),
        (health_methods(health), settings.health_listen_address, None),
    ):
        server = await listen(served, address, tls=secret)
        opened.push_async_callback(server.stop, settings.shutdown_grace)


COMMANDS: Final[dict[str, Callable[[Sequence[str], Mapping[str, str]], int]]] = {
    "serve": serve,
    "check": check.main,
    "config": config.main,
}
"""The first word → what it does, given the flags and the environment: the exit status."""
