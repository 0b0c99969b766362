"""Interfaces of others that the node looks at: those whose names match, as they come and go.

In: pictures of the node's interfaces. Out: the observing programs on each that matches, and off
those that do not any more. What an earlier process left is taken over. Interfaces without Ethernet
frames (tunnels, WireGuard) cannot be read and are named as problems.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Protocol

from observer.kernel.datapath import LeadsTo
from server.mirror import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from server.interfaces import Interfaces, Link
    from server.pace import Pace
    from server.problems import Problems
    from server.settings import Settings

PIN_SUFFIX: Final = ".observe"
"""Behind the node's name in the name of its pins: those of a server that enforces stay apart."""

_HOST_KINDS: Final = ("bridge", "openvswitch", "dummy")
_ENDPOINT_KINDS: Final = ("veth", "netkit", "tun")
"""The last is a virtual machine's, if it has Ethernet frames."""


def observes(settings: Settings) -> bool:
    """Tell whether interfaces are only looked at."""
    return settings.mode == "observe"


def pin_name(settings: Settings) -> str:
    """Name the node as its pins do."""
    return settings.node_name + (PIN_SUFFIX if observes(settings) else "")


class ObservingDatapath(Protocol):
    """The part of observer.kernel.datapath.Datapath that is used here; raises KernelError."""

    def observe(self, ifindex: int, leads_to: LeadsTo) -> None:
        """Attach to an interface and say what is behind it."""

    def unobserve(self, ifindex: int) -> None:
        """Take the programs off; one that is gone is no error."""

    def attached(self) -> frozenset[int]:
        """Interfaces with the programs; those that vanished are not among them."""


class ObservedInterfaces:
    """Keeps the programs on all interfaces whose name matches one of the globs."""

    def __init__(self, datapath: ObservingDatapath, globs: tuple[str, ...]) -> None:
        self._datapath = datapath
        self._globs = globs
        self._known: dict[int, Link] = {}

    async def write(self, picture: Interfaces, problems: Problems, pace: Pace) -> None:
        """Bring the programs to where they should be; what is refused is tried again next time."""
        wanted = self._wanted(picture.links, problems)
        # asked anew: an interface that vanished has taken its programs along
        held = self._datapath.attached()
        for ifindex in held - wanted.keys():
            await pace.step()
            self._let_go(ifindex, problems)
        for ifindex, link in wanted.items():
            if ifindex in held and self._known.get(ifindex) == link:
                continue
            await pace.step()
            try:
                self._datapath.observe(ifindex, leads_to(link))
            except REFUSALS as error:
                problems.meet(f"interface {link.name}", f"observe: {error}")
                wanted = {i: each for i, each in wanted.items() if i != ifindex}
        self._known = wanted

    def _wanted(self, links: Mapping[int, Link], problems: Problems) -> dict[int, Link]:
        found: dict[int, Link] = {}
        for index, link in links.items():
            if not any(fnmatchcase(link.name, glob) for glob in self._globs):
                continue
            if link.has_ethernet:
                found[index] = link
            else:
                problems.meet(f"interface {link.name}", "not observed: no Ethernet frames")
        return found

    def _let_go(self, ifindex: int, problems: Problems) -> None:
        try:
            self._datapath.unobserve(ifindex)
        except REFUSALS as error:
            problems.meet(f"interface {ifindex}", f"let go: {error}")


def leads_to(link: Link) -> LeadsTo:
    """Say what is behind the interface, as far as its kind tells."""
    if link.kind in _ENDPOINT_KINDS:
        return LeadsTo.ENDPOINT
    if link.kind in _HOST_KINDS or link.is_loopback:
        return LeadsTo.HOST
    return LeadsTo.NETWORK
