"""Does the node's network carry the pods' packets? Asked in the namespace that is observed.

/proc/sys/net shows the namespace of the thread that opens it, so entering that one is enough.
"""

import socket
import struct
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from observer.kernel.netns import inside
from server.checks.finding import Finding, fine, warning
from server.netlink import RTM_GETLINK, RTM_GETROUTE, Requests, attributes
from server.settings import Settings

_NET: Final = Path("/proc/sys/net")
_LINK_BODY_BYTES, _ROUTE_BODY_BYTES = 16, 12  # ifinfomsg, rtmsg
_IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _INFO_KIND = 3, 4, 18, 1
_RTA_OIF: Final = 4
_RTN_UNICAST: Final = 1


class Device(NamedTuple):
    """An interface of the node."""

    name: str
    kind: str
    """Such as `veth`; empty for hardware."""
    mtu_bytes: int


def ipv6(settings: Settings) -> Finding:
    """Ask whether the node speaks IPv6."""
    name = "ipv6"
    with inside(settings.netns):
        disabled = _read("ipv6/conf/all/disable_ipv6")
    if disabled == "0":
        return fine(name, "on")
    found = "off" if disabled else "not in this kernel"
    return warning(
        name, f"{found}: pods have IPv4 only", "sysctl -w net.ipv6.conf.all.disable_ipv6=0"
    )


def forwarding(settings: Settings) -> Finding:
    """Ask whether the stack forwards what pods send beyond the node."""
    name = "forwarding"
    with inside(settings.netns):
        off = [
            switch
            for switch in ("ipv4.ip_forward", "ipv6.conf.all.forwarding")
            if _read(switch.replace(".", "/")) == "0"
        ]
    if not off:
        return fine(name, "on")
    remedy = "sysctl -w " + " ".join(f"net.{switch}=1" for switch in off)
    return warning(name, f"off: {', '.join(off)}: pods reach this node only", remedy)


def reverse_path(settings: Settings) -> Finding:
    """Ask which interfaces drop packets whose answer would take another way (rp_filter=1)."""
    name = "rp_filter"
    with inside(settings.netns):
        modes = {path.parent.name: path.read_text().strip() for path in _filters()}
    general = modes.pop("all", "0")
    modes.pop("default", None)
    strict = sorted(device for device, mode in modes.items() if max(mode, general) == "1")
    if not strict:
        return fine(name, "not strict anywhere")
    shown = ", ".join(strict[:5]) + (f" and {len(strict) - 5} more" if len(strict) > 5 else "")
    remedy = "sysctl -w net.ipv4.conf.all.rp_filter=2, where routes are not symmetric"
    return warning(name, f"strict: {shown}: drops that no flow shows", remedy)


def mtu(settings: Settings) -> Finding:
    """Ask whether pods may send larger packets than the node's way out takes."""
    name = "mtu"
    with closing(Requests(settings.netns)) as requests:
        found = devices(requests)
        uplinks = [found[index] for index in default_routes(requests) if index in found]
    pods = [device for device in found.values() if device.kind == "veth"]
    if not uplinks:
        return fine(name, f"no default route; {len(pods)} veth interfaces")
    uplink = min(uplinks, key=lambda device: device.mtu_bytes)
    larger = sorted(device.name for device in pods if device.mtu_bytes > uplink.mtu_bytes)
    if not larger:
        return fine(name, f"{uplink.mtu_bytes} bytes on {uplink.name}, pods not above it")
    found_text = f"{uplink.name} takes {uplink.mtu_bytes} bytes, above it: {', '.join(larger[:5])}"
    remedy = f"ip link set INTERFACE mtu {uplink.mtu_bytes}, on both ends of the pods' interfaces"
    return warning(name, found_text, remedy)


def devices(requests: Requests) -> dict[int, Device]:
    """List the interfaces by number."""
    found = {}
    for message in requests.dump(RTM_GETLINK, bytes(_LINK_BODY_BYTES)):
        index = struct.unpack_from("=i", message.body, 4)[0]
        given = attributes(message.body, _LINK_BODY_BYTES)
        kind = attributes(given.get(_IFLA_LINKINFO, b""), 0).get(_INFO_KIND, b"")
        found[index] = Device(
            name=given[_IFLA_IFNAME].rstrip(b"\0").decode(errors="replace"),
            kind=kind.rstrip(b"\0").decode(errors="replace"),
            mtu_bytes=struct.unpack("=I", given[_IFLA_MTU])[0],
        )
    return found


def default_routes(requests: Requests) -> set[int]:
    """Find the interfaces that default routes lead to."""
    found = set()
    for message in requests.dump(RTM_GETROUTE, bytes([socket.AF_UNSPEC]) + bytes(11)):
        prefix_bits, kind = message.body[1], message.body[7]
        leaves = attributes(message.body, _ROUTE_BODY_BYTES).get(_RTA_OIF)
        if prefix_bits == 0 and kind == _RTN_UNICAST and leaves is not None:
            found.add(struct.unpack("=i", leaves)[0])
    return found


def _filters() -> list[Path]:
    return sorted((_NET / "ipv4/conf").glob("*/rp_filter"))


def _read(name: str) -> str:
    """Read a switch; empty where the kernel has none."""
    try:
        return (_NET / name).read_text().strip()
    except FileNotFoundError:
        return ""
