"""The filter flags: one row says name, help, fields of FlowFilter and how the text is read.

A filter flag fills two FlowFilters that the server ORs: the left one and the right one. A flag
about both ends (`--pod`) writes the source field into the left and the destination field into
the right; a flag about one end (`--from-pod`) and a flag about neither (`--verdict`) write one
field into both.

    --pod x --verdict DROPPED   =>   left   source_pod=x,      verdict=DROPPED
                                     right  destination_pod=x, verdict=DROPPED
"""

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import Message

from api.identities import RESERVED_IDENTITIES
from api.proto.flow.flow_pb2 import DropReason, Verdict
from cli.filters import values
from cli.flags.table import Flag, FlagSet
from cli.names import EVENT_TYPES

FieldValue = str | int | bool | Message
Read = Callable[[str], FieldValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRow:
    """One filter flag."""

    flag: Flag
    left: str = ""
    """Field of the left filter, a dotted path."""
    right: str = ""
    """Field of the right filter."""
    read: Read = str
    """Text to the value that is appended to the field."""
    namespace_of: str = ""
    """For namespace flags: `from`, `to` or `either` end; they complete pods and services."""


def _flag(
    name: str,
    help_text: str,
    short: str = "",
    bare: str | None = None,
    choices: tuple[str, ...] = (),
) -> Flag:
    return Flag(name=name, kind="filter", help=help_text, short=short, bare=bare, choices=choices)


def _either(
    name: str,
    field: str,
    help_text: str,
    *,
    read: Read = str,
    short: str = "",
    choices: tuple[str, ...] = (),
) -> tuple[FilterRow, ...]:
    """Rows of a flag about both ends: --NAME, --from-NAME and --to-NAME."""
    source, destination = f"source_{field}", f"destination_{field}"
    return (
        FilterRow(
            flag=_flag(name, f"Flows from or to {help_text}", short, choices=choices),
            left=source,
            right=destination,
            read=read,
        ),
        FilterRow(
            flag=_flag(f"from-{name}", f"Flows from {help_text}", choices=choices),
            left=source,
            right=source,
            read=read,
        ),
        FilterRow(
            flag=_flag(f"to-{name}", f"Flows to {help_text}", choices=choices),
            left=destination,
            right=destination,
            read=read,
        ),
    )


def _one(
    name: str,
    field: str,
    help_text: str,
    *,
    read: Read = str,
    short: str = "",
    bare: str | None = None,
    choices: tuple[str, ...] = (),
) -> tuple[FilterRow, ...]:
    """Row of a flag that is not about an end."""
    return (
        FilterRow(
            flag=_flag(name, help_text, short, bare, choices), left=field, right=field, read=read
        ),
    )


def _namespaces(end: str, prefix: str, about: str) -> tuple[FilterRow, ...]:
    short_name, short_all = ("n", "A") if not prefix else ("", "")
    return (
        FilterRow(
            flag=_flag(f"{prefix}namespace", f"Flows {about} the namespace", short_name),
            namespace_of=end,
        ),
        FilterRow(
            flag=_flag(
                f"{prefix}all-namespaces", f"Flows {about} any namespace", short_all, "true"
            ),
            read=_any_namespace,
            namespace_of=end,
        ),
    )


def _any_namespace(_: str) -> str:
    return ""


_PROTOCOLS = (
    *("tcp", "udp", "sctp", "icmp", "icmpv4", "icmpv6", "igmp", "vrrp"),
    *("dns", "http", "kafka"),
)

_TYPES_HELP = """Flows of this event type, TYPE[:SUBTYPE]:
  capture, drop, l7, policy-verdict, trace-sock
  trace, alone or with one of
    from-endpoint  from-host  from-network  from-overlay  from-proxy  from-stack  from-crypto
    to-endpoint    to-host    to-network    to-overlay    to-proxy    to-stack    to-crypto
  or numbers"""

ROWS: tuple[FilterRow, ...] = (
    *_either("pod", "pod", "pods whose name begins so, [namespace/]name ('default/' if none)"),
    *_namespaces("either", "", "from or to"),
    *_namespaces("from", "from-", "from"),
    *_namespaces("to", "to-", "to"),
    *_either("label", "label", "endpoints that this label selector finds, e.g. 'a=b'", short="l"),
    *_either("ip", "ip", "this IP address or network, e.g. '10.0.0.0/24'"),
    *_either("port", "port", "this port"),
    *_either(
        "service", "service", "services whose name begins so, [namespace/]name ('default/' if none)"
    ),
    *_either("workload", "workload", "this workload, [Kind/]name", read=values.workload),
    *_either(
        "identity",
        "identity",
        "this security identity, name or number",
        read=values.identity,
        choices=tuple(name for number, name in RESERVED_IDENTITIES.items() if number),
    ),
    *_either("fqdn", "fqdn", "this domain name, e.g. '*.cilium.io'"),
    *_either("cluster", "cluster_name", "endpoints of this cluster"),
    *_one(
        "verdict",
        "verdict",
        "Flows with this verdict, e.g. DROPPED",
        read=values.verdict,
        choices=tuple(Verdict.keys())[1:],
    ),
    *_one(
        "protocol", "protocol", "Flows of this protocol, e.g. 'udp' or 'http'", choices=_PROTOCOLS
    ),
    *_one(
        "type",
        "event_type",
        _TYPES_HELP,
        read=values.event_type,
        short="t",
        choices=tuple(EVENT_TYPES),
    ),
    *_one(
        "drop-reason-desc",
        "drop_reason_desc",
        "Flows dropped for this reason, e.g. POLICY_DENIED",
        read=values.drop_reason,
        choices=tuple(DropReason.keys())[1:],
    ),
    *_one(
        "traffic-direction",
        "traffic_direction",
        "Flows in this direction, ingress or egress",
        read=values.traffic_direction,
        choices=("ingress", "egress"),
    ),
    *_one(
        "tcp-flags",
        "tcp_flags",
        "Flows with all of these TCP flags set, e.g. 'syn,ack'",
        read=values.tcp_flags,
        choices=("syn", "fin", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"),
    ),
    *_one("ipv4", "ip_version", "Flows over IPv4", read=values.ip_version_4, short="4", bare="v4"),
    *_one("ipv6", "ip_version", "Flows over IPv6", read=values.ip_version_6, short="6", bare="v6"),
    *_one(
        "ip-version",
        "ip_version",
        "Flows over this version: v4, v6 or none",
        read=values.ip_version,
        choices=("v4", "v6", "none"),
    ),
    *_one("encrypted", "encrypted", "Flows that are encrypted", read=values.yes, bare="true"),
    *_one("unencrypted", "encrypted", "Flows that are not encrypted", read=values.no, bare="true"),
    *_one("snat-ip", "source_ip_xlated", "Flows whose source was translated to this address"),
    *_one("interface", "interface", "Flows seen on this interface", read=values.interface),
    *_one("http-status", "http_status_code", "Flows with this HTTP status, e.g. '404' or '5+'"),
    *_one("http-method", "http_method", "Flows with this HTTP method"),
    *_one("http-path", "http_path", "Flows whose HTTP path matches this regular expression"),
    *_one("http-url", "http_url", "Flows whose URL matches this regular expression"),
    *_one(
        "http-header",
        "http_header",
        "Flows with this HTTP header, name:value",
        read=values.http_header,
    ),
    *_one("trace-id", "trace_id", "Flows of this trace"),
    *_one("ip-trace-id", "ip_trace_id", "Flows with this IP trace id", read=values.ip_trace_id),
    *_one("node-name", "node_name", "Flows seen on nodes of this name, e.g. 'k8s*'"),
    *_one("node-label", "node_labels", "Flows seen on nodes that this label selector finds"),
    *_one("uuid", "uuid", "The one flow with this identifier"),
    *_one(
        "cel-expression",
        "experimental.cel_expression",
        "Flows for which this CEL expression is true",
    ),
)

NOT = _flag("not", "Leave out what the next filter finds, e.g. '--not --ip 10.0.0.1'", "", "true")

FILTERS = FlagSet(title="Filters", flags=(NOT, *(row.flag for row in ROWS)))

# Of each group only one flag may be set: more would contradict or hide each other.
EXCLUSIVE: tuple[tuple[str, ...], ...] = (
    *(
        (f"{end}-fqdn", f"{end}-ip", "ip", "fqdn", *rest)
        for end in ("from", "to")
        for rest in (
            (f"{end}-namespace", "namespace", f"{end}-all-namespaces", "all-namespaces"),
            (f"{end}-pod", "pod"),
        )
    ),
    ("to-pod", "namespace", "all-namespaces"),
    ("from-pod", "namespace", "all-namespaces"),
    ("to-service", "namespace", "all-namespaces"),
    ("from-service", "namespace", "all-namespaces"),
    *(
        (name, f"{end}-{name}")
        for name, ends in (
            ("label", ("from", "to")),
            ("service", ("from", "to")),
            ("port", ("to", "from")),
            ("identity", ("to", "from")),
            ("workload", ("to", "from")),
        )
        for end in ends
    ),
    ("encrypted", "unencrypted"),
)
