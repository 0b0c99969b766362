"""Why a packet would pass or not: each rule that could speak of it, and what would have to change.

In: all policies, the two sides as subjects, a packet. Out: an `Explanation` of one direction. The
decision itself comes from the very entries that the datapath would have (policy.compiler), made for
these two identities alone; the reasons beside it from the rules. No packet is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from policy.compiler import Compiler
from policy.drafting import Profile
from policy.entries import ANY_PROTOCOL, Direction
from policy.lookup import MatchType, Verdict, judge
from policy.ports import PortName
from policy.words import miss_text, ports_text, protocol_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from policy.ports import Ports
    from policy.rules import Policy, Rule, RuleName
    from policy.subjects import NamedPort, Subject


class Side(NamedTuple):
    """One end of a packet."""

    identity: int
    subject: Subject
    ports: tuple[tuple[str, NamedPort], ...] = ()
    """Those that the pod itself has named."""
    is_audited: bool = False


class Question(NamedTuple):
    """A packet at one of its ends."""

    direction: Direction
    own: Side
    """Whose policy is asked."""
    peer: Side
    protocol: int
    port: int
    """Of the destination; of ICMP the type."""

    @property
    def port_text(self) -> str:
        """Write the packet's port and protocol."""
        return f"{self.port}/{protocol_name(self.protocol)}"


class Considered(NamedTuple):
    """A rule, held against the packet."""

    rule: Rule
    is_audited: bool
    peer_matches: bool
    port_matches: bool
    reason: str
    """Why it is not about the packet; empty where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What the policies of one end say of the packet."""

    verdict: Verdict | None
    """None where nothing is enforced."""
    decided_by: tuple[RuleName, ...]
    """The rules that decide, or those that isolate where none is about the packet."""
    considered: tuple[Considered, ...]
    nearest: Considered | None
    """Of the rules that could let it pass the one that misses by least; None where it passes, and
    where it is denied by a rule."""
    advice: str
    """The smallest change that would let it pass, of the nearest rule if there is one that is right
    on one count; empty where it passes."""


def explain(policies: Sequence[Policy], question: Question) -> Explanation:
    """Judge the packet, and say why."""
    own, peer = question.own, question.peer
    compiler = Compiler()
    for _ in compiler.learn(policies, {peer.identity: peer.subject, own.identity: own.subject}):
        pass
    compiled = compiler.compile(Profile(own.identity, own.ports, own.is_audited))
    considered = tuple(_consider(policies, question))
    if question.direction not in compiled.enforced:
        return Explanation(
            verdict=None, decided_by=(), considered=considered, nearest=None, advice=""
        )
    verdict = judge(
        compiled.entries,
        direction=question.direction,
        identity=peer.identity,
        protocol=question.protocol,
        port=question.port,
    )
    decided_by = compiler.rules.get(verdict.cookie, ())
    passes = verdict.allowed and not verdict.is_audited
    nearest = None if passes else _nearest(verdict, considered)
    return Explanation(
        verdict=verdict,
        decided_by=decided_by,
        considered=considered,
        nearest=nearest,
        advice="" if passes else _advice(question, verdict, nearest, decided_by),
    )


def _consider(policies: Sequence[Policy], question: Question) -> Iterator[Considered]:
    own, peer = question.own, question.peer
    names = _by_name(own.ports) if question.direction is Direction.INGRESS else peer.subject.ports
    for policy in policies:
        for section in policy.sections:
            if not section.subject.selects(own.subject):
                continue
            for rule in section.rules:
                if rule.direction is question.direction:
                    yield _held_against(rule, policy, question, names)


def _held_against(
    rule: Rule, policy: Policy, question: Question, names: Mapping[str, frozenset[NamedPort]]
) -> Considered:
    is_peer = rule.peers is None or any(each.selects(question.peer.subject) for each in rule.peers)
    is_port = any(_is_meant(ports, question, names) for ports in rule.ports)
    reasons = []
    if not is_peer:
        missed = [miss_text(each, question.peer.subject) for each in rule.peers or ()]
        reasons.append(f"peer: {'; '.join(missed) or 'it means nobody'}")
    if not is_port:
        wanted = ", ".join(map(ports_text, rule.ports))
        reasons.append(f"port: it is about {wanted}, not {question.port_text}")
    return Considered(rule, policy.is_audited, is_peer, is_port, "; ".join(reasons))


def _is_meant(ports: Ports, question: Question, names: Mapping[str, frozenset[NamedPort]]) -> bool:
    if isinstance(ports, PortName):
        return any(_is_meant(each, question, names) for each in ports.among(names))
    if ports.protocol not in (ANY_PROTOCOL, question.protocol):
        return False
    return ports.protocol == ANY_PROTOCOL or ports.first <= question.port <= ports.last


def _by_name(ports: tuple[tuple[str, NamedPort], ...]) -> Mapping[str, frozenset[NamedPort]]:
    return Profile(0, ports).named_ports()


def _nearest(verdict: Verdict, considered: Sequence[Considered]) -> Considered | None:
    """Choose the rule to change: rather one that misses the port than one that misses the peer.

    What audited policies allow counts for nothing where one that is enforced isolates, and then
    the verdict is not audited.
    """
    if verdict.match_type is not MatchType.NONE:
        return None
    able = [
        each
        for each in considered
        if not each.rule.deny
        and (verdict.is_audited or not each.is_audited)
        and not (each.peer_matches and each.port_matches)
    ]
    return max(able, key=lambda each: (each.peer_matches, each.port_matches), default=None)


def _advice(
    question: Question,
    verdict: Verdict,
    nearest: Considered | None,
    decided_by: Sequence[RuleName],
) -> str:
    if verdict.match_type is not MatchType.NONE:
        named = ", ".join(map(rule_text, decided_by))
        return f"narrow {named}, or take it away: what is denied no other rule can allow"
    if nearest is not None and nearest.peer_matches:
        return f"add port {question.port_text} to {rule_text(nearest.rule.name)}"
    if nearest is not None and nearest.port_matches:
        return f"add the peer to {rule_text(nearest.rule.name)}: {_peer_words(question)}"
    word = "from" if question.direction is Direction.INGRESS else "to"
    policy = (
        f"{decided_by[0].policy.name} ({decided_by[0].policy.kind})" if decided_by else "a policy"
    )
    kind = question.direction.name.lower()
    return (
        f"add to {policy} an {kind} rule {word} {_peer_words(question)}, port {question.port_text}"
    )


def rule_text(rule: RuleName) -> str:
    """Name a rule: `landing (CiliumNetworkPolicy) spec.ingress[0]`."""
    return f"{rule.policy.name} ({rule.policy.kind}) {rule.path}"


def _peer_words(question: Question) -> str:
    """Name the peer as a rule would: by what sets it apart."""
    subject = question.peer.subject
    if subject.network is not None:
        return str(subject.network)
    own = {
        key: value
        for key, value in sorted(subject.labels.items())
        if not key.startswith(("k8s:io.cilium.", "k8s:io.kubernetes."))
    }
    return ", ".join(f"{key}={value}" if value else key for key, value in own.items()) or "it"
