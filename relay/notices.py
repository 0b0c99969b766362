"""What the relay says in a stream of flows about the nodes: connected, unavailable, gone, in error.

Several nodes that fail for the same reason within `GATHER_S` are told together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.lane.wire import Framed, frame
from api.proto.observer.observer_pb2 import GetFlowsResponse
from api.proto.relay.relay_pb2 import NodeState, NodeStatusEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GATHER_S: Final = 0.5
_NS_PER_S: Final = 1_000_000_000


class Notices:
    """Notices that wait to be sent in one stream.

    Args:
        node_name: Of the relay itself.
        clock_s: Tells how long a notice has waited.
        wall_ns: Time of the notices.
    """

    def __init__(
        self, *, node_name: str, clock_s: Callable[[], float], wall_ns: Callable[[], int]
    ) -> None:
        self._node_name = node_name
        self._clock_s = clock_s
        self._wall_ns = wall_ns
        self._ready: list[bytes] = []
        self._failed: list[str] = []
        self._reason = ""
        self._due_s = 0.0

    def say(self, state: NodeState, names: Iterable[str], message: str = "") -> None:
        """Add a notice about nodes; about none it says nothing."""
        names = list(names)
        if names:
            # a node's failure is told before its return
            self._flush()
            self._ready.append(self._written(state, names, message))

    def failed(self, name: str, reason: str) -> None:
        """Say that a node failed, soon, together with others that fail alike."""
        if reason != self._reason:
            self._flush()
        if not self._failed:
            self._reason = reason
            self._due_s = self._clock_s() + GATHER_S
        self._failed.append(name)

    def due_s(self) -> float | None:
        """Return when `take` has something, by the clock; None: nothing waits."""
        if self._ready:
            return self._clock_s()
        return self._due_s if self._failed else None

    def take(self, *, at_once: bool = False) -> Framed | None:
        """Return what is to be sent now; with `at_once` also what waits for others like it."""
        if at_once or self._clock_s() >= self._due_s:
            self._flush()
        if not self._ready:
            return None
        ready, self._ready = self._ready, []
        return Framed(b"".join(ready), len(ready))

    def _flush(self) -> None:
        names, self._failed = self._failed, []
        if names:
            self._ready.append(self._written(NodeState.NODE_ERROR, names, self._reason))

    def _written(self, state: NodeState, names: list[str], message: str) -> bytes:
        response: Any = GetFlowsResponse(
            node_status=NodeStatusEvent(state_change=state, node_names=names, message=message),
            node_name=self._node_name,
        )
        response.time.seconds, response.time.nanos = divmod(self._wall_ns(), _NS_PER_S)
        return frame(response.SerializeToString())
