"""The health service, grpc.health.v1.Health: is a service of this process ready?

Check answers for the names that were set, and for ``""``, the process as a whole, which serves
from the start. Probes ask by name: Hubble's clients use ``hubble.server.Observer``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.lane.status import Code, RpcError
from api.proto.health.health_pb2 import HealthCheckRequest, HealthCheckResponse

if TYPE_CHECKING:
    from api.lane.call import Call


class Health:
    """Implements the service; give it to ``service_methods`` with health_pb2's descriptor."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {"": True}

    def set(self, service: str, serving: bool) -> None:
        """Say whether a service is ready; the first time also makes its name known."""
        self._serving[service] = serving

    async def check(self, _call: Call, request: HealthCheckRequest) -> HealthCheckResponse:
        """Return the status of a service; NOT_FOUND for a name never set."""
        serving = self._serving.get(request.service)
        if serving is None:
            raise RpcError(Code.NOT_FOUND, "unknown service")
        if serving:
            return HealthCheckResponse(status=HealthCheckResponse.SERVING)
        return HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
