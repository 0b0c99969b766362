"""The evaluator against the kernel: generated policies in the real datapath, thousands of packets.

Policies are read and compiled as the server does it, their entries written to the maps, packets run
through the programs; verdict, match type and cookie of each must be the evaluator's. What was met
is counted by cells, and an empty cell fails. Then evaluators with one mistake each are held against
what the kernel did: every mistake must show.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from policy.compiler import Compiler, EndpointPolicy
from policy.entries import Direction
from policy.evaluate import Decision, Evaluator, Packets, Verdicts
from tests.kernel.bed import HOST, HOST6, Bed, Pod
from tests.kernel.frames import ICMP, ICMPV6, SYN, TCP, Frame
from tests.policy import cells, oracle
from tests.policy.documents import (
    AUDIT,
    BLOCKS,
    DOCUMENTS,
    NETWORKS,
    PACKETS,
    PARTIES,
    document,
)
from tests.policy.mutations import MUTATIONS
from tests.policy.oracle import NAMESPACE
from tests.policy.world import IDENTITIES, SUBJECTS, learned, profile

if TYPE_CHECKING:
    from tests.policy.oracle import Party

pytestmark = pytest.mark.kernel

EXAMPLES_EACH = 6
"""For each cell: 140 cells take some 20 seconds."""
PACKETS_EACH = 16
LEAST_CASES = 5_000
ENDPOINTS = ("web", "db")
"""The identities of pods a and b of the bed."""
PLACES: dict[str, tuple[str, ...]] = {
    "bare": ("10.244.9.3", "fd00:244:9::3"),
    "other": ("10.244.9.4", "fd00:244:9::4"),
    "lone": ("10.244.9.5", "fd00:244:9::5"),
    "remote-node": ("172.30.0.77", "fd00:30::77"),
    "10.0.0.0/8": ("10.9.9.9",),
    "10.1.0.0/16": ("10.1.9.9",),
    "10.1.2.0/24": ("10.1.2.9",),
    "192.0.2.7/32": ("192.0.2.7",),
    "2001:db8::/32": ("2001:db8::9",),
    "world-ipv4": ("198.51.100.9",),
    "world-ipv6": ("2001:4860::9",),
}
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Case:
    """A packet between an endpoint and a peer."""

    endpoint: str
    peer: str
    direction: Direction
    protocol: int
    port: int
    is_ipv6: bool


@dataclass(slots=True)
class Run:
    """Policies of one example, and what the kernel did with its packets."""

    policies: list[EndpointPolicy]
    cases: list[Case]
    told: list[tuple[int, int, int]]
    """Decision, match type, cookie."""


@dataclass(slots=True)
class Record:
    """All that was run."""

    runs: list[Run] = field(default_factory=list)
    seen: Counter[cells.Cell] = field(default_factory=Counter)


PEERS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "any": st.just({}),
    "endpoint": st.sampled_from(["web", "db"])
    .map(lambda found: {"Endpoints": [{"matchLabels": {"app": found}}]}),
    "namespace": st.sampled_from([f"k8s:{NAMESPACE}", NAMESPACE, f"any:{NAMESPACE}"])
    .flatmap(lambda key: st.sampled_from(["default", "other"]).map(lambda value: {key: value}))
    .map(lambda found: {"Endpoints": [{"matchLabels": found}]}),
    "entity": st.sampled_from(["all", "world", "cluster", "host", "remote-node"])
    .map(lambda found: {"Entities": [found]}),
    "network": BLOCKS.map(lambda found: {"CIDRSet": [found]}),
}  # fmt: skip
EXCEPTS = BLOCKS.filter(lambda found: "except" in found).map(lambda found: {"CIDRSet": [found]})


def ports_of(cell: cells.Cell) -> st.SearchStrategy[dict[str, Any]]:
    """Ports, or types, that packets of the cell's protocol often have."""
    if cell.protocol.startswith("ICMP"):
        family = "IPv6" if cell.protocol == "ICMPv6" else "IPv4"
        kinds = st.sampled_from([0, 3, 8, 128])
        some = kinds.map(lambda kind: {"icmps": [{"fields": [{"type": kind, "family": family}]}]})
    else:
        end: dict[str, Any] = {"endPort": 1024} if cell.what == "range" else {}
        item: dict[str, Any] = {"port": "53" if end else "80", "protocol": cell.protocol, **end}
        some = st.just({"toPorts": [{"ports": [item]}]})
    is_needed = cell.peer == "any" or cell.what == "range"
    return some if is_needed else st.one_of(st.just({}), some)


