"""The schema of the flow table: which columns a row has, and what their values mean.

Decode fills the columns that come from the packet, enrich those that end in `_ref`; filters and
encoders read them. A `_ref` is an index into the intern table named beside it; 0 means none.
"""

from enum import IntEnum, IntFlag
from typing import Final

import numpy as np
from numpy.typing import DTypeLike


class EventKind(IntEnum):
    """Column `kind`: the monitor message type; LOST is ours and never on the wire."""

    DROP = 1
    DEBUG = 2
    CAPTURE = 3
    TRACE = 4
    POLICY_VERDICT = 5
    TRACE_SOCK = 7
    L7 = 129
    AGENT = 130
    LOST = 255


class L4Kind(IntEnum):
    """Column `l4_kind`: the number of the member in flow.Layer4's oneof, 0 for none."""

    NONE = 0
    TCP = 1
    UDP = 2
    ICMPV4 = 3
    ICMPV6 = 4
    SCTP = 5
    VRRP = 6
    IGMP = 7


class RowFlag(IntFlag):
    """Column `flags`."""

    ETHERNET = 0x01
    """The capture began with an Ethernet header: the MAC columns are set."""
    ENCRYPTED = 0x02
    SWEPT = 0x04
    """Reported by the connection sweep: no packet passed at this moment."""
    DETAIL = 0x08
    """`FlowTable.details` has an object for this row (lost events, tunnels, L7 records)."""
    OBSERVED = 0x10
    """Of an interface that is only observed: the sample tells neither identities nor endpoint."""


Shape = tuple[int, ...]

FLOW_COLUMNS: Final[dict[str, tuple[DTypeLike, Shape]]] = {
    "time_ns": (np.int64, ()),  # since 1970, ascending from row to row
    "kind": (np.uint8, ()),  # EventKind
    "sub_type": (np.uint8, ()),  # raw: drop reason, trace point, lost event source
    "verdict": (np.uint8, ()),  # flow.Verdict
    "drop_reason": (np.uint8, ()),  # flow.DropReason, 0 none
    "direction": (np.uint8, ()),  # flow.TrafficDirection
    "is_reply": (np.int8, ()),  # -1 unknown (absent on the wire), 0, 1
    "match_type": (np.uint8, ()),  # of policy verdicts
    "auth_type": (np.uint8, ()),  # of policy verdicts: flow.AuthType
    "trace_reason": (np.uint8, ()),  # flow.TraceReason
    "flags": (np.uint8, ()),  # RowFlag
    "ip_version": (np.uint8, ()),  # flow.IPVersion
    "l4_kind": (np.uint8, ()),  # L4Kind
    "tcp_flags": (np.uint16, ()),  # bits 0..8: FIN SYN RST PSH ACK URG ECE CWR NS;
    # SCTP: flow.SCTPChunkType of the first chunk, VRRP: priority
    "source_ip": (np.uint64, (2,)),  # 16 network-order bytes; IPv4 as ::ffff:a.b.c.d; 0 none
    "destination_ip": (np.uint64, (2,)),
    "source_port": (np.uint16, ()),  # host order; ICMP, VRRP, IGMP: type
    "destination_port": (np.uint16, ()),  # host order; ICMP: code; VRRP: vrid
    "macs": (np.uint8, (12,)),  # source MAC, destination MAC; of kind DEBUG: three native uint32
    "source_ref": (np.int32, ()),  # Interns.endpoints
    "destination_ref": (np.int32, ()),  # Interns.endpoints
    "source_service_ref": (np.int32, ()),  # Interns.services
    "destination_service_ref": (np.int32, ()),  # Interns.services
    "source_names_ref": (np.int32, ()),  # Interns.names
    "destination_names_ref": (np.int32, ()),  # Interns.names
    "xlated_ref": (np.int32, ()),  # Interns.addresses: IP.source_xlated
    "interface_ref": (np.int32, ()),  # Interns.interfaces
    "policies_ref": (np.int32, ()),  # Interns.policies: who allowed or denied
    "endpoint_id": (np.uint16, ()),  # local endpoint the event was emitted for
    "proxy_port": (np.uint16, ()),
    "file": (np.uint8, ()),  # of drops: bpf/include/events.h FILE_*, 0 none
    "line": (np.uint16, ()),
    "cpu": (np.uint16, ()),
    "vlan_id": (np.uint16, ()),
    "bytes": (np.uint64, ()),  # on the wire since the last report; lost events: their count
    "packets": (np.uint32, ()),
    "rtt_ns": (np.uint32, ()),
    "rule_cookie": (np.uint32, ()),
    "ip_trace_id": (np.uint64, ()),  # of kind DEBUG: hash of the packet
}
