"""The kernel side of a node, as the server sees it: load, attach, fill the maps, read counters.

In: what the node's endpoints, identities and policies are. Out: packets judged and forwarded by the
programs, and samples in the rings that `observer.kernel.rings` reads. First start and takeover are
one path: maps that are pinned already are used with what they hold, programs are replaced. What is
attached goes on when this process is gone, until `remove`.
"""

import os
import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

import numpy as np

import bpf
from observer.kernel import abi, inherit, layout, pins, syscall
from observer.kernel.compile import RING_MAP, Job, compile_and_pin
from observer.kernel.counters import Counters, EventAccounts
from observer.kernel.hooks import Attach, Hooks, HookSettings
from observer.kernel.policytable import PolicyTable
from observer.kernel.sweep import Sweep, SweepReport, Timeouts
from observer.kernel.tables import (
    EndpointEntry,
    EndpointTable,
    IdentityTable,
    Network,
    Table,
)
from policy.entries import PolicyEntry

__all__ = ["Attach", "Datapath", "DatapathSettings", "EndpointEntry", "LeadsTo"]

_SECOND_NS: Final = 1_000_000_000
_FIRST: Final = bytes(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatapathSettings:
    """How the programs report and how long connections live."""

    per_packet: bool = False
    """An event for every packet instead of aggregated ones: costs a core at high rates."""
    debug: bool = False
    """Debug messages for the steps of every packet: several events each."""
    report_interval_ns: int = 5 * _SECOND_NS
    """A busy connection is reported this often in each direction. As Hubble's default."""
    tcp_idle_timeout_ns: int = 8000 * _SECOND_NS
    """Silent TCP connections that were answered once: above the two hours of keepalive."""
    other_idle_timeout_ns: int = 60 * _SECOND_NS
    """Silent connections of other protocols, and TCP that was never answered."""
    closed_timeout_ns: int = 10 * _SECOND_NS
    """TCP after FIN both ways or RST: time for the last packets to pass."""

    @property
    def timeouts(self) -> Timeouts:
        """What the sweep needs of it."""
        return Timeouts(
            tcp_idle_ns=self.tcp_idle_timeout_ns,
            other_idle_ns=self.other_idle_timeout_ns,
            closed_ns=self.closed_timeout_ns,
            quiet_ns=self.report_interval_ns,
        )


class LeadsTo(IntEnum):
    """What is behind an interface that is observed: decides the observation point of flows."""

    ENDPOINT = 0
    """A pod, container or other namespace of this node."""
    HOST = layout.DEVICE_HOST
    """The node itself, as behind a bridge's own interface."""
    NETWORK = layout.DEVICE_NETWORK
    """Other machines."""


class Datapath:
    """Programs and maps of one node. Not thread-safe. All methods raise KernelError."""

    def __init__(
        self, *, held: pins.Pins, settings: DatapathSettings, way: HookSettings, opened: ExitStack
    ) -> None:
        """Open what is pinned; see `load`. `opened` is closed with this."""
        self._pins = held
        self._is_held = True
        self._opened = opened
        self._cpus = possible_cpus()
        self._maps = {n: _open(held.maps / n, opened) for n in [*abi.layouts(), RING_MAP]}
        self._programs = {n: _open(held.programs / n, opened) for n in bpf.PROGRAMS}
        self._inherit_before()
        self._hooks = Hooks(way, links=held.links, programs=self._programs)
        opened.callback(self._hooks.close)
        self._endpoints = EndpointTable(
            by_address=self._table("endpoints"), by_device=self._table("devices")
        )
        self._policy = PolicyTable(self._table("policy"))
        self._identities = IdentityTable(self._table("ipcache"))
        self._sweep = Sweep(
            map_fd=self._maps["connections"],
            program_fd=self._programs["sweep"],
            capacity=syscall.map_info(self._maps["connections"]).max_entries,
        )
        self.configure(settings)
        self._hooks.take_over([each.links for each in held.earlier()])
        self._inherit_after()
        self._counters = Counters(self._maps, cpus=self._cpus)
        self.accounts = EventAccounts(self._counters, told_fd=self._maps["told"])
        """Of the events that were produced and told."""

    @classmethod
    def load(
        cls,
        *,
        node: str,
        bpffs: Path = pins.DEFAULT_BPFFS,
        netns: Path | None = None,
        conntrack_entries: int = 131072,
        attach: Attach = Attach.AUTO,
        settings: DatapathSettings = DatapathSettings(),
        is_observing: bool = False,
    ) -> "Datapath":
        """Compile and load the programs, pin them, and open the pins.

        Args:
            node: Name of the node; its pins stand under it.
            bpffs: Where the BPF file system is, or shall be mounted.
            netns: Namespace of the pods' host-side interfaces; None: this process's own.
            conntrack_entries: Size of the connection map, if there is none yet; 240 bytes each.
            attach: How programs are put on interfaces.
            settings: From the first packet on.
            is_observing: Load programs that only look, for interfaces of others: see `observe`.
                Endpoints, identities and policies do not matter then.

        Raises:
            KernelError: Something is missing or refused; the message says what helps.
        """
        held = pins.take(node=node, bpffs=bpffs)
        opened = ExitStack()
        try:
            ancestor = inherit.find_ancestor(held)
            if ancestor is not None and not inherit.is_complete(held):
                inherit.share(ancestor, held)
            job = Job(
                maps_folder=str(held.maps),
                programs_folder=str(held.programs),
                connection_entries=conntrack_entries,
                is_observing=is_observing,
                parent=os.getpid(),
            )
            compile_and_pin(job, lock_fd=held.lock_fd)
            inherit.make_own_maps(held)
            way = HookSettings(node=node, netns=netns, attach=attach)
            return cls(held=held, settings=settings, way=way, opened=opened)
        except BaseException:
            opened.close()
            held.release()
            raise

    @property
    def perf_map_fd(self) -> int:
        """The map of rings by CPU."""
        return self._maps[RING_MAP]

    def install_ring(self, cpu: int, ring_fd: int) -> None:
        """Let the programs on that CPU write into this ring (perf event)."""
        syscall.update(self.perf_map_fd, struct.pack("=i", cpu), struct.pack("=i", ring_fd))

    @property
    def endpoint_ids(self) -> frozenset[int]:
        """Endpoints that the maps hold, those of an earlier process included."""
        return self._endpoints.ids()

    def endpoint_addresses(self) -> dict[bytes, int]:
        """Give the endpoint of each address (16 bytes), those of an earlier process included."""
        return self._endpoints.addresses()

    def endpoint_interfaces(self) -> dict[int, int]:
        """Give the endpoint behind each interface, those of an earlier process included."""
        return self._endpoints.interfaces()

    def upsert_endpoint(self, entry: EndpointEntry) -> None:
        """Add an endpoint, or change it to this."""
        self._endpoints.put(entry)
        self._bump()

    def remove_endpoint(self, endpoint_id: int) -> None:
        """Forget an endpoint and its rules; detach its interface first."""
        self._endpoints.drop(endpoint_id)
        self._policy.replace(endpoint_id, ())
        self._bump()

    def upsert_identity(self, network: Network, identity: int) -> None:
        """Let addresses of this network have that identity, unless a longer one says otherwise."""
        self.upsert_identities({network: identity})

    def upsert_identities(self, identities: Mapping[Network, int]) -> None:
        """The same for many networks: batched, one new revision."""
        self._identities.put_all(identities)
        self._bump()

    def remove_identity(self, network: Network) -> None:
        """Forget a network."""
        self._identities.drop([network])
        self._bump()

    def networks(self) -> dict[Network, int]:
        """Read the networks of the map, those of an earlier process included; in any thread."""
        return self._identities.networks()

    def replace_policy(self, endpoint_id: int, entries: Sequence[PolicyEntry]) -> None:
        """Let exactly these entries hold for the endpoint, and judge its connections again."""
        self._policy.replace(endpoint_id, entries)
        self._bump()

    def configure(self, settings: DatapathSettings) -> None:
        """Change how the programs report."""
        self._settings = settings
        self._write_settings(self._revision)

    def attach(self, ifindex: int) -> None:
        """Attach the programs to the host side of a pod's interface."""
        self._hooks.attach(ifindex)

    def detach(self, ifindex: int) -> None:
        """Take them off; one that is off, or gone, is no error."""
        self._hooks.detach(ifindex)

    def observe(self, ifindex: int, leads_to: LeadsTo) -> None:
        """Attach to an interface, whoever made it, and say what is behind it."""
        value = np.zeros((), layout.ENDPOINT)
        value["ifindex"] = ifindex
        value["flags"] = leads_to
        self._table("devices").put(np.uint32(ifindex).tobytes(), value.tobytes())
        self.attach(ifindex)

    def unobserve(self, ifindex: int) -> None:
        """Take the programs off again; one that is off, or gone, is no error."""
        self.detach(ifindex)
        self._table("devices").drop([np.uint32(ifindex).tobytes()])

    @property
    def way(self) -> Attach:
        """How programs are put on interfaces here: what AUTO came to."""
        return self._hooks.way

    def attached(self) -> frozenset[int]:
        """Interfaces with both programs."""
        return self._hooks.attached()

    def counters(self) -> dict[str, int]:
        """Counts since the first start, over all CPUs; drops as `drop_<reason>`."""
        return self._counters.read()

    def sweep(self, budget: int) -> SweepReport:
        """Go on through the connections by about `budget` entries (2,048 take about 1 ms)."""
        counts = self._counters.events()
        return self._sweep.slice(
            budget=budget,
            now_ns=time.monotonic_ns(),
            held=counts["connection_opened"] - counts["connection_removed"],
            timeouts=self._settings.timeouts,
        )

    def close(self) -> None:
        """Let go; programs, maps and links stay and work on."""
        self._opened.close()
        if self._is_held:
            self._pins.release()
        self._is_held = False

    def remove(self) -> None:
        """Take the programs off all interfaces, leave nothing behind, and close; once only."""
        if not self._is_held:
            return
        for ifindex in self._hooks.attached():
            self._hooks.detach(ifindex)
        self._opened.close()
        self._pins.remove()
        self._is_held = False

    def _inherit_before(self) -> None:
        """Have in our maps what programs of an earlier version work with, before ours do."""
        ancestor = inherit.find_ancestor(self._pins)
        if not inherit.is_complete(self._pins) and ancestor is not None:
            inherit.copy(ancestor, self._maps)
        inherit.complete(self._pins)

    def _inherit_after(self) -> None:
        """Bring what they left once ours have their places, and remove their version."""
        ancestor = inherit.find_ancestor(self._pins)
        if ancestor is not None:
            inherit.bring_rest(
                ancestor, self._maps, sweep_fd=self._programs["sweep"], cpus=self._cpus
            )
        for each in self._pins.earlier():
            each.unpin()

    @property
    def _revision(self) -> int:
        value = syscall.lookup(self._maps["settings_map"], _FIRST, layout.SETTINGS.itemsize)
        return int(np.frombuffer(value, layout.SETTINGS)[0]["revision"])

    def _bump(self) -> None:
        """Let every connection be judged again with its next packet."""
        self._write_settings((self._revision + 1) & 0xFFFFFFFF)

    def _write_settings(self, revision: int) -> None:
        value = np.zeros((), layout.SETTINGS)
        value["report_interval_ns"] = self._settings.report_interval_ns
        value["revision"] = revision
        value["flags"] = (
            layout.SETTING_PER_PACKET * self._settings.per_packet
            | layout.SETTING_DEBUG * self._settings.debug
        )
        syscall.update(self._maps["settings_map"], _FIRST, value.tobytes())

    def _table(self, name: str) -> Table:
        found = abi.layouts()[name]
        return Table(name=name, fd=self._maps[name], key=found.key, value=found.value)


def possible_cpus() -> int:
    """How many values a per-CPU map has: CPUs that may ever appear."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().split(",")[-1]
    return int(last.split("-")[-1]) + 1


def _open(path: Path, opened: ExitStack) -> int:
    fd = syscall.open_pin(path)
    opened.callback(os.close, fd)
    return fd
