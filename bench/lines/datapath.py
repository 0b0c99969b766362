"""Datapath: what the programs leave of the speed between two pods of a node, against a bridge.

Every figure is a ratio to a plain veth and bridge that was measured just before it, by the same
generator on the same CPU; the reader of events has another one. The programs enforce policy in
both directions, IPv4 and IPv6 by turns, among 100,000 connections. A bridge that is slow, since
others load the machine, hides what the programs cost: a round with less than 120,000 UDP round
trips a second on it is void, and if most are, nothing is held against the budget. Needs root and
two CPUs.
"""

import os
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_network
from typing import Final

from bench.errors import NotMeasurableError, WrongAnswerError
from bench.ingest_node import SEED, IngestNode
from bench.leftovers import PODS, remove_leftovers
from bench.measurement import Budget, Conditions, Measurement
from bench.pods import Pair, bridged, routed
from bench.reading import reading
from bench.traffic import Generator, Mode
from bench.workload import Mix, SyntheticNode
from observer.kernel.datapath import Datapath, DatapathSettings
from observer.kernel.errors import KernelError
from observer.ledger import Stage
from policy.entries import PORT_BITS, Direction, PolicyEntry

_LINE: Final = "datapath"
_ROUNDS: Final = 9
_RUN_S: Final = 0.3
_QUICK_RUN_S: Final = 0.1
_CONNECTIONS: Final = 100_000
_ROOM: Final = 262_144
"""Entries of the connection map: closed connections of the bench stand there for 10 s as well."""
_POLICY_SIZES: Final = (1, 100, 10_000)
_LEAST_ROUND_TRIPS: Final = 120_000
_HOUR_NS: Final = 3_600_000_000_000
_PROTOCOLS: Final = (6, 17)
_OTHERS_FROM: Final = 2_000
_PORTS_FROM: Final = 30_000
_UNITS: Final = {
    Mode.UDP: ("UDP round trips", "k/s", 1e3),
    Mode.TCP: ("TCP round trips", "k/s", 1e3),
    Mode.CONNECT: ("new connections", "k/s", 1e3),
    Mode.BULK: ("TCP bulk", "GB/s", 1e9),
}


class Watching(StrEnum):
    """Who looks at the packets."""

    OFF = "off"
    AGGREGATED = "aggregated"
    PER_PACKET = "per packet"


_BUDGETS: Final = {Watching.AGGREGATED: 0.97, Watching.PER_PACKET: 0.90}
_SETTINGS: Final = DatapathSettings(
    tcp_idle_timeout_ns=_HOUR_NS, other_idle_timeout_ns=_HOUR_NS
)  # the connections that are only there to be there must stay


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table."""

    mode: Mode
    watching: Watching
    policy_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """All cases once."""

    plain: Mapping[Mode, Sequence[float]]
    """What the bridge did, before each case."""
    ratios: Mapping[Case, float]

    @property
    def trips(self) -> float:
        """UDP round trips a second on the bridge: whether others loaded the machine."""
        return statistics.median(self.plain[Mode.UDP])


@dataclass(slots=True, kw_only=True)
class Bed:
    """Both paths, and all that it takes to measure on them."""

    generator: Generator
    bridge: Pair
    pods: Pair
    datapath: Datapath
    reader: IngestNode
    reader_cpu: int
    run_s: float

    def compared(self, mode: Mode, watching: Watching, version: int) -> tuple[float, float]:
        """Measure the bridge, then ours: both per second.

        Raises:
            WrongAnswerError: traffic does not get through, or events are missing.
        """
        plain = self._per_second(mode, self.bridge, version)
        self.datapath.configure(replace(_SETTINGS, per_packet=watching is Watching.PER_PACKET))
        if watching is Watching.OFF:
            return plain, self._per_second(mode, self.pods, version)
        first = self.reader.table.head
        with reading(self.datapath, self.reader, cpu=self.reader_cpu):
            ours = self._per_second(mode, self.pods, version)
        self._check_events(mode, watching, ours, self.reader.table.head - first)
        return plain, ours

    def _per_second(self, mode: Mode, pair: Pair, version: int) -> float:
        return self.generator.per_second(mode, pair, version=version, seconds=self.run_s)

    def _check_events(self, mode: Mode, watching: Watching, ours: float, rows: int) -> None:
        """A path that tells nothing is fast for the wrong reason."""
        trips = 0.0 if mode is Mode.BULK else ours * self.run_s
        least = 2 * trips if watching is Watching.PER_PACKET else 1
        told = rows + self.reader.ledger.total(Stage.RING)
        if told < least:
            raise WrongAnswerError(f"datapath, {watching}: {told} events of {least:.0f} packets")


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Ratios to the bridge, for each kind of traffic, of watching and of policy."""
    if os.geteuid() != 0:
        raise NotMeasurableError("needs root: it loads programs and makes namespaces")
    with ExitStack() as opened:
        bed = _bed(conditions, opened)
        rounds = [_round(bed, number) for number in range(conditions.repeats(_ROUNDS))]
        lost = bed.reader.ledger.total(Stage.RING)
    yield from _plain_rows(rounds)
    valid = [each for each in rounds if each.trips >= _LEAST_ROUND_TRIPS]
    is_void = 2 * len(valid) <= len(rounds)
    note = f"events lost in the rings: {lost}; {len(valid)} of {len(rounds)} rounds are valid"
    yield from _ratio_rows(rounds if is_void else valid, is_void=is_void, note=note)
    if is_void:
        trips = statistics.median(each.trips for each in rounds)
        raise NotMeasurableError(
            f"void: {trips / 1e3:.0f} k round trips/s on the bridge, need "
            f"{_LEAST_ROUND_TRIPS / 1e3:.0f} k to see what programs cost; ratios without budget"
        )


