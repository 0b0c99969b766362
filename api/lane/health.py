"""The health service, grpc.health.v1.Health: is a service of this process ready?

Check answers for the names that were set, and for ``""``, the process as a whole, which serves
from the start. Watch tells the state now and each change, also for a name that is not set yet.
Probes ask by name: Hubble's clients use ``hubble.server.Observer``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.lane.status import Code, RpcError
from api.lane.stream import Wakeup
from api.lane.wire import Framed, frame
from api.proto.health.health_pb2 import HealthCheckRequest, HealthCheckResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from api.lane.call import Call


class Health:
    """Implements the service; give it to ``service_methods`` with health_pb2's descriptor."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {"": True}
        self._watchers: set[Wakeup] = set()

    def set(self, service: str, serving: bool) -> None:
        """Say whether a service is ready; the first time also makes its name known."""
        self._serving[service] = serving
        for watcher in self._watchers:
            watcher.notify()

    async def check(self, _call: Call, request: HealthCheckRequest) -> HealthCheckResponse:
        """Return the status of a service; NOT_FOUND for a name never set."""
        if request.service not in self._serving:
            raise RpcError(Code.NOT_FOUND, "unknown service")
        return self._status(request.service)

    async def watch(self, _call: Call, request: HealthCheckRequest) -> AsyncGenerator[Framed, None]:
        """Yield the status of a service, then each other one, until the caller hangs up.

        A name never set is SERVICE_UNKNOWN. Who reads slowly misses what changed back meanwhile.
        """
        wakeup = Wakeup()
        self._watchers.add(wakeup)
        told: HealthCheckResponse | None = None
        try:
            while True:
                status = self._status(request.service)
                if status != told:
                    told = status
                    yield Framed(frame(status.SerializeToString()), 1)
                else:
                    await wakeup.wait()
        finally:
            self._watchers.discard(wakeup)

    def _status(self, service: str) -> HealthCheckResponse:
        match self._serving.get(service):
            case None:
                return HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
            case True:
                return HealthCheckResponse(status=HealthCheckResponse.SERVING)
            case False:
                return HealthCheckResponse(status=HealthCheckResponse.NOT_SERVING)
