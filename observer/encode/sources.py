"""Source files of the datapath, by the number that drop events carry.

Up to 115 they are Hubble's own, so that its recordings can be read; ours begin at 200 and stand
in bpf/include/events.h as FILE_*.
"""

from typing import Final

_FILES: Final[dict[int, str]] = {
    1: "bpf_host.c",
    2: "bpf_lxc.c",
    3: "bpf_overlay.c",
    4: "bpf_xdp.c",
    5: "bpf_sock.c",
    6: "bpf_network.c",
    7: "bpf_wireguard.c",
    101: "drop.h",
    102: "srv6.h",
    103: "icmp6.h",
    104: "nodeport.h",
    105: "lb.h",
    106: "mcast.h",
    107: "ipv4.h",
    108: "conntrack.h",
    109: "local_delivery.h",
    110: "trace.h",
    111: "encap.h",
    112: "host_firewall.h",
    113: "nodeport_egress.h",
    114: "ipv6.h",
    115: "classifiers.h",
    200: "endpoint.c",
    201: "parse.h",
    202: "policy.h",
    203: "conntrack.h",
    204: "forward.h",
    205: "neighbour.h",
    206: "icmp.h",
}


def source_file(number: int) -> str:
    """Return the file's name."""
    return _FILES.get(number, f"unknown({number})")