def rule_for(cell: cells.Cell) -> st.SearchStrategy[dict[str, Any]]:
    """A policy whose rule is of the cell's kind."""
    word = "from" if cell.direction == "ingress" else "to"
    peers = EXCEPTS if cell.what == "except" else PEERS[cell.peer]
    kinds = ["", "Deny"] if cell.what in ("range", "except") else [""]
    names = st.sampled_from(["Deny"] if cell.what == "deny" else kinds)
    return st.builds(
        lambda found, ports, name, audit: document(
            "CiliumNetworkPolicy",
            {
                "spec": {
                    "endpointSelector": {},
                    cell.direction + name: [
                        {**{word + key: value for key, value in found.items()}, **ports}
                    ],
                }
            },
            "default",
            audit,
        ),
        peers,
        ports_of(cell),
        names,
        AUDIT,
    )


def address_of(bed: Bed, name: str, *, is_ipv6: bool) -> Address:
    own: dict[str, tuple[Address, ...]] = {
        "web": (bed.a.ipv4, bed.a.ipv6),
        "db": (bed.b.ipv4, bed.b.ipv6),
        "host": (HOST, HOST6),
    }
    found = own.get(name) or tuple(map(ip_address, PLACES[name]))
    return next(each for each in found if (each.version == 6) == is_ipv6)


def families(name: str) -> list[bool]:
    """Whether a party has addresses of IPv4 (False) and IPv6 (True)."""
    if name not in PLACES:
        return [False, True]
    return sorted({":" in each for each in PLACES[name]})


@st.composite
def cases(draw: st.DrawFn, cell: cells.Cell) -> Case:
    """A packet of any kind, mostly one that the cell is about."""
    direction = draw(st.sampled_from(Direction))
    peer = draw(st.sampled_from([name for name in PARTIES if name != "world"]))
    protocol, port = draw(PACKETS)
    if draw(st.integers(0, 3)):
        direction = Direction[cell.direction.upper()]
        protocol = next(
            each for each, name in cells.PROTOCOL_NAMES.items() if name == cell.protocol
        )
        port = draw(st.sampled_from([80, 80, 53, 1024, 81, 8, 0, 128]))
        if cell.peer == "network":
            peer = draw(st.sampled_from([*NETWORKS, "world-ipv4"]))
    is_ipv6 = draw(st.sampled_from(families(peer)))
    if protocol in (ICMP, ICMPV6):
        protocol = ICMPV6 if is_ipv6 else ICMP
    own = draw(st.sampled_from([name for name in ENDPOINTS if name != peer]))
    return Case(own, peer, direction, protocol, port, is_ipv6)


@pytest.fixture(scope="module")
def record(shared_bed: Bed) -> Iterator[Record]:
    bed = shared_bed
    bed.reset()
    networks = {
        ip_network(address): IDENTITIES[name]
        for name, addresses in PLACES.items()
        for address in addresses
        if name in ("bare", "other", "lone", "remote-node")
    }
    networks |= {ip_network(name): each for name, each in IDENTITIES.items() if "/" in name}
    networks |= {ip_network("0.0.0.0/0"): 9, ip_network("::/0"): 10}
    bed.datapath.upsert_identities(networks)
    found = Record()
    try:
        run_examples(bed, found)
        yield found
    finally:
        for network in networks:
            bed.datapath.remove_identity(network)
        bed.reset()


def run_examples(bed: Bed, record: Record) -> None:
    """Run a few examples for each cell: left to itself hypothesis would leave some out."""
    sources = itertools.cycle(range(20_000, 60_000))
    compiler = Compiler()
    for number, cell in enumerate(sorted(cells.ALL_CELLS)):

        @seed(number)
        @settings(
            max_examples=EXAMPLES_EACH,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            DOCUMENTS,
            rule_for(cell),
            st.lists(cases(cell), min_size=PACKETS_EACH, max_size=PACKETS_EACH),
        )
        def one(many: list[dict[str, Any]], rule: dict[str, Any], packets: list[Case]) -> None:
            documents = [
                {**each, "metadata": {**each["metadata"], "name": f"p{index}"}}
                for index, each in enumerate([rule, *many[1:]])
            ]
            learned(documents, compiler, SUBJECTS)
            policies = [compiler.compile(profile(name)) for name in ENDPOINTS]
            install(bed, policies)
            told = [send(bed, case, next(sources)) for case in packets]
            record.runs.append(Run(policies, packets, told))
            for case, (decision, _, _) in zip(packets, told, strict=True):
                count(documents, case, record.seen, decision)

        one()


