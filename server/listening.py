"""The lane of a node: what it serves, on which addresses, and by which TLS files.

The unix socket is for this machine and always in the clear; the TCP address speaks TLS when it is
given a certificate, and asks clients for theirs when it is given authorities.
"""

import logging

from api.lane.health import Health
from api.lane.reflection import reflection_methods
from api.lane.server import Server
from api.lane.service import service_methods
from api.lane.tls import ServerTls, TlsError
from api.proto.health import health_pb2
from api.proto.leavitt import node_pb2, policy_pb2
from api.proto.observer import observer_pb2
from api.proto.peer import peer_pb2
from api.version import WIRE_VERSION
from server.errors import ServerError
from server.node import Node
from server.observer_service import HEALTH_NAME
from server.peer_service import PeerService
from server.policy_service import PolicyService
from server.settings import Settings

logger = logging.getLogger(__name__)


async def listen(settings: Settings, node: Node, health: Health) -> Server:
    """Serve on both addresses, not healthy yet; the node's peers learn where.

    Raises:
        ServerError: an address, or the TLS files, cannot be used.
    """
    tls = server_tls(settings)
    lane = node_lane(node, health)
    health.set(HEALTH_NAME, False)
    try:
        settings.socket_path.parent.mkdir(parents=True, exist_ok=True)
        local = await lane.listen(f"unix://{settings.socket_path}")
        logger.info("listening address=%s", local)
        if settings.listen_address is not None:
            remote = await lane.listen(settings.listen_address, ssl=tls)
            logger.info("listening address=%s tls=%s", remote, _tls_word(settings))
            node.peers.listens(remote, tls=tls is not None)
    except OSError as error:
        await lane.stop(0)
        raise ServerError(str(error)) from error
    return lane


def node_lane(node: Node, health: Health) -> Server:
    """Make the lane of a node: all that it serves, health and reflection included."""
    observer = observer_pb2.DESCRIPTOR.services_by_name["Observer"]
    peer = peer_pb2.DESCRIPTOR.services_by_name["Peer"]
    policies = policy_pb2.DESCRIPTOR.services_by_name["Policies"]
    report = node_pb2.DESCRIPTOR.services_by_name["Node"]
    checks = health_pb2.DESCRIPTOR.services_by_name["Health"]
    methods = (
        service_methods(observer, node.service)
        | service_methods(peer, PeerService(node.peers))
        | service_methods(policies, PolicyService(node.desk))
        | service_methods(report, node.report)
        | service_methods(checks, health)
    )
    return Server(
        methods | reflection_methods((observer, peer, policies, report, checks)),
        initial_metadata=(("hubble-server-version", WIRE_VERSION),),
    )


def server_tls(settings: Settings) -> ServerTls | None:
    """Return the TLS of the TCP address, None for none; ServerError if it cannot be used."""
    certificate, key = settings.tls_cert_file, settings.tls_key_file
    given = [name for name, value in _tls_settings(settings).items() if value is not None]
    if not given:
        return None
    if certificate is None:
        raise ServerError(f"set up TLS: {given[0]} is given, tls-cert-file is missing")
    if key is None:
        raise ServerError(f"set up TLS: {given[0]} is given, tls-key-file is missing")
    if settings.listen_address is None:
        raise ServerError(f"set up TLS: {given[0]} is given, listen-address is missing")
    try:
        return ServerTls(
            certificate=certificate, key=key, client_authorities=settings.tls_client_ca_files or ()
        )
    except TlsError as error:
        raise ServerError(str(error)) from error


def _tls_settings(settings: Settings) -> dict[str, object]:
    return {
        "tls-cert-file": settings.tls_cert_file,
        "tls-key-file": settings.tls_key_file,
        "tls-client-ca-files": settings.tls_client_ca_files,
    }


def _tls_word(settings: Settings) -> str:
    if settings.tls_cert_file is None:
        return "off"
    return "on" if settings.tls_client_ca_files is None else "mutual"
