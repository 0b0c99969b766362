"""`hubble-relay check`: could a relay be started here, and would it find its nodes?

In: the flags and the environment of a relay. Out: a line for each thing that was looked at, and the
exit status: 1 if something is in the way. Asks the peer service and every node, changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvloop

from api.lane.address import parse_address
from api.lane.listen import listening_socket
from api.process.configure import resolve_flags
from api.process.flags import setting_parser
from relay.encryption import towards_clients, towards_nodes
from relay.errors import RelayError
from relay.nodes.discovery import discovery_of
from relay.nodes.pool import NodePool
from relay.settings import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from relay.nodes.discovery import Discovery
    from relay.nodes.link import NodeLink
    from relay.settings import Settings

_PEERS_S: Final = 5.0
"""Time for the peer service to name the nodes."""
_NODES_S: Final = 6.0
"""Time for the nodes to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    found: str
    is_fine: bool = True
    is_in_the_way: bool = False

    def __str__(self) -> str:
        state = "ok" if self.is_fine else "blocker" if self.is_in_the_way else "warning"
        return f"{state:<9}{self.name:<16}{self.found}"


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print what was found; 1 if something is in the way. Raises SettingError."""
    parser = setting_parser(
        SCHEMA,
        "hubble-relay check",
        usage="hubble-relay check [flags]",
        description="Say whether hubble-relay could be started here with these flags, and whether "
        "it would reach the peer service and the nodes. Changes nothing. Exits with 1 if something "
        "is in the way.",
    )
    settings = resolve_flags(SCHEMA, vars(parser.parse_args(argv)), environ).settings
    # what is found is told once, as a finding
    logging.disable(logging.CRITICAL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        findings = runner.run(look(settings))
    print("\n".join(map(str, findings)))
    return int(any(finding.is_in_the_way for finding in findings))


async def look(settings: Settings) -> list[Finding]:
    """Look at TLS files and addresses, then ask the peer service and the nodes."""
    findings = [
        _tls("TLS to nodes", lambda: towards_nodes(settings)),
        _tls("TLS to clients", lambda: towards_clients(settings)),
        _address("clients", settings.listen_address),
        _address("probes", settings.health_listen_address),
    ]
    if settings.metrics_listen_address:
        findings.append(_address("metrics", settings.metrics_listen_address))
    if findings[0].is_fine:
        findings += await _nodes(settings)
    return findings


def _tls(name: str, make: Callable[[], object]) -> Finding:
    try:
        return Finding(name=name, found="off" if make() is None else "set up")
    except RelayError as error:
        return _blocker(name, str(error))


def _address(name: str, address: str) -> Finding:
    try:
        listening_socket(parse_address(address)).close()
    except OSError as error:
        return _blocker(name, error.strerror or str(error))
    return Finding(name=name, found=f"{address} is free")


async def _nodes(settings: Settings) -> list[Finding]:
    """Ask the peer service for the nodes, and each of them for its status."""
    async with asyncio.TaskGroup() as tasks:
        pool = NodePool(tasks, tls=towards_nodes(settings))
        discovery = discovery_of(settings, pool, towards_nodes(settings))
        following = tasks.create_task(discovery.run())
        await _named(pool)
        await pool.tried(longest_s=_NODES_S)
        findings = [_peers(settings, discovery, pool), *map(_node, pool.links)]
        following.cancel()
        pool.keep_only(())
    return findings


async def _named(pool: NodePool) -> None:
    """Wait until the peer service has named a node."""
    try:
        async with asyncio.timeout(_PEERS_S):
            while not pool.links:
                await pool.changes.next()
    except TimeoutError:
        return


def _peers(settings: Settings, discovery: Discovery, pool: NodePool) -> Finding:
    name, target = "peer service", settings.peer_service
    if not discovery.is_connected:
        return _warning(name, f"{target} does not answer: {discovery.last_error or 'no word'}")
    if not pool.links:
        return _warning(name, f"{target} names no node")
    return Finding(name=name, found=f"{target} names {len(pool.links)} nodes")


def _node(link: NodeLink) -> Finding:
    name = f"node {link.name}"
    if link.connection is None:
        return _warning(name, f"{link.address}: {link.account.last_error or 'no answer in time'}")
    return Finding(name=name, found=f"{link.address}: {link.account.version}")


def _blocker(name: str, found: str) -> Finding:
    return Finding(name=name, found=found, is_fine=False, is_in_the_way=True)


def _warning(name: str, found: str) -> Finding:
    return Finding(name=name, found=found, is_fine=False)
