"""Names of the reserved identities, as Hubble has them.

Servers label endpoints with them, the command line types and prints them; each of the two must
mean the same. Nothing is imported here: the command line starts with it.
"""

from typing import Final

RESERVED_IDENTITIES: Final[dict[int, str]] = {
    0: "unknown",
    1: "host",
    2: "world",
    3: "unmanaged",
    4: "health",
    5: "init",
    6: "remote-node",
    7: "kube-apiserver",
    8: "ingress",
    9: "world-ipv4",
    10: "world-ipv6",
}
"""Names of the identities below 256 that have one."""
