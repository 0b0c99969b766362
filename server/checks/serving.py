"""Can the addresses of the settings be listened on?"""

import os
import stat
from typing import Final

from api.lane.address import TcpAddress, parse_address
from api.lane.listen import answers, listening_socket
from server.checks.finding import Finding, blocker, fine
from server.settings import Settings

_PATH_BYTES: Final = 107
"""sockaddr_un has 108, one for the end."""


def tcp_address(settings: Settings) -> Finding:
    """Listen for a moment, as a server would."""
    name = "tcp address"
    if settings.listen_address is None:
        return fine(name, "none wanted: --listen-address :4244 for clients of other machines")
    address = parse_address(settings.listen_address)
    try:
        listening_socket(address).close()
    except OSError as error:
        port = address.port if isinstance(address, TcpAddress) else ""
        remedy = f"see who has it: ss -ltnp 'sport = :{port}'; or another --listen-address"
        return blocker(name, str(error.strerror or error), remedy)
    return fine(name, f"{address} is free")


def unix_socket(settings: Settings) -> Finding:
    """Look at the path, and knock if there is a socket."""
    name, path = "unix socket", settings.socket_path
    if len(os.fsencode(path)) > _PATH_BYTES:
        return blocker(name, f"longer than {_PATH_BYTES} bytes: {path}", "a shorter --socket-path")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return blocker(
            name, f"may not be made in {folder}", "another --socket-path, or run as root"
        )
    if not path.exists():
        return fine(name, f"{path} can be made")
    if not stat.S_ISSOCK(path.stat().st_mode):
        return blocker(
            name, f"{path} is there and no socket", "remove it, or another --socket-path"
        )
    if answers(path):
        return blocker(name, f"{path} is served", "stop the server there, or another --socket-path")
    return fine(name, f"{path} was left by a server that is gone; it will be replaced")
