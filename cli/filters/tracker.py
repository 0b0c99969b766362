"""From filter flags, in the order typed, to the allow and deny lists of a request.

`FilterFlags.take` gets one flag after the other, and checks after each that what is there makes
sense: so an error names the flag that brought it. Rows are in `rows.py`.
"""

from dataclasses import dataclass, field

from api.proto.flow.flow_pb2 import FlowFilter
from cli.errors import UsageError
from cli.filters.rows import EXCLUSIVE, NOT, ROWS, FieldValue, FilterRow

_ROWS = {row.flag.name: row for row in ROWS}


@dataclass(slots=True)
class _Tracker:
    """One list in the making: two filters, ORed, and the namespaces that complete them."""

    left: FlowFilter = field(default_factory=FlowFilter)
    right: FlowFilter = field(default_factory=FlowFilter)
    namespaces: dict[str, list[str]] = field(
        default_factory=lambda: {"from": [], "to": [], "either": []}
    )
    typed: set[str] = field(default_factory=set)

    def take(self, row: FilterRow, value: FieldValue) -> None:
        self.typed.add(row.flag.name)
        for group in EXCLUSIVE:
            both = [name for name in group if name in self.typed]
            if len(both) > 1:
                raise ValueError(f"filters --{both[0]} and --{both[1]} cannot be combined")
        if row.namespace_of:
            self.namespaces[row.namespace_of].append(str(value))
        else:
            _append(self.left, row.left, value)
            _append(self.right, row.right, value)

    def filters(self) -> list[FlowFilter]:
        """Build the list; raises ValueError when a namespace contradicts a pod or service."""
        if not self.typed:
            return []
        spaces = self.namespaces
        left = _completed(self.left, [*spaces["from"], *spaces["either"]], spaces["to"])
        right = _completed(self.right, spaces["from"], [*spaces["to"], *spaces["either"]])
        return [left] if left == right else [left, right]


class FilterFlags:
    """Collect filter flags; `--not` turns the next one round."""

    def __init__(self) -> None:
        self._allow = _Tracker()
        self._deny = _Tracker()
        self._not = False

    def take(self, name: str, text: str) -> None:
        """Add a flag; raises ValueError if it is wrong by itself or beside the earlier ones."""
        if name == NOT.name:
            if self._not:
                raise ValueError("consecutive --not statements")
            self._not = True
            return
        row = _ROWS[name]
        tracker = self._deny if self._not else self._allow
        self._not = False
        tracker.take(row, row.read(text))
        tracker.filters()

    def finish(self) -> tuple[list[FlowFilter], list[FlowFilter]]:
        """Hand out the allow and the deny list; raises UsageError for a --not without filter."""
        if self._not:
            raise UsageError("trailing --not found in the arguments")
        return self._allow.filters(), self._deny.filters()


def _append(flow_filter: FlowFilter, path: str, value: FieldValue) -> None:
    *parents, name = path.split(".")
    target: object = flow_filter
    for parent in parents:
        target = getattr(target, parent)
    getattr(target, name).append(value)


def _completed(flow_filter: FlowFilter, source: list[str], destination: list[str]) -> FlowFilter:
    completed = FlowFilter()
    completed.CopyFrom(flow_filter)
    _complete_side(completed, "source", source)
    _complete_side(completed, "destination", destination)
    return completed


def _complete_side(flow_filter: FlowFilter, side: str, namespaces: list[str]) -> None:
    """Put namespaces before the names of one side, or ask for any pod in them."""
    pods = getattr(flow_filter, f"{side}_pod")
    services = getattr(flow_filter, f"{side}_service")
    _check_services(pods, services)
    if not namespaces:
        return
    for names in (pods, services):
        _check_namespaces(names, namespaces)
    if not pods and not services:
        pods.append("")
    pods[:] = _prefixed(pods, namespaces)
    services[:] = _prefixed(services, namespaces)


def _prefixed(names: list[str], namespaces: list[str]) -> list[str]:
    return [
        text
        for name in names
        for text in ([name] if "/" in name else [f"{space}/{name}" for space in namespaces])
    ]


def _check_namespaces(names: list[str], namespaces: list[str]) -> None:
    for name in names:
        own, slash, _ = name.partition("/")
        for space in namespaces:
            if slash and own and own != space:
                raise ValueError(f'namespace conflict: "{space}" does not contain "{name}"')


def _check_services(pods: list[str], services: list[str]) -> None:
    """Refuse a service outside the namespaces of the pods: no flow could match both."""
    for service in services:
        service_space, slash, _ = service.partition("/")
        for pod in pods:
            space, pod_slash, _ = pod.partition("/")
            if pod_slash and space and space != (service_space if slash else ""):
                raise ValueError(f'namespace of service "{service}" conflict with pod "{space}"')
