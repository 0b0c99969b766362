"""Listening sockets, TCP and unix.

A unix socket file that nobody listens on is the trace of a killed process and is replaced; one
that somebody listens on is not. Errors name the address.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from api.lane.address import TcpAddress, UnixAddress

if TYPE_CHECKING:
    from api.lane.address import Address

_SOCKET_MODE = 0o660
_BACKLOG = 128


def listening_socket(address: Address) -> socket.socket:
    """Return a socket that listens on an address, non-blocking.

    Raises:
        OSError: with the reason's errno; the text names the address.
    """
    try:
        sock = _bind_unix(address.path) if isinstance(address, UnixAddress) else _bind_tcp(address)
    except OSError as error:
        code = error.errno or errno.EINVAL
        # Look-up errors have negative numbers, and a path too long has none: their text says more.
        reason = os.strerror(code) if error.errno and code > 0 else str(error)
        raise OSError(code, f"listen on {address}: {reason}") from error
    sock.setblocking(False)
    return sock


def bound_address(sock: socket.socket) -> Address:
    """Return what a listening socket is bound to; all addresses are shown as ``[::]``."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return UnixAddress(path=Path(name))
    return TcpAddress(host=name[0], port=name[1])


def _bind_tcp(address: TcpAddress) -> socket.socket:
    if not address.host:
        return _bind_all(address.port)
    found = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    # A name with both families listens on IPv4, as Go does.
    family, _, _, _, name = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return _bound(family, name)


def _bind_all(port: int) -> socket.socket:
    """Listen on every address of the machine, by one dual-stack socket where there is IPv6."""
    try:
        return _bound(socket.AF_INET6, ("::", port), dual_stack=True)
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
    return _bound(socket.AF_INET, ("0.0.0.0", port))  # noqa: S104 - the user asked for all


def _bound(family: int, name: object, *, dual_stack: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual_stack else 1)
        sock.bind(name)  # type: ignore[arg-type]  # typeshed has no name for "what getaddrinfo gives"
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: Path) -> socket.socket:
    if _is_socket(path):
        if answers(path):
            raise OSError(errno.EADDRINUSE, "somebody listens there")
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        path.chmod(_SOCKET_MODE)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def answers(path: Path) -> bool:
    """Tell whether somebody listens on a unix socket; False too if the file has gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True
