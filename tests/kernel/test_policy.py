"""The kernel's decisions against policy.lookup, on random rules and packets."""

import random
from dataclasses import replace

import pytest

from policy.entries import NO_RULE, Direction, PolicyEntry
from policy.lookup import judge
from tests.kernel.bed import HOST, Bed, rule
from tests.kernel.frames import ICMP, SCTP, SYN, TCP, UDP, Frame

pytestmark = pytest.mark.kernel

PORTS = (80, 81, 8080, 8081, 443, 53)


def random_rules(random_: random.Random, bed: Bed) -> list[PolicyEntry]:
    """As policy.compiler leaves them: in one identity nothing lies below the more severe."""
    made: dict[tuple[int, int, int, int], PolicyEntry] = {}
    for cookie in range(1, random_.randint(2, 14)):
        protocol = random_.choice([0, TCP, UDP, SCTP])
        bits = random_.choice([0, 4, 12, 15, 16]) if protocol else 0
        port = random_.choice(PORTS) & (0xFFFF << (16 - bits)) & 0xFFFF
        entry = rule(
            random_.choice([Direction.INGRESS, Direction.EGRESS]),
            identity=random_.choice([0, bed.a.identity, bed.b.identity, 77]),
            protocol=protocol,
            port=port,
            bits=bits,
            deny=(severity := random_.choice([0, 0, 0, 1, 2])) > 0,
            audit=severity == 1,
            cookie=cookie,
        )
        made[entry.direction, entry.identity, entry.protocol << 5 | bits, port] = entry
    entries = list(made.values())
    kept = [e for e in entries if not any(covers(d, e) for d in entries if d.severity > e.severity)]
    if random_.random() < 0.7:
        audit = random_.random() < 0.4
        kept += [
            rule(direction, identity=NO_RULE, deny=True, audit=audit, cookie=99)
            for direction in Direction
        ]
    return kept


def covers(wide: PolicyEntry, narrow: PolicyEntry) -> bool:
    return (
        wide.direction == narrow.direction
        and wide.identity == narrow.identity
        and wide.prefix_bits <= narrow.prefix_bits
        and wide.matches(
            identity=narrow.identity, protocol=narrow.protocol or wide.protocol, port=narrow.port
        )
    )


def test_the_kernel_decides_as_the_evaluator(bed: Bed) -> None:
    random_ = random.Random(3)
    bed.enforce(bed.a, egress=True)
    bed.enforce(bed.b, ingress=True)
    outcomes = set()
    for _ in range(60):
        rules = {pod.name: random_rules(random_, bed) for pod in (bed.a, bed.b)}
        for pod in (bed.a, bed.b):
            bed.rules(pod, *rules[pod.name])
        for _ in range(8):
            protocol, port = random_.choice([TCP, UDP, SCTP]), random_.choice([*PORTS, 9, 8083])
            bed.clear_connections()
            frame = Frame(
                source=bed.a.ipv4,
                destination=bed.b.ipv4,
                protocol=protocol,
                source_port=999,
                destination_port=port,
                flags=SYN,
            )
            bed.run("from_endpoint", bed.a, frame.encode())
            events = [event for event in bed.take() if event.kind == "verdict"]
            sides = (
                (Direction.EGRESS, rules["a"], bed.b.identity),
                (Direction.INGRESS, rules["b"], bed.a.identity),
            )
            for event, (direction, entries, peer) in zip(events, sides, strict=False):
                expected = judge(
                    entries, direction=direction, identity=peer, protocol=protocol, port=port
                )
                outcomes.add((expected.allowed, expected.is_audited, expected.match_type))
                found = (event.direction, event.verdict == 0, event.match, event.cookie)
                assert found == (
                    direction,
                    expected.allowed,
                    expected.match_type,
                    expected.cookie,
                )
                assert event.is_audited == expected.is_audited
                if not expected.allowed:
                    assert event.verdict == (-181 if expected.match_type else -133)
            assert len(events) == (2 if events[0].verdict == 0 else 1)
    assert len(outcomes) > 14


