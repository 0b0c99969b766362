"""Pieces of the text of a flow: hosts, identities, type, verdict, summary.

compact, dict and table put them together, each its own way. What repeats (identities, types,
verdicts) is kept by number, so that a flow costs a few look-ups.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from api.identities import RESERVED_IDENTITIES
from api.proto.flow import flow_pb2
from api.proto.flow.flow_pb2 import Endpoint, Flow, Layer4, Layer7, Policy, Service
from cli import names
from cli.drop_reasons import DROP_REASONS
from cli.printers.color import Palette

_VERDICT_NAMES: Mapping[int, str] = {value: name for name, value in flow_pb2.Verdict.items()}
_DIRECTION_NAMES = {value: name for name, value in flow_pb2.TrafficDirection.items()}
_CAPTURE_NAMES = {value: name for name, value in flow_pb2.DebugCapturePoint.items()}
_SOCKET_POINT_NAMES = {value: name for name, value in flow_pb2.SocketTranslationPoint.items()}
_AUTH_NAMES = {value: name for name, value in flow_pb2.AuthType.items()}
_L7_TYPE_NAMES = {value: name for name, value in flow_pb2.L7FlowType.items()}
_KEPT = 8192
# Of these events the numbers beside the type tell all that the texts show.
_TOLD_BY_KEY = frozenset({names.EVENT_TRACE, names.EVENT_DROP})
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
    """Show addresses in place of names."""
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
        self._colored = palette.colored
        self._names = options.translate and not options.numeric
        self._policy_names = options.policy_names
        self._identities: dict[int, str] = {}
        self._judgements: dict[tuple[int, int, int, int, int], tuple[str, str]] = {}

    def hosts(self, flow: Flow, source: Endpoint, destination: Endpoint) -> tuple[str, str]:
        """Write both ends: a name or address, and the port."""
        if not flow.HasField("IP"):
            return self._hardware(flow)
        left, right = self.names(flow, source, destination)
        left_port, right_port = ports_of(flow.l4)
        return (
            self.end(left or flow.IP.source, left_port),
            self.end(right or flow.IP.destination, right_port),
        )

    def names(self, flow: Flow, source: Endpoint, destination: Endpoint) -> tuple[str, str]:
        """Name both ends by pods, services or domains; empty without a name, or if not wanted."""
        if not self._names:
            return "", ""
        service = flow.source_service if flow.HasField("source_service") else None
        left = _name(source, service) or ",".join(flow.source_names)
        service = flow.destination_service if flow.HasField("destination_service") else None
        right = _name(destination, service) or ",".join(flow.destination_names)
        return left, right

    def end(self, host: str, port: int) -> str:
        """Write an end with its port, if it has one."""
        if self._colored:
            return self._painted(host, port)
        if not port:
            return host
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def identity(self, endpoint: Endpoint) -> str:
        """Write the security identity of an end, in parentheses."""
        number = endpoint.identity
        text = self._identities.get(number)
        if text is None:
            name = RESERVED_IDENTITIES.get(number)
            text = self._palette.identity(f"({name or f'ID:{number}'})")
            if len(self._identities) < _KEPT:
                self._identities[number] = text
        return text

    def judgement(self, flow: Flow) -> tuple[str, str]:
        """Write what kind of event it was, with its point or reason, and the verdict."""
        event = flow.event_type
        kind, verdict = event.type, flow.verdict
        key = kind, event.sub_type, flow.policy_match_type, flow.traffic_direction, verdict
        texts = self._judgements.get(key)
        if texts is None:
            texts = _type(flow), self._verdict(flow)
            if self._told_by_key(kind) and len(self._judgements) < _KEPT:
                self._judgements[key] = texts
        return texts

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

    def _hardware(self, flow: Flow) -> tuple[str, str]:
        if not flow.HasField("ethernet"):
            return "", ""
        paint = self._palette.host
        return paint(flow.ethernet.source), paint(flow.ethernet.destination)

    def _painted(self, host: str, port: int) -> str:
        if port:
            number = self._palette.port(str(port))
            host = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
        return self._palette.host(host)

    def _told_by_key(self, kind: int) -> bool:
        return kind in _TOLD_BY_KEY or (
            kind == names.EVENT_POLICY_VERDICT and not self._policy_names
        )

    def _verdict(self, flow: Flow) -> str:
        verdict = flow.verdict
        text = _VERDICT_NAMES.get(verdict, str(verdict))
        if flow.event_type.type == names.EVENT_POLICY_VERDICT:
            text = _JUDGED.get(verdict, text)
            if self._policy_names:
                text += _policies(flow)
        match verdict:
            case flow_pb2.FORWARDED | flow_pb2.REDIRECTED:
                return self._palette.good(text)
            case flow_pb2.DROPPED | flow_pb2.ERROR:
                return self._palette.bad(text)
            case flow_pb2.AUDIT | flow_pb2.TRACED | flow_pb2.TRANSLATED:
                return self._palette.notable(text)
            case _:
                return text


def _name(endpoint: Endpoint, service: Service | None) -> str:
    """Name an end by its pod, else by its service; empty if it has neither."""
    # With a service its namespace counts, for the pod as well.
    name = endpoint.pod_name
    namespace = endpoint.namespace
    if service is not None:
        name, namespace = name or service.name, service.namespace
    return f"{namespace}/{name}" if name and namespace else name


def ports_of(l4: Layer4) -> tuple[int, int]:
    """Read the ports of TCP, UDP or SCTP; zeros for others."""
    # Most flows are TCP: a look at its ports costs less than asking which protocol it is.
    tcp = l4.TCP
    source, destination = tcp.source_port, tcp.destination_port
    if not source and not destination:
        match l4.WhichOneof("protocol"):
            case "UDP":
                return l4.UDP.source_port, l4.UDP.destination_port
            case "SCTP":
                return l4.SCTP.source_port, l4.SCTP.destination_port
            case _:
                return 0, 0
    return source, destination


def _type(flow: Flow) -> str:
    sub_type = flow.event_type.sub_type
    match flow.event_type.type:
        case _ if flow.HasField("l7"):
            return _l7_type(flow.l7)
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


def _l7_type(l7: Layer7) -> str:
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
