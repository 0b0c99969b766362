"""`hubble-lab port-forward`: a port of this machine that leads to a program inside a lab.

    127.0.0.1:4245 ──► here ══ into the namespace ══► 127.0.0.1:4245 of a node or pod

A socket belongs to the network in which it was made: the one that listens is made outside, then the
process goes inside, from where it dials. Bytes pass as they are, TLS too.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import suppress

from lab.errors import LabError
from lab.namespaces import enter

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536


def reserve(port: int) -> socket.socket:
    """Listen on a port of this machine. LabError if somebody has it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
        sock.listen()
    except OSError as error:
        sock.close()
        raise LabError(
            f"listen on {HOST}:{port}: {error.strerror}; another hubble-server, relay or"
            " port-forward has it: end that, or choose another port"
        ) from None
    return sock


async def forward(listener: socket.socket, netns: str, port: int) -> None:
    """Pass connections on until SIGTERM or Ctrl-C; this process stays in the namespace for good."""
    enter(netns)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(reader, writer, port)

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(serve, sock=listener)
    await stop.wait()
    server.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """Serve one connection; where nobody answers inside it ends at once."""
    try:
        inner_reader, inner_writer = await asyncio.open_connection(HOST, port)
    except OSError:
        writer.transport.abort()
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_pass_on(reader, inner_writer))
            tasks.create_task(_pass_on(inner_reader, writer))
    except* ConnectionError:
        # One side broke: the other learns it now, whatever it has not read yet.
        writer.transport.abort()
        inner_writer.transport.abort()
    finally:
        writer.close()
        inner_writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction to its end, and end it on the other side, too."""
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    with suppress(OSError):  # it may be closed altogether
        writer.write_eof()