HOST_CASES = {
    "nothing": ([], "allow"),
    "isolated": ([rule(Direction.INGRESS, identity=NO_RULE, deny=True)], "allow"),
    "denied": ([rule(Direction.INGRESS, identity=1, deny=True)], "deny"),
    "audited": ([rule(Direction.INGRESS, identity=1, deny=True, audit=True)], "audit"),
}


@pytest.mark.parametrize("name", HOST_CASES)
def test_the_host_reaches_its_pods_unless_a_rule_denies_it(bed: Bed, name: str) -> None:
    entries, expected = HOST_CASES[name]
    bed.enforce(bed.b, ingress=True)
    bed.rules(bed.b, *entries)
    frame = Frame(source=HOST, destination=bed.b.ipv4, protocol=UDP, destination_port=53)
    bed.run("to_endpoint", bed.b, frame.encode())
    verdict = next(event for event in bed.take() if event.kind == "verdict")
    found = "deny" if verdict.verdict else "audit" if verdict.is_audited else "allow"
    assert found == expected


@pytest.mark.parametrize("kind", [0, 3, 8])
def test_a_type_of_icmp_is_judged_as_a_port(bed: Bed, kind: int) -> None:
    bed.enforce(bed.b, ingress=True)
    bed.rules(bed.b, rule(Direction.INGRESS, protocol=ICMP, port=8, bits=16, cookie=5))
    frame = Frame(source=bed.a.ipv4, destination=bed.b.ipv4, protocol=ICMP, icmp_type=kind)
    bed.run("from_endpoint", bed.a, frame.encode())
    [verdict, *_] = [event for event in bed.take() if event.kind == "verdict"]
    assert (verdict.verdict == 0) == (kind == 8)
    assert verdict.cookie == (5 if kind == 8 else 0)


def test_replace_leaves_exactly_the_new_rules(bed: Bed) -> None:
    table = bed.datapath._table("policy")
    first = [rule(Direction.INGRESS, identity=i, cookie=i) for i in range(300, 340)]
    second = [rule(Direction.INGRESS, identity=i, cookie=i + 1) for i in range(320, 360)]
    bed.rules(bed.a, *first)
    bed.rules(bed.b, *second)
    assert len(table.read()) == 80
    bed.rules(bed.a, *second)
    keys = table.read()
    assert len(keys) == 80
    bed.rules(bed.a)
    bed.rules(bed.b)
    assert table.read() == {}


def test_removing_an_endpoint_leaves_nothing_of_it(bed: Bed) -> None:
    bed.rules(bed.a, rule(Direction.INGRESS))
    bed.datapath.remove_endpoint(bed.a.endpoint_id)
    assert bed.a.endpoint_id not in bed.datapath.endpoint_ids
    assert bed.datapath._table("policy").read() == {}
    assert len(bed.datapath._table("endpoints").read()) == 2
    assert len(bed.datapath._table("devices").read()) == 1
    frame = Frame(source=bed.a.ipv4, destination=bed.b.ipv4, protocol=UDP)
    bed.run("from_endpoint", bed.a, frame.encode())
    [event] = bed.take()
    assert (event.name, event.endpoint) == ("drop 203", 0)
    bed.enforce(bed.a)


def test_an_address_that_moved_to_another_endpoint_stays(bed: Bed) -> None:
    newcomer = replace(bed.a.entry(), endpoint_id=555, ifindex=bed.a.ifindex + 1000)
    bed.datapath.upsert_endpoint(newcomer)
    bed.datapath.remove_endpoint(bed.a.endpoint_id)
    assert len(bed.datapath._table("endpoints").read()) == 4
    bed.datapath.remove_endpoint(555)
    assert len(bed.datapath._table("endpoints").read()) == 2
    bed.enforce(bed.a)