def _bed(conditions: Conditions, opened: ExitStack) -> Bed:
    """Make both paths, and let the connections be there.

    Raises:
        NotMeasurableError: fewer than two CPUs, no compiler, or the kernel refuses.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise NotMeasurableError("needs two CPUs: one for the traffic, one for the reader")
    generator = Generator.compiled(conditions.folder, cpu=cpus[0])
    remove_leftovers()
    name = f"{PODS}{os.getpid()}"
    bridge = opened.enter_context(bridged(f"{name}b"))
    pods = opened.enter_context(routed(f"{name}n"))
    bed = Bed(
        generator=generator,
        bridge=bridge,
        pods=pods,
        datapath=_datapath(pods, opened),
        reader=IngestNode.of(SyntheticNode(SEED, Mix(odd_share=0.0))),
        reader_cpu=cpus[1],
        run_s=_QUICK_RUN_S if conditions.quick else _RUN_S,
    )
    _fill(bed)
    return bed


def _datapath(pods: Pair, opened: ExitStack) -> Datapath:
    try:
        datapath = Datapath.load(
            node=pods.node,
            netns=pods.client.path.with_name(pods.node),
            conntrack_entries=_ROOM,
            settings=_SETTINGS,
        )
    except KernelError as error:
        raise NotMeasurableError(f"needs programs that load: {error}") from error
    opened.callback(datapath.remove)
    for pod in (pods.client, pods.server):
        datapath.upsert_endpoint(pod.entry())
        for address in (pod.ipv4, pod.ipv6):
            datapath.upsert_identity(ip_network(address), pod.identity)
        datapath.attach(pod.ifindex)
    return datapath


def _fill(bed: Bed) -> None:
    """Raises WrongAnswerError when the programs do not hold the connections."""
    _set_policy(bed, 1)
    for version in (4, 6):
        bed.generator.fill(bed.pods, version=version, connections=_CONNECTIONS // 2)
    counts = bed.datapath.counters()
    held = counts["connection_opened"] - counts["connection_removed"]
    if held < _CONNECTIONS:
        raise WrongAnswerError(f"fill: {held} connections, expected {_CONNECTIONS}")


def _round(bed: Bed, number: int) -> Round:
    """Measure every case once."""
    version = (4, 6)[number % 2]
    plain: dict[Mode, list[float]] = defaultdict(list)
    ratios: dict[Case, float] = {}
    for size in _POLICY_SIZES:
        _set_policy(bed, size)
        for mode in Mode:
            # every second round backwards, so that no kind is always the first
            for watching in list(Watching)[:: -1 if number // 2 % 2 else 1]:
                case = Case(mode=mode, watching=watching, policy_size=size)
                base, ours = bed.compared(mode, watching, version)
                plain[mode].append(base)
                ratios[case] = ours / base
    return Round(plain=plain, ratios=ratios)


def _set_policy(bed: Bed, size: int) -> None:
    """Let so many entries stand at each end, one of which allows the traffic."""
    ends = (
        (bed.pods.client, bed.pods.server, Direction.EGRESS),
        (bed.pods.server, bed.pods.client, Direction.INGRESS),
    )
    for pod, peer, direction in ends:
        others = [_of_others(number, direction) for number in range(size - 1)]
        allowing = PolicyEntry(
            direction=direction,
            identity=peer.identity,
            protocol=0,
            port=0,
            port_prefix_bits=0,
            deny=False,
            cookie=1,
        )
        bed.datapath.replace_policy(pod.number, [allowing, *others])


def _of_others(number: int, direction: Direction) -> PolicyEntry:
    """Another peer's entry: 1,000 peers, ports that the traffic does not use."""
    return PolicyEntry(
        direction=direction,
        identity=_OTHERS_FROM + number % 1_000,
        protocol=_PROTOCOLS[number % 2],
        port=_PORTS_FROM + number,
        port_prefix_bits=PORT_BITS,
        deny=number % 10 == 0,
        cookie=2 + number % 100,
    )


def _plain_rows(rounds: Sequence[Round]) -> Iterator[Measurement]:
    for mode in Mode:
        values = [value for each in rounds for value in each.plain[mode]]
        what, unit, scale = _UNITS[mode]
        yield Measurement(
            line=_LINE,
            what=f"{what}, plain bridge",
            unit=unit,
            values=tuple(value / scale for value in values),
        )


def _ratio_rows(rounds: Sequence[Round], *, is_void: bool, note: str) -> Iterator[Measurement]:
    cases = list(rounds[0].ratios)
    for case in cases:
        values = [each.ratios[case] for each in rounds]
        limit = None if is_void else _BUDGETS.get(case.watching)
        is_last = case is cases[-1]
        yield Measurement(
            line=_LINE,
            what=f"{_UNITS[case.mode][0]}, {case.watching}, {case.policy_size:,} entries",
            unit="of bridge",
            values=tuple(values),
            budget=None if limit is None else Budget(limit=limit, ceiling=False),
            note=note if is_last else "",
        )
