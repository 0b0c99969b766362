"""Pieces of the text of a flow: hosts, identities, type, verdict, summary.

compact, dict and table put them together, each its own way. What repeats (identities, types,
verdicts) is kept by number, so that a flow costs a few look-ups.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from api.proto.flow import flow_pb2
from api.proto.flow.flow_pb2 import Endpoint, Flow, Policy, Service, Verdict
from cli import names
from cli.drop_reasons import DROP_REASONS
from cli.printers.color import Palette

_VERDICT_NAMES = {value: name for name, value in flow_pb2.Verdict.items()}
_DIRECTION_NAMES = {value: name for name, value in flow_pb2.TrafficDirection.items()}
_CAPTURE_NAMES = {value: name for name, value in flow_pb2.DebugCapturePoint.items()}
_SOCKET_POINT_NAMES = {value: name for name, value in flow_pb2.SocketTranslationPoint.items()}
_AUTH_NAMES = {value: name for name, value in flow_pb2.AuthType.items()}
_L7_TYPE_NAMES = {value: name for name, value in flow_pb2.L7FlowType.items()}
_ALLOWED = "ALLOWED"
_DENIED = "DENIED"
_JUDGED: Mapping[int, str] = {
    flow_pb2.FORWARDED: _ALLOWED,
    flow_pb2.REDIRECTED: _ALLOWED,
    flow_pb2.DROPPED: _DENIED,
    flow_pb2.ERROR: _DENIED,
    flow_pb2.AUDIT: "AUDITED",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """What the pieces show."""

    translate: bool = True
    """Show names of pods, services and domains in place of addresses."""
    numeric: bool = False
    """Show addresses and numbers only."""
    policy_names: bool = False
    """Name the policies behind verdicts."""
    node_name: bool = False
    """Show the node that saw the flow."""
    time_format: str = "StampMilli"
    """Name of the time format."""


class FlowText:
    """Makes the pieces for one palette and one set of options."""

    def __init__(self, options: TextOptions, palette: Palette) -> None:
        """Start with nothing kept."""
        self._palette = palette
        self._names = options.translate and not options.numeric
        self._numeric = options.numeric
        self._policy_names = options.policy_names
        self._identities: dict[int, str] = {}
        self._types: dict[tuple[int, int, int, int], str] = {}
        self._verdicts: dict[tuple[bool, int], str] = {}

    def hosts(self, flow: Flow) -> tuple[str, str]:
        """Write source and destination: a name or address, and the port."""
        ip = flow.IP
        source, destination = ip.source, ip.destination
        host = self._palette.host
        if not source and not destination and not flow.HasField("IP"):
            if not flow.HasField("ethernet"):
                return "", ""
            return host(flow.ethernet.source), host(flow.ethernet.destination)
        if self._names:
            source = _name(source, flow.source, _service(flow, "source_service"), flow.source_names)
            destination = _name(
                destination,
                flow.destination,
                _service(flow, "destination_service"),
                flow.destination_names,
            )
        source_port, destination_port = _ports(flow)
        return (
            host(self._with_port(source, source_port)),
            host(self._with_port(destination, destination_port)),
        )

    def identity(self, endpoint: Endpoint) -> str:
        """Write the security identity of an end, in parentheses."""
        number = endpoint.identity
        text = self._identities.get(number)
        if text is None:
            name = None if self._numeric else names.RESERVED_IDENTITIES.get(number)
            text = self._palette.identity(f"({name or f'ID:{number}'})")
            self._identities[number] = text
        return text

    def type(self, flow: Flow) -> str:
        """Write what kind of event it was, and its point or reason."""
        event = flow.event_type
        number = event.type
        if number == names.EVENT_L7 or flow.HasField("l7"):
            return _l7_type(flow)
        key = (number, event.sub_type, flow.policy_match_type, flow.traffic_direction)
        text = self._types.get(key)
        if text is None or number in (names.EVENT_CAPTURE, names.EVENT_TRACE_SOCK):
            text = self._types[key] = _type(flow)
        return text

    def verdict(self, flow: Flow) -> str:
        """Write the verdict; of policy verdicts, what the policy said, and with names, which."""
        judged = flow.event_type.type == names.EVENT_POLICY_VERDICT
        key = judged, flow.verdict
        text = self._verdicts.get(key)
        if text is None:
            text = self._verdicts[key] = self._verdict(flow.verdict, judged)
        if judged and self._policy_names:
            text += _policies(flow)
        return text

    def summary(self, flow: Flow) -> str:
        """Write the summary, with trace id before and authentication behind it."""
        text = flow.Summary
        if flow.HasField("ip_trace_id") and flow.ip_trace_id.trace_id:
            text = f"IP Trace ID: {flow.ip_trace_id.trace_id}; {text}"
        auth = flow.auth_type
        if auth != flow_pb2.DISABLED:
            paint = self._palette.bad if auth == flow_pb2.TEST_ALWAYS_FAIL else self._palette.good
            text = f"{text}; Auth: {paint(_AUTH_NAMES.get(auth, str(auth)))}"
        return text

    def _with_port(self, host: str, port: int) -> str:
        if not port:
            return host
        if ":" in host:
            host = f"[{host}]"
        return f"{host}:{self._palette.port(str(port))}"

    def _verdict(self, verdict: int, judged: bool) -> str:
        name = _VERDICT_NAMES.get(Verdict.ValueType(verdict), str(verdict))
        text = _JUDGED.get(verdict, name) if judged else name
        match verdict:
            case flow_pb2.FORWARDED | flow_pb2.REDIRECTED:
                return self._palette.good(text)
            case flow_pb2.DROPPED | flow_pb2.ERROR:
                return self._palette.bad(text)
            case flow_pb2.AUDIT | flow_pb2.TRACED | flow_pb2.TRANSLATED:
                return self._palette.notable(text)
            case _:
                return text


def _service(flow: Flow, field: str) -> Service | None:
    return getattr(flow, field) if flow.HasField(field) else None


def _name(address: str, endpoint: Endpoint, service: Service | None, domains: Iterable[str]) -> str:
    """Best name of an end: pod, else service, else domain names, else the address."""
    # With a service its namespace counts, for the pod as well.
    pod = endpoint.pod_name
    if service is not None:
        name, namespace = pod or service.name, service.namespace
    else:
        name, namespace = pod, endpoint.namespace if pod else ""
    if name:
        return f"{namespace}/{name}" if namespace else name
    return ",".join(domains) or address


def _ports(flow: Flow) -> tuple[int, int]:
    l4 = flow.l4
    match l4.WhichOneof("protocol"):
        case "TCP":
            return l4.TCP.source_port, l4.TCP.destination_port
        case "UDP":
            return l4.UDP.source_port, l4.UDP.destination_port
        case "SCTP":
            return l4.SCTP.source_port, l4.SCTP.destination_port
        case _:
            return 0, 0


def _type(flow: Flow) -> str:
    sub_type = flow.event_type.sub_type
    match flow.event_type.type:
        case names.EVENT_TRACE:
            return names.TRACE_POINTS.get(sub_type & 0xFF, str(sub_type & 0xFF))
        case names.EVENT_DROP:
            code = sub_type & 0xFF
            return DROP_REASONS.get(code, f"{code}, 0")
        case names.EVENT_POLICY_VERDICT:
            matched = names.POLICY_MATCHES.get(flow.policy_match_type, "unknown")
            direction = _DIRECTION_NAMES.get(flow.traffic_direction, str(flow.traffic_direction))
            return f"policy-verdict:{matched} {direction}"
        case names.EVENT_CAPTURE:
            return _CAPTURE_NAMES.get(flow.debug_capture_point, str(flow.debug_capture_point))
        case names.EVENT_TRACE_SOCK:
            point = flow.sock_xlate_point
            return names.SOCKET_POINTS.get(point) or _SOCKET_POINT_NAMES.get(point, str(point))
        case _:
            return "UNKNOWN"


def _l7_type(flow: Flow) -> str:
    l7 = flow.l7
    if not flow.HasField("l7"):
        return "UNKNOWN"
    kind = _L7_TYPE_NAMES.get(l7.type, str(l7.type)).lower()
    match l7.WhichOneof("record"):
        case "http":
            return f"http-{kind}"
        case "kafka":
            return f"kafka-{kind}"
        case "dns":
            return f"dns-{kind} {l7.dns.observation_source}"
        case _:
            return f"l7-{kind}"


def _policies(flow: Flow) -> str:
    """Name the policies of the flow's direction: ` BY name (Kind), name2 (Kind2)`."""
    ingress = flow.traffic_direction == flow_pb2.INGRESS
    egress = flow.traffic_direction == flow_pb2.EGRESS
    policies: Iterable[Policy] = ()
    match _JUDGED.get(flow.verdict):
        case "ALLOWED" if ingress:
            policies = flow.ingress_allowed_by
        case "ALLOWED" if egress:
            policies = flow.egress_allowed_by
        case "DENIED" if ingress:
            policies = flow.ingress_denied_by
        case "DENIED" if egress:
            policies = flow.egress_denied_by
    known = [f"{policy.name} ({policy.kind})" for policy in policies if policy.name and policy.kind]
    return f" BY {', '.join(known)}" if known else ""
