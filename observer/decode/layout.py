"""What the bytes of a sample are: the NumPy twin of bpf/include/events.h.

A sample is header, ext, packet. All fields are in native byte order, the packet is as it was on
the wire. The header's length depends on type and version; the layouts below are the newest ones,
older versions end earlier:

    drop     v0 v1: 36   v2: 40   v3: 48        ext_version 0: no ext
    trace    v0: 32      v1: 48   v2: 56        ext_version 1: 32 bytes
    verdict  v0 v1: 40                          capture: 24, never an ext
    debug 20 and trace-sock 38: no version, no ext, no packet
"""

from typing import Final

import numpy as np

from observer.samples import EXT_BYTES, SAMPLE_BYTES
from observer.table.columns import EventKind

COMMON: Final = np.dtype(
    [
        ("type", "u1"),
        ("subtype", "u1"),
        ("source", "u2"),
        ("hash", "u4"),
        ("len_orig", "u4"),
        ("len_cap", "u2"),
        ("version", "u1"),
        ("ext_version", "u1"),
    ]
)
DROP: Final = np.dtype(
    [
        ("common", COMMON),
        ("src_label", "u4"),
        ("dst_label", "u4"),
        ("dst_id", "u4"),
        ("line", "u2"),
        ("file", "u1"),
        ("ext_error", "i1"),
        ("ifindex", "u4"),
        ("flags", "u1"),
        ("pad", "u1", 3),
        ("ip_trace_id", "u8"),
    ]
)
TRACE: Final = np.dtype(
    [
        ("common", COMMON),
        ("src_label", "u4"),
        ("dst_label", "u4"),
        ("dst_id", "u2"),
        ("reason", "u1"),
        ("flags", "u1"),
        ("ifindex", "u4"),
        ("orig_ip", "u1", 16),
        ("ip_trace_id", "u8"),
    ]
)
VERDICT: Final = np.dtype(
    [
        ("common", COMMON),
        ("remote_label", "u4"),
        ("verdict", "i4"),
        ("dst_port", "u2"),
        ("proto", "u1"),
        ("flags", "u1"),
        ("auth_type", "u1"),
        ("pad", "u1", 3),
        ("cookie", "u4"),
        ("pad2", "u4"),
    ]
)
DEBUG: Final = np.dtype(
    [
        ("type", "u1"),
        ("subtype", "u1"),
        ("source", "u2"),
        ("hash", "u4"),
        ("arg1", "u4"),
        ("arg2", "u4"),
        ("arg3", "u4"),
    ]
)
TRACE_SOCK: Final = np.dtype(
    [
        ("type", "u1"),
        ("xlate_point", "u1"),
        ("dst_ip", "u1", 16),
        ("dst_port", "u2"),
        ("sock_cookie", "u8"),
        ("cgroup_id", "u8"),
        ("l4_proto", "u1"),
        ("flags", "u1"),
    ]
)
CAPTURE: Final = np.dtype(
    [
        ("type", "u1"),
        ("subtype", "u1"),
        ("source", "u2"),
        ("hash", "u4"),
        ("len_cap", "u4"),
        ("len_orig", "u4"),
        ("arg1", "u4"),
        ("arg2", "u4"),
    ]
)
EXT: Final = np.dtype(
    [
        ("bytes", "u8"),
        ("packets", "u4"),
        ("rule_cookie", "u4"),
        ("rtt_ns", "u4"),
        ("vlan_tci", "u2"),
        ("flags", "u1"),
        ("pad", "u1"),
        ("pad2", "u8"),
    ]
)

HEADER_MAX_BYTES: Final = TRACE.itemsize

# flags of drop and trace headers
FLAG_IPV6: Final = 0x01
FLAG_L3_DEVICE: Final = 0x02
FLAG_VXLAN: Final = 0x04
FLAG_GENEVE: Final = 0x08

# the verdict header packs its flags differently
VERDICT_DIR_MASK: Final = 0x03
VERDICT_FLAG_IPV6: Final = 0x04
VERDICT_MATCH_MASK: Final = 0x38
VERDICT_MATCH_SHIFT: Final = 3
VERDICT_FLAG_AUDIT: Final = 0x40
VERDICT_FLAG_L3_DEVICE: Final = 0x80

# of the trace reason
REASON_ENCRYPTED: Final = 0x80

EXT_FLAG_VLAN: Final = 0x01
EXT_FLAG_SWEPT: Final = 0x02
EXT_FLAG_OBSERVED: Final = 0x08
EXT_LENGTHS: Final = (0, EXT_BYTES)
"""Length of the ext by ext_version; no other version is ours."""

HEADER_LENGTHS: Final[dict[EventKind, tuple[int, ...]]] = {
    EventKind.DROP: (36, 36, 40, 48),
    EventKind.CAPTURE: (24,),
    EventKind.TRACE: (32, 48, 56),
    EventKind.POLICY_VERDICT: (40, 40),
}
"""Length of the header by kind and version. A capture has no version: its byte 14 is a length's."""

WORDS_PER_SAMPLE: Final = SAMPLE_BYTES // 8
