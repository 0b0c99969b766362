"""Messages as columns of the flow table, for the conditions of `observer.filters`.

Columns are made when a condition first asks for them (those of endpoints at once): most filters
look at two or three. What a column cannot hold as it stands on the wire (texts of addresses, L7
records) is judged on the messages themselves, see `conditions.py`. Numbers are as wide as the
messages have them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike

from api.proto.flow.flow_pb2 import Endpoint as EndpointMessage
from api.proto.flow.flow_pb2 import Flow
from api.proto.observer.observer_pb2 import GetFlowsResponse
from observer.entities import Endpoint, Interface, Service, Workload
from observer.table.columns import L4Kind
from observer.table.interns import Interns
from observer.table.ring import FlowTable
from observer.table.rows import Column

_KEPT: Final = 4_096
_ENDPOINTS: Final = ("source_ref", "destination_ref")
_UNKNOWN_REPLY: Final = -1
_WITH_PORTS: Final = {"TCP": L4Kind.TCP, "UDP": L4Kind.UDP, "SCTP": L4Kind.SCTP}


class MessageTable(FlowTable):
    """A batch of responses that can be asked for columns; the next batch takes its place.

    Row n stands in slot n. Gaps and states of nodes are rows of an empty flow.
    """

    def __init__(self) -> None:
        super().__init__(capacity=1, interns=Interns(), seed=0)
        self.flows: Sequence[Flow] = ()
        """The messages behind the rows."""
        self._refs = _Refs(self.interns)
        self._lazy = _Columns((), self._refs)

    def load(self, responses: Sequence[GetFlowsResponse]) -> slice:
        """Take the next batch; return its slots."""
        self._lazy.release()
        self.flows = [response.flow for response in responses]
        self.columns = self._lazy = _Columns(self.flows, self._refs)
        # Conditions may look at what is interned before they look at the rows.
        for name in _ENDPOINTS:
            self._lazy[name]
        return slice(0, len(self.flows))


class _Columns(dict[str, Column]):
    """Columns of one batch by name, made when they are looked up."""

    def __init__(self, flows: Sequence[Flow], refs: "_Refs") -> None:
        self._flows = flows
        self._refs = refs

    def __missing__(self, name: str) -> Column:
        if name in _NUMBERS:
            dtype, number = _NUMBERS[name]
            column: Column = np.fromiter(map(number, self._flows), dtype, len(self._flows))
        else:
            refs = map(self._refs.of(name), self._flows)
            column = np.fromiter(refs, np.int32, len(self._flows))
            self._refs.held(name).retain(column)
        self[name] = column
        return column

    def release(self) -> None:
        """Let go of the values that the columns refer to."""
        for name, column in self.items():
            if name not in _NUMBERS:
                self._refs.held(name).release(column)


class _Refs:
    """What a row refers to, as numbers in the intern tables; 0 where the message has nothing."""

    def __init__(self, interns: Interns) -> None:
        self._interns = interns
        self._endpoints: dict[bytes, Endpoint] = {}

    # Tables of several types, asked for one column at a time.
    def held(self, name: str) -> Any:  # noqa: ANN401
        """Find the intern table of a column."""
        interns = self._interns
        return {
            "source_ref": interns.endpoints,
            "destination_ref": interns.endpoints,
            "source_service_ref": interns.services,
            "destination_service_ref": interns.services,
            "source_names_ref": interns.names,
            "destination_names_ref": interns.names,
            "interface_ref": interns.interfaces,
        }[name]

    def of(self, name: str) -> Callable[[Flow], int]:
        """Find the function from a flow to what it refers to."""
        field, intern = name.removesuffix("_ref"), self.held(name).ref
        if name.endswith("_names_ref"):
            return lambda flow: intern(tuple(names)) if (names := getattr(flow, field)) else 0
        value: Callable[[Any], object] = {
            "source_ref": self._endpoint,
            "destination_ref": self._endpoint,
            "interface_ref": _interface,
        }.get(name, _service)
        return lambda flow: intern(value(getattr(flow, field))) if flow.HasField(field) else 0

    def _endpoint(self, message: EndpointMessage) -> Endpoint:
        key = message.SerializeToString(deterministic=True)
        endpoint = self._endpoints.get(key)
        if endpoint is None:
            if len(self._endpoints) >= _KEPT:
                self._endpoints.clear()
            endpoint = self._endpoints[key] = _endpoint(message)
        return endpoint


def _endpoint(message: EndpointMessage) -> Endpoint:
    return Endpoint(
        endpoint_id=message.ID,
        identity=message.identity,
        cluster_name=message.cluster_name,
        namespace=message.namespace,
        labels=tuple(message.labels),
        pod_name=message.pod_name,
        workloads=tuple(Workload(kind=each.kind, name=each.name) for each in message.workloads),
    )


# Any: field messages of two types, read by duck typing as the getters above do.
def _service(message: Any) -> Service:  # noqa: ANN401
    return Service(namespace=message.namespace, name=message.name)


def _interface(message: Any) -> Interface:  # noqa: ANN401
    return Interface(index=message.index, name=message.name)


def _is_reply(flow: Flow) -> int:
    return flow.is_reply.value if flow.HasField("is_reply") else _UNKNOWN_REPLY


def _l4_with_ports(flow: Flow) -> int:
    return _WITH_PORTS.get(flow.l4.WhichOneof("protocol") or "", L4Kind.NONE)


def _port(side: str) -> Callable[[Flow], int]:
    field = f"{side}_port"

    def port(flow: Flow) -> int:
        protocol = flow.l4.WhichOneof("protocol")
        return getattr(getattr(flow.l4, protocol), field) if protocol in _WITH_PORTS else 0

    return port


def _no_kind(_: Flow) -> int:
    return 0


_NUMBERS: Final[dict[str, tuple[DTypeLike, Callable[[Flow], int]]]] = {
    # Never that of a gap: a file's gaps are judged like flows.
    "kind": (np.uint8, _no_kind),
    "verdict": (np.int32, lambda flow: flow.verdict),
    "drop_reason": (np.int32, lambda flow: flow.drop_reason_desc),
    "direction": (np.int32, lambda flow: flow.traffic_direction),
    "is_reply": (np.int8, _is_reply),
    "ip_version": (np.int32, lambda flow: flow.IP.ipVersion),
    "l4_kind": (np.uint8, _l4_with_ports),
    "source_port": (np.uint32, _port("source")),
    "destination_port": (np.uint32, _port("destination")),
    "ip_trace_id": (np.uint64, lambda flow: flow.ip_trace_id.trace_id),
}
