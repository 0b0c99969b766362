"""TLS of both sides of the relay, from its settings: towards the nodes, and towards clients.

Each side is either switched off or set up; nothing is guessed. Files are read again when they
change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.lane.tls import ClientTls, ServerTls, TlsError
from relay.errors import RelayError

if TYPE_CHECKING:
    from relay.settings import Settings


def towards_nodes(settings: Settings) -> ClientTls | None:
    """Return what the nodes are reached with, None for plain text.

    Raises:
        RelayError: neither is said, or both, or a file cannot be used.
    """
    authorities = settings.tls_hubble_server_ca_files
    certificate, key = settings.tls_hubble_client_cert_file, settings.tls_hubble_client_key_file
    if settings.disable_client_tls:
        _refuse_both("disable-client-tls", "tls-hubble-", (*authorities, certificate, key))
        return None
    if not authorities:
        given = certificate or key
        if given is None:
            raise RelayError("no client TLS config is set")
        raise RelayError(
            f"set up TLS towards nodes: {given} is given, tls-hubble-server-ca-files is missing"
        )
    try:
        return ClientTls(authorities=authorities, certificate=certificate, key=key)
    except TlsError as error:
        raise RelayError(str(error)) from error


def towards_clients(settings: Settings) -> ServerTls | None:
    """Return what clients are served with, None for plain text. Raises as `towards_nodes`."""
    authorities = settings.tls_relay_client_ca_files
    certificate, key = settings.tls_relay_server_cert_file, settings.tls_relay_server_key_file
    if settings.disable_server_tls:
        _refuse_both("disable-server-tls", "tls-relay-", (*authorities, certificate, key))
        return None
    if certificate is None or key is None:
        given = certificate or key or next(iter(authorities), None)
        if given is None:
            raise RelayError("no server TLS config is set")
        missing = "certificate and key" if certificate is key else _missing(certificate)
        raise RelayError(f"set up TLS towards clients: {given} is given, {missing} is missing")
    try:
        return ServerTls(certificate=certificate, key=key, client_authorities=authorities)
    except TlsError as error:
        raise RelayError(str(error)) from error


def _missing(certificate: object) -> str:
    name = "cert" if certificate is None else "key"
    return f"tls-relay-server-{name}-file"


def _refuse_both(switch: str, prefix: str, files: tuple[object, ...]) -> None:
    if any(file is not None for file in files):
        raise RelayError(f"set up TLS: {switch} is given, and {prefix}… files too")
