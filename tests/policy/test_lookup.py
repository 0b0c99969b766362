"""The look-up order, case by case."""

import pytest

from policy.entries import NO_RULE, Direction, PolicyEntry
from policy.lookup import MatchType, Verdict, judge

TCP, UDP, ICMP = 6, 17, 1
EMPIRE, ALLIANCE = 1000, 2000


def entry(
    *,
    identity: int = 0,
    protocol: int = 0,
    port: int = 0,
    bits: int | None = None,
    deny: bool = False,
    audit: bool = False,
    cookie: int = 7,
    direction: Direction = Direction.INGRESS,
) -> PolicyEntry:
    return PolicyEntry(
        direction=direction,
        identity=identity,
        protocol=protocol,
        port=port,
        port_prefix_bits=(16 if port else 0) if bits is None else bits,
        deny=deny,
        audit=audit,
        cookie=cookie,
    )


def judged(
    *entries: PolicyEntry, identity: int = EMPIRE, protocol: int = TCP, port: int = 80
) -> Verdict:
    return judge(
        entries, direction=Direction.INGRESS, identity=identity, protocol=protocol, port=port
    )


@pytest.mark.parametrize(
    ("found", "match_type"),
    [
        pytest.param(entry(identity=EMPIRE), MatchType.L3_ONLY, id="l3-only"),
        pytest.param(entry(identity=EMPIRE, protocol=TCP), MatchType.L3_PROTO, id="l3-proto"),
        pytest.param(entry(identity=EMPIRE, protocol=TCP, port=80), MatchType.L3_L4, id="l3-l4"),
        pytest.param(
            entry(identity=EMPIRE, protocol=TCP, port=64, bits=10), MatchType.L3_L4, id="l3-range"
        ),
        pytest.param(entry(), MatchType.ALL, id="all"),
        pytest.param(entry(protocol=TCP), MatchType.PROTO_ONLY, id="proto-only"),
        pytest.param(entry(protocol=TCP, port=80), MatchType.L4_ONLY, id="l4-only"),
    ],
)
def test_match_type_of_the_entry_that_decides(found: PolicyEntry, match_type: MatchType) -> None:
    assert judged(found) == Verdict(allowed=True, match_type=match_type, cookie=7)


@pytest.mark.parametrize(
    "missed",
    [
        pytest.param(entry(identity=ALLIANCE), id="identity"),
        pytest.param(entry(protocol=UDP), id="protocol"),
        pytest.param(entry(protocol=TCP, port=81), id="port"),
        pytest.param(entry(protocol=TCP, port=96, bits=11), id="block"),
        pytest.param(entry(direction=Direction.EGRESS), id="direction"),
    ],
)
def test_an_entry_that_does_not_match_leaves_the_default(missed: PolicyEntry) -> None:
    assert judged(missed) == Verdict(allowed=False, match_type=MatchType.NONE, cookie=0)


def test_more_bits_of_protocol_and_port_decide_over_the_identity() -> None:
    verdict = judged(entry(identity=EMPIRE, cookie=1), entry(protocol=TCP, port=80, cookie=2))
    assert verdict == Verdict(allowed=True, match_type=MatchType.L4_ONLY, cookie=2)


def test_at_a_tie_the_identity_decides() -> None:
    verdict = judged(
        entry(protocol=TCP, port=80, cookie=2),
        entry(identity=EMPIRE, protocol=TCP, port=80, cookie=1),
    )
    assert verdict == Verdict(allowed=True, match_type=MatchType.L3_L4, cookie=1)


@pytest.mark.parametrize("identity", [0, EMPIRE])
def test_deny_decides_over_a_longer_allow_of_the_other_step(identity: int) -> None:
    allow = entry(identity=EMPIRE - identity, protocol=TCP, port=80, cookie=1)
    deny = entry(identity=identity, deny=True, cookie=2)
    assert judged(allow, deny).cookie == 2
    assert not judged(allow, deny).allowed


def test_icmp_has_no_port_and_needs_a_rule_without_one() -> None:
    assert not judged(entry(protocol=TCP, port=80), protocol=ICMP, port=0).allowed
    assert judged(entry(identity=EMPIRE), protocol=ICMP, port=0).allowed


def test_the_host_reaches_its_endpoints_unless_a_rule_denies_it() -> None:
    ingress, egress = (
        judge([], direction=direction, identity=1, protocol=TCP, port=80) for direction in Direction
    )
    assert ingress == Verdict(allowed=True, match_type=MatchType.L3_ONLY, cookie=0)
    assert not egress.allowed
    assert judged(entry(deny=True, cookie=3), identity=1) == Verdict(
        allowed=False, match_type=MatchType.ALL, cookie=3
    )
    assert judged(entry(identity=NO_RULE, deny=True), identity=1).allowed


@pytest.mark.parametrize("audit", [False, True])
def test_what_no_rule_is_about_is_denied_by_those_who_isolate(audit: bool) -> None:
    default = entry(identity=NO_RULE, deny=True, audit=audit, cookie=9)
    assert judged(default) == Verdict(
        allowed=audit, match_type=MatchType.NONE, cookie=9, is_audited=audit
    )
    assert judged(default, entry(identity=EMPIRE)).cookie == 7


@pytest.mark.parametrize(
    ("own", "anyone", "decides"),
    [
        pytest.param("allow", "audit", "anyone", id="audit over allow"),
        pytest.param("audit", "allow", "own", id="audit over longer allow"),
        pytest.param("deny", "audit", "own", id="deny over longer audit"),
        pytest.param("audit", "deny", "anyone", id="deny over audit"),
    ],
)
def test_the_more_severe_decides(own: str, anyone: str, decides: str) -> None:
    said = {
        "own": entry(identity=EMPIRE, deny=own != "allow", audit=own == "audit", cookie=1),
        "anyone": entry(
            protocol=TCP, port=80, deny=anyone != "allow", audit=anyone == "audit", cookie=2
        ),
    }
    verdict = judged(*said.values())
    assert verdict.cookie == said[decides].cookie
    assert verdict.is_audited == said[decides].audit
    assert verdict.allowed == (not said[decides].deny or said[decides].audit)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"protocol": TCP, "port": 80, "bits": 17}, "need 0..16 port bits, found 17"),
        ({"protocol": TCP, "port": 81, "bits": 15}, "15 bits do not hold port 81"),
        ({"protocol": TCP, "port": 65536, "bits": 16}, "16 bits do not hold port 65536"),
        ({"port": 80, "bits": 16}, "any protocol has no port 80"),
        ({"audit": True}, "only a denial can be told instead of done"),
    ],
)
def test_entries_that_are_no_block_are_refused(fields: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        entry(**fields)  # type: ignore[arg-type] # the table mixes the fields' types
