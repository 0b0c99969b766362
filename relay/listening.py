"""What the relay serves, and where: all on the main address, health on that for probes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from api.lane.reflection import reflection_methods
from api.lane.server import Server
from api.lane.service import service_methods
from api.proto.health import health_pb2
from api.proto.leavitt import node_pb2, relay_pb2
from api.proto.observer import observer_pb2
from api.version import WIRE_VERSION
from relay.errors import RelayError
from relay.observer_service import ObserverService, stream_methods
from relay.report_service import ReportService
from relay.status_service import StatusService

if TYPE_CHECKING:
    from api.lane.call import Method
    from api.lane.health import Health
    from api.lane.tls import TlsSource
    from relay.session import Surroundings

logger = logging.getLogger(__name__)


_OBSERVER: Final = observer_pb2.DESCRIPTOR.services_by_name["Observer"]
_RELAY: Final = relay_pb2.DESCRIPTOR.services_by_name["Relay"]
_NODE: Final = node_pb2.DESCRIPTOR.services_by_name["Node"]
_HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"]
SERVICES: Final = (_OBSERVER, _RELAY, _NODE, _HEALTH)
"""What the main address serves, reflection apart."""


def main_methods(around: Surroundings, health: Health) -> dict[str, Method]:
    """Return all methods of the main address."""
    return (
        service_methods(_OBSERVER, ObserverService(around.pool))
        | stream_methods(around)
        | service_methods(_RELAY, StatusService(around.pool, around.discovery, around.wall_ns))
        | service_methods(_NODE, ReportService(around.pool, node_name=around.node_name))
        | service_methods(_HEALTH, health)
        | reflection_methods(SERVICES)
    )


def health_methods(health: Health) -> dict[str, Method]:
    """Return the methods of the address for probes."""
    return service_methods(_HEALTH, health) | reflection_methods((_HEALTH,))


async def listen(methods: dict[str, Method], address: str, *, tls: TlsSource | None) -> Server:
    """Serve methods on an address.

    Raises:
        RelayError: the address cannot be used.
    """
    server = Server(methods, initial_metadata=(("hubble-relay-version", WIRE_VERSION),))
    try:
        bound = await server.listen(address, ssl=tls)
    except OSError as error:
        await server.stop(0)
        raise RelayError(error.strerror or str(error)) from error
    logger.info("listening address=%s tls=%s", bound, "off" if tls is None else "on")
    return server
