"""Debug messages of the datapath, as text: from which endpoint, of what type, what they say."""

from api.proto.flow.flow_pb2 import DebugEvent, DebugEventType, Endpoint
from api.proto.observer.observer_pb2 import GetDebugEventsResponse
from cli.times import MISSING

_TYPE_NAMES = {value: name for name, value in DebugEventType.items()}
_RESERVED = "reserved:"


class DebugText:
    """Writes the pieces of debug events."""

    # Hubble's table has an empty column behind the endpoint: scripts count columns.
    heads = ("FROM", "", "TYPE", "CPU/MARK", "MESSAGE")

    def tail(self, response: GetDebugEventsResponse) -> str:
        """Write what follows time and node in a line."""
        event = response.debug_event
        head = f"{_from(event)} {_type(event)}"
        return f"{head} MARK: {_mark(event)} CPU: {_cpu(event)} ({event.message})"

    def pairs(self, response: GetDebugEventsResponse) -> list[tuple[str, str]]:
        """Write keys and values of a block."""
        event = response.debug_event
        return [
            ("TYPE", _type(event)),
            ("FROM", _from(event)),
            ("MARK", _mark(event)),
            ("CPU", _cpu(event)),
            ("MESSAGE", event.message),
        ]

    def row(self, response: GetDebugEventsResponse) -> list[str]:
        """Write the cells of a table, below the heads."""
        event = response.debug_event
        return [_from(event), "", _type(event), f"{_cpu(event)} {_mark(event)}", event.message]


def _type(event: DebugEvent) -> str:
    return _TYPE_NAMES.get(event.type, str(event.type))


def _from(event: DebugEvent) -> str:
    if not event.HasField("source"):
        return MISSING
    source, name = event.source, _name(event.source)
    return f"{name} (ID: {source.ID})" if name else f"ID: {source.ID}"


def _name(source: Endpoint) -> str:
    """Name an endpoint by its pod, or by the one reserved label; empty for neither."""
    if source.namespace and source.pod_name:
        return f"{source.namespace}/{source.pod_name}"
    if len(source.labels) == 1 and source.labels[0].startswith(_RESERVED):
        return source.labels[0]
    return ""


def _mark(event: DebugEvent) -> str:
    return f"{event.hash.value:#x}" if event.HasField("hash") else MISSING


def _cpu(event: DebugEvent) -> str:
    return f"{event.cpu.value:02}" if event.HasField("cpu") else MISSING
