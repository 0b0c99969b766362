"""What happened to the agent, as text: started, policies, endpoints, addresses, services."""

from collections.abc import Iterable

from api.proto.flow.flow_pb2 import (
    AgentEvent,
    AgentEventType,
    AgentEventUnknown,
    EndpointRegenNotification,
    EndpointUpdateNotification,
    IPCacheNotification,
    PolicyUpdateNotification,
    ServiceUpsertNotification,
    ServiceUpsertNotificationAddr,
    TimeNotification,
)
from api.proto.observer.observer_pb2 import GetAgentEventsResponse
from cli.times import MISSING, TimeText

_TYPE_NAMES = {value: name for name, value in AgentEventType.items()}
_NOT_TOLD = "UNKNOWN"

Pairs = Iterable[tuple[str, object]]


class AgentText:
    """Writes the pieces of agent events."""

    heads = ("TYPE", "DETAILS")

    def __init__(self, time: TimeText) -> None:
        """Take the time format."""
        self._time = time

    def tail(self, response: GetAgentEventsResponse) -> str:
        """Write what follows time and node in a line."""
        kind, details = self.row(response)
        return f"{kind} ({details})"

    def pairs(self, response: GetAgentEventsResponse) -> list[tuple[str, str]]:
        """Write keys and values of a block."""
        return list(zip(self.heads, self.row(response), strict=True))

    def row(self, response: GetAgentEventsResponse) -> list[str]:
        """Write the cells of a table, below the heads."""
        event = response.agent_event
        return [_TYPE_NAMES.get(event.type, str(event.type)), self._details(event)]

    def _details(self, event: AgentEvent) -> str:
        match event.WhichOneof("notification"):
            case "agent_start":
                return f"start time: {self._start(event.agent_start)}"
            case "unknown":
                return _joined(_unknown(event.unknown))
            case "policy_update":
                return _joined(_policy(event.policy_update))
            case "endpoint_regenerate":
                return _joined(_regeneration(event.endpoint_regenerate))
            case "endpoint_update":
                return _joined(_endpoint(event.endpoint_update))
            case "ipcache_update":
                return _joined(_address(event.ipcache_update))
            case "service_upsert":
                return _joined(_service(event.service_upsert))
            case "service_delete":
                return f"id: {event.service_delete.id}"
            case _:  # nothing, or a kind of a later API
                return _NOT_TOLD

    def _start(self, event: TimeNotification) -> str:
        if not event.HasField("time"):
            return MISSING
        return self._time(event.time.seconds, event.time.nanos)


def _joined(pairs: Pairs) -> str:
    return ", ".join(f"{name}: {value}" for name, value in pairs)


def _known(*pairs: tuple[str, object]) -> Pairs:
    """Leave out what is empty."""
    return [(name, value) for name, value in pairs if value]


def _unknown(event: AgentEventUnknown) -> Pairs:
    return (("type", event.type), ("notification", event.notification))


def _policy(event: PolicyUpdateNotification) -> Pairs:
    labels = ("labels", f"[{','.join(event.labels)}]")
    return (labels, ("revision", event.revision), ("count", event.rule_count))


def _regeneration(event: EndpointRegenNotification) -> Pairs:
    labels = ("labels", f"[{','.join(event.labels)}]")
    return (("id", event.id), labels, *_known(("error", event.error)))


def _endpoint(event: EndpointUpdateNotification) -> Pairs:
    names = _known(("namespace", event.namespace), ("pod name", event.pod_name))
    return (("id", event.id), *names)


def _address(event: IPCacheNotification) -> Pairs:
    was = [("old identity", event.old_identity.value)] if event.HasField("old_identity") else []
    hosts = _known(("host ip", event.host_ip), ("old host ip", event.old_host_ip))
    key = ("encrypt key", event.encrypt_key)
    return (("cidr", event.cidr), ("identity", event.identity), *was, *hosts, key)


def _service(event: ServiceUpsertNotification) -> Pairs:
    front = event.HasField("frontend_address")
    backends = ",".join(map(_host_port, event.backend_addresses))
    return (
        ("id", event.id),
        *_known(
            ("frontend", _host_port(event.frontend_address) if front else ""),
            ("backends", f"[{backends}]" if backends else ""),
            ("type", event.type),
            ("traffic policy", event.traffic_policy),
            ("namespace", event.namespace),
            ("name", event.name),
        ),
    )


def _host_port(address: ServiceUpsertNotificationAddr) -> str:
    return f"[{address.ip}]:{address.port}" if ":" in address.ip else f"{address.ip}:{address.port}"
