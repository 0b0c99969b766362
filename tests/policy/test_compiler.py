"""Entries decide as the policies say: against a plain reading of the documents."""

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from policy.compiler import Compiler
from policy.entries import Direction
from policy.lookup import MatchType, Verdict, judge
from tests.policy import oracle
from tests.policy.documents import DOCUMENTS, PACKETS, PARTIES, PODS
from tests.policy.world import IDENTITIES, SUBJECTS, compiled, learned, profile, read

if TYPE_CHECKING:
    from policy.subjects import Subject

CASES = st.lists(
    st.tuples(st.sampled_from(PODS), st.sampled_from(sorted(PARTIES)), st.booleans(), PACKETS),
    min_size=1,
    max_size=8,
)


def outcome(verdict: Verdict) -> str:
    if verdict.is_audited:
        return "audit"
    if verdict.allowed:
        return "allow"
    return "deny" if verdict.match_type else "isolated"


def check(
    compiler: Compiler,
    documents: list[dict[str, Any]],
    cases: list[tuple[str, str, bool, tuple[int, int]]],
    audited: bool,
) -> None:
    for name, peer, ingress, packet in cases:
        direction = Direction.INGRESS if ingress else Direction.EGRESS
        policy = compiler.compile(profile(name, is_audited=audited))
        expected = oracle.judge(
            documents,
            ingress=ingress,
            parties=(PARTIES[name], PARTIES[peer]),
            packet=packet,
            endpoint_is_audited=audited,
        )
        if expected.what == "free":
            assert direction not in policy.enforced
            continue
        assert direction in policy.enforced
        found = judge(
            policy.entries,
            direction=direction,
            identity=IDENTITIES[peer],
            protocol=packet[0],
            port=packet[1],
        )
        assert outcome(found) == expected.what
        rules = compiler.rules.get(found.cookie, ())
        named = {rule.policy.name for rule in rules}
        assert named <= expected.policies
        assert bool(named) == bool(expected.policies)
        # of two entries that deny, for a peer and for everybody, one is named: it decides
        if expected.what == "isolated":
            assert named == expected.policies


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS, CASES, st.booleans())
def test_verdicts_are_those_of_the_documents(
    documents: list[dict[str, Any]],
    cases: list[tuple[str, str, bool, tuple[int, int]]],
    audited: bool,
) -> None:
    check(learned(documents), documents, cases, audited)


@settings(max_examples=60, deadline=None)
@given(st.lists(DOCUMENTS, min_size=2, max_size=4), CASES, st.sets(st.sampled_from(PODS)))
def test_what_has_changed_is_as_if_it_had_always_been_so(
    states: list[list[dict[str, Any]]],
    cases: list[tuple[str, str, bool, tuple[int, int]]],
    gone: set[str],
) -> None:
    compiler = Compiler()
    without: dict[int, Subject] = {
        identity: subject
        for identity, subject in SUBJECTS.items()
        if identity not in {IDENTITIES[name] for name in gone}
    }
    for number, documents in enumerate(states):
        learned(documents, compiler, without if number % 2 else SUBJECTS)
        if number % 2 == 0:
            check(compiler, documents, cases, audited=False)
    fresh = learned(states[-1], None, without if len(states) % 2 == 0 else SUBJECTS)
    for name in set(PODS) - gone:
        found, expected = compiler.compile(profile(name)), fresh.compile(profile(name))
        assert found.enforced == expected.enforced
        assert found.entries == expected.entries


def test_who_stopped_half_way_learns_it_all_the_next_time() -> None:
    first = policy("p", {"endpointSelector": {}, "ingress": [{}]})
    second = policy("q", {"endpointSelector": {}, "ingress": [{"fromEntities": ["cluster"]}]})
    fresh = learned([first, second]).compile(profile("web"))
    for steps in range(len(SUBJECTS) + 3):
        compiler = learned([first], None, {1001: SUBJECTS[1001]})
        learning = compiler.learn([read(first), read(second)], SUBJECTS)
        for _ in zip(range(steps), learning, strict=False):
            pass
        learned([first, second], compiler)
        assert compiler.compile(profile("web")) == fresh


def policy(name: str, spec: dict[str, Any], kind: str = "CiliumNetworkPolicy") -> dict[str, Any]:
    version = "networking.k8s.io/v1" if kind == "NetworkPolicy" else "cilium.io/v2"
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def verdict(
    documents: list[dict[str, Any]], name: str, peer: str, protocol: int, port: int
) -> Verdict:
    _, found = compiled(documents, name)
    return judge(
        found.entries,
        direction=Direction.INGRESS,
        identity=IDENTITIES[peer],
        protocol=protocol,
        port=port,
    )


def test_match_types() -> None:
    web = {"fromEndpoints": [{"matchLabels": {"app": "web"}}]}
    port = {"toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}]}]}
    every = {"toPorts": [{"ports": [{"port": "0", "protocol": "UDP"}]}]}

    def match(*rules: dict[str, Any], peer: str = "web", protocol: int = 6) -> MatchType:
        spec = {"endpointSelector": {}, "ingress": list(rules)}
        return verdict([policy("p", spec)], "db", peer, protocol, 80).match_type

    assert match(web) == MatchType.L3_ONLY
    assert match({**web, **port}) == MatchType.L3_L4
    assert match({**web, **every}, protocol=17) == MatchType.L3_PROTO
    assert match(port) == MatchType.L4_ONLY
    assert match(every, protocol=17) == MatchType.PROTO_ONLY
    assert match({"fromEntities": ["all"]}) == MatchType.ALL
    assert match({}) == MatchType.NONE
    assert match({}, peer="host") == MatchType.L3_ONLY


def test_the_host_passes_unless_a_rule_denies_it() -> None:
    spec: dict[str, Any] = {"endpointSelector": {}, "ingress": [{}]}
    assert verdict([policy("p", spec)], "db", "host", 6, 80).allowed
    spec["ingressDeny"] = [{"fromEntities": ["host"]}]
    assert not verdict([policy("p", spec)], "db", "host", 6, 80).allowed


def test_a_policy_that_selects_others_changes_nothing_here() -> None:
    compiler = learned([policy("p", {"endpointSelector": {}, "ingress": [{}]})])
    before = compiler.compile(profile("web"))
    elsewhere = policy("q", {"endpointSelector": {}, "ingress": [{}]})
    elsewhere["metadata"]["namespace"] = "other"
    learned([policy("p", {"endpointSelector": {}, "ingress": [{}]}), elsewhere], compiler)
    assert compiler.compile(profile("web")) is before


def test_cookies_of_what_is_gone_are_forgotten() -> None:
    compiler = learned([policy("p", {"endpointSelector": {}, "ingress": [{}]})])
    compiler.compile(profile("web"))
    compiler.compile(profile("db"))
    assert len(compiler.rules) == 1
    compiler.keep_only([profile("db")])
    assert len(compiler.rules) == 1
    learned([], compiler)
    assert compiler.compile(profile("db")).entries == ()
    assert not compiler.rules
