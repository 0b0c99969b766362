"""What tests of observed interfaces share: where to look, and a frame to look for."""

from tests.kernel.bridge import Machine
from tests.kernel.frames import (
    UDP,
    Frame,
)

EVERYWHERE = ("va", "vb", "br0", "up0")
GRE = 47


def udp(source: Machine, destination: Machine, version: int = 4) -> Frame:
    """A frame that nobody answers."""
    return Frame(
        source=source.address(version),
        destination=destination.silent(version),
        protocol=UDP,
        source_port=4000,
        destination_port=53,
        payload=b"x" * 20,
        source_mac=source.mac,
        destination_mac=destination.mac,
    )
