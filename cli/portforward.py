"""`--port-forward`: a port of this machine that leads to the relay in a cluster.

    connection to 127.0.0.1:4245  ──►  tunnel through the Kubernetes API  ──►  a pod of hubble-relay

The way is that of `kubectl port-forward service/hubble-relay`: the service's first port, a pod
that it selects, one tunnel (a WebSocket) for each connection. The `kubernetes` package dials and
keeps the tunnels (`kubetunnel.py`); it blocks, so it is called in threads.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass

from cli.errors import CliError

_HOST = "127.0.0.1"
_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardOptions:
    """Which cluster, and where its relay shall appear."""

    kubeconfig: str
    """Paths as in KUBECONFIG; empty for the usual places."""
    context: str
    """Empty for the current one."""
    namespace: str
    """Of the service hubble-relay."""
    local_port: int
    """0 for any that is free."""
    timeout_s: float
    """Limit of each answer of the Kubernetes API."""


@asynccontextmanager
async def forwarded(options: ForwardOptions, warn: Callable[[str], None]) -> AsyncIterator[str]:
    """Forward a port as long as the context lasts; yields its address.

    Args:
        options: what to forward.
        warn: told of connections that could not be forwarded.

    Raises:
        CliError: the cluster or its relay cannot be reached, or the port is taken.
    """
    # A second of imports, for those only who want it.
    from cli.kubetunnel import Cluster, ClusterError, tell_lost_tunnels

    connections: set[asyncio.Task[None]] = set()
    spare: list[socket.socket] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            connections.add(task)
            task.add_done_callback(connections.discard)
        try:
            tunnel = spare.pop() if spare else await asyncio.to_thread(cluster.dial, relay)
            await _pump(reader, writer, tunnel)
        except ClusterError as error:
            warn(f"{error}\n")
        finally:
            await _closed(writer)

    server = await _listen(forward, options.local_port)
    try:
        async with server:
            try:
                cluster = await asyncio.to_thread(Cluster, options.kubeconfig, options.context)
                relay = await asyncio.to_thread(
                    cluster.relay, options.namespace, timeout_s=options.timeout_s
                )
                tell_lost_tunnels(warn)
                # Dialled before anybody connects: what is wrong is then told as it is.
                spare.append(await asyncio.to_thread(cluster.dial, relay))
            except ClusterError as error:
                raise CliError(str(error)) from None
            host, port = server.sockets[0].getsockname()
            yield f"{host}:{port}"
    finally:
        for tunnel in spare:
            tunnel.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _listen(
    forward: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], port: int
) -> asyncio.Server:
    try:
        return await asyncio.start_server(forward, _HOST, port)
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise CliError(
            f"failed to port forward: unable to listen on {_HOST}:{port}: {reason}"
        ) from None


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tunnel: socket.socket
) -> None:
    """Carry bytes both ways until both ends have closed theirs."""
    with closing(tunnel):
        far_reader, far_writer = await asyncio.open_unix_connection(sock=tunnel)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_carry(reader, far_writer))
                ways.create_task(_carry(far_reader, writer))
        finally:
            await _closed(far_writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Who went away without a word is told to the other end as an end.
    with suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.write_eof()
