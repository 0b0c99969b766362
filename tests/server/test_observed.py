"""Which interfaces are looked at, and when they are let go."""

from ipaddress import ip_address

import pytest

from observer.kernel.datapath import LeadsTo
from observer.kernel.errors import KernelError
from server.interfaces import ARPHRD_LOOPBACK, Interfaces, Link
from server.observed import ObservedInterfaces, leads_to
from server.pace import Pace
from server.problems import Problems

TUNNEL = 65534  # ARPHRD_NONE


def link(index: int, name: str, kind: str = "veth", device_type: int = 1) -> Link:
    return Link(
        index=index, name=name, mac=bytes(6), peer_mac=None, kind=kind, device_type=device_type
    )


def picture(*links: Link) -> Interfaces:
    return Interfaces(
        links={each.index: each for each in links},
        routes={},
        neighbours={},
        addresses=frozenset({ip_address("10.0.0.1")}),
    )


class Datapath:
    """Programs on interfaces, without a kernel."""

    def __init__(self) -> None:
        self.on: dict[int, LeadsTo] = {}
        self.calls: list[tuple[str, int]] = []
        self.refuses: set[int] = set()

    def observe(self, ifindex: int, leads_to: LeadsTo) -> None:
        self.calls.append(("observe", ifindex))
        if ifindex in self.refuses:
            raise KernelError(f"attach programs: no interface has index {ifindex}")
        self.on[ifindex] = leads_to

    def unobserve(self, ifindex: int) -> None:
        self.calls.append(("unobserve", ifindex))
        self.on.pop(ifindex, None)

    def attached(self) -> frozenset[int]:
        return frozenset(self.on)


class Station:
    def __init__(self, *globs: str) -> None:
        self.datapath = Datapath()
        self.problems = Problems()
        self.observed = ObservedInterfaces(self.datapath, globs)

    async def see(self, *links: Link) -> list[tuple[str, int]]:
        """What one round does."""
        self.datapath.calls.clear()
        await self.observed.write(picture(*links), self.problems, Pace())
        self.problems.end_round()
        return self.datapath.calls


async def test_those_that_match_and_no_other() -> None:
    station = Station("veth*", "br-?", "eth0")
    calls = await station.see(
        link(2, "eth0", ""), link(3, "veth1"), link(4, "br-a", "bridge"), link(5, "br-ab"),
        link(6, "VETH2"), link(7, "xveth"),
    )  # fmt: skip
    assert calls == [("observe", 2), ("observe", 3), ("observe", 4)]
    assert station.datapath.on == {2: LeadsTo.NETWORK, 3: LeadsTo.ENDPOINT, 4: LeadsTo.HOST}


async def test_only_what_changes_is_written() -> None:
    station = Station("veth*")
    await station.see(link(3, "veth3"))
    assert await station.see(link(3, "veth3")) == []
    assert await station.see(link(3, "veth3"), link(4, "veth4")) == [("observe", 4)]
    assert await station.see(link(4, "veth4")) == [("unobserve", 3)]


async def test_one_that_is_renamed_is_let_go() -> None:
    station = Station("veth*")
    await station.see(link(3, "veth3"))
    assert await station.see(link(3, "eth3")) == [("unobserve", 3)]


async def test_one_that_came_again_under_its_number_is_attached_anew() -> None:
    station = Station("veth*")
    await station.see(link(3, "veth3"))
    station.datapath.on.clear()  # it vanished between two pictures, and its programs with it
    assert await station.see(link(3, "veth3")) == [("observe", 3)]


async def test_what_an_earlier_process_left_is_written_anew_or_let_go() -> None:
    station = Station("veth*")
    station.datapath.on = {3: LeadsTo.ENDPOINT, 9: LeadsTo.ENDPOINT}
    calls = await station.see(link(3, "veth3"), link(9, "eth9"))
    assert calls == [("unobserve", 9), ("observe", 3)]


async def test_one_that_is_refused_is_named_and_tried_again() -> None:
    station = Station("veth*")
    station.datapath.refuses = {3}
    await station.see(link(3, "veth3"), link(4, "veth4"))
    assert station.datapath.on.keys() == {4}
    [problem] = station.problems.present
    assert problem.startswith("interface veth3: observe: attach programs")
    station.datapath.refuses.clear()
    assert await station.see(link(3, "veth3"), link(4, "veth4")) == [("observe", 3)]
    assert station.problems.present == ()


async def test_frames_that_are_not_ethernet_are_left_alone() -> None:
    station = Station("*")
    assert await station.see(link(3, "wg0", "wireguard", TUNNEL)) == []
    assert station.problems.present == ("interface wg0: not observed: no Ethernet frames",)


@pytest.mark.parametrize(
    ("kind", "device_type", "expected"),
    [
        ("veth", 1, LeadsTo.ENDPOINT),
        ("tun", 1, LeadsTo.ENDPOINT),
        ("bridge", 1, LeadsTo.HOST),
        ("", ARPHRD_LOOPBACK, LeadsTo.HOST),
        ("", 1, LeadsTo.NETWORK),
        ("vxlan", 1, LeadsTo.NETWORK),
        ("vlan", 1, LeadsTo.NETWORK),
    ],
)
def test_what_is_behind(kind: str, device_type: int, expected: LeadsTo) -> None:
    assert leads_to(link(2, "x", kind, device_type)) is expected