def install(bed: Bed, policies: list[EndpointPolicy]) -> None:
    bed.clear_connections()
    for pod, policy in zip((bed.a, bed.b), policies, strict=True):
        bed.rules(pod, *policy.entries)
        bed.enforce(
            pod,
            ingress=Direction.INGRESS in policy.enforced,
            egress=Direction.EGRESS in policy.enforced,
        )


def send(bed: Bed, case: Case, source_port: int) -> tuple[int, int, int]:
    """Let the programs judge the packet: decision, match type, cookie."""
    pod: Pod = bed.a if case.endpoint == "web" else bed.b
    own, peer = pod.address(6 if case.is_ipv6 else 4), address_of(
        bed, case.peer, is_ipv6=case.is_ipv6
    )  # fmt: skip
    is_icmp = case.protocol in (ICMP, ICMPV6)
    if is_icmp:
        bed.clear_connections()  # but for echoes, all of one type are one connection
    frame = Frame(
        source=own,
        destination=peer,
        protocol=case.protocol,
        source_port=0 if is_icmp else source_port,
        destination_port=0 if is_icmp else case.port,
        flags=SYN if case.protocol == TCP else 0,
        icmp_type=case.port & 0xFF if is_icmp else 0,
        icmp_id=source_port if is_icmp else 0,
    )
    if case.direction is Direction.INGRESS:
        frame = replace(frame, source=peer, destination=own)
    program = "to_endpoint" if case.direction is Direction.INGRESS else "from_endpoint"
    bed.run(program, pod, frame.encode())
    for event in bed.take():
        if event.kind != "verdict" or event.endpoint != pod.endpoint_id:
            continue
        assert event.direction == case.direction
        denied = Decision.DENIED if event.verdict else Decision.ALLOWED
        return Decision.AUDITED if event.is_audited else denied, event.match, event.cookie
    return Decision.FREE, 0, 0


def count(
    documents: list[dict[str, Any]], case: Case, seen: Counter[cells.Cell], decision: int
) -> None:
    """Count what the packet met, and ask the plain reading of the documents too."""
    parties: tuple[Party, Party] = PARTIES[case.endpoint], PARTIES[case.peer]
    ingress, packet = case.direction is Direction.INGRESS, (case.protocol, packet_port(case))
    expected = oracle.judge(documents, ingress=ingress, parties=parties, packet=packet)
    names = {
        "free": Decision.FREE,
        "allow": Decision.ALLOWED,
        "audit": Decision.AUDITED,
        "deny": Decision.DENIED,
        "isolated": Decision.DENIED,
    }
    assert decision == names[expected.what], (documents, case)
    if decision != Decision.FREE:
        seen.update(set(cells.met(documents, ingress=ingress, parties=parties, packet=packet)))


def packet_port(case: Case) -> int:
    return case.port & 0xFF if case.protocol in (ICMP, ICMPV6) else case.port


def columns(run: Run) -> Packets:
    def column(values: list[int], kind: type[np.generic]) -> NDArray[Any]:
        return np.array(values, kind)

    return Packets(
        endpoint=column([ENDPOINTS.index(case.endpoint) for case in run.cases], np.int64),
        direction=column([case.direction for case in run.cases], np.uint8),
        identity=column([IDENTITIES[case.peer] for case in run.cases], np.uint32),
        protocol=column([case.protocol for case in run.cases], np.uint8),
        port=column([packet_port(case) for case in run.cases], np.uint16),
    )


def differences(record: Record, judge: Callable[[Run], Verdicts]) -> int:
    """Count the packets of which the evaluator says something else than the kernel did."""
    different = 0
    for run in record.runs:
        found = judge(run)
        said = zip(
            found.decision.tolist(), found.match_type.tolist(), found.cookie.tolist(), strict=True
        )
        different += sum(one != other for one, other in zip(said, run.told, strict=True))
    return different


def test_the_evaluator_decides_as_the_kernel_did(
    record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\n{sum(len(run.cases) for run in record.runs)} {cells.table(record.seen)}")
    assert differences(record, lambda run: Evaluator(run.policies).judge(columns(run))) == 0


def test_every_kind_of_rule_was_met(record: Record) -> None:
    assert sum(len(run.cases) for run in record.runs) >= LEAST_CASES
    assert sorted(cells.ALL_CELLS - record.seen.keys()) == []


def test_every_outcome_was_met(record: Record) -> None:
    outcomes = Counter((told[0], told[1]) for run in record.runs for told in run.told)
    assert {decision for decision, _ in outcomes} == set(Decision)
    assert {match for decision, match in outcomes if decision} == set(range(7))


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mistake_in_the_evaluator_shows(record: Record, name: str) -> None:
    judge = MUTATIONS[name]
    assert differences(record, lambda run: judge(run.policies, columns(run))) > 0
