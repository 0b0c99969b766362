"""What this node knows of policies, for people who ask: the policies, and judgements of packets.

In: from each round of reconciling the view, the policies in force and what is wrong. Out: messages
of leavitt.Policies. A judgement is made from the policies and the two ends alone, any pods of the
cluster; it touches nothing of what is enforced. Next: server.policy_service.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from api.proto.flow.flow_pb2 import TrafficDirection
from api.proto.leavitt.policy_pb2 import (
    ConsideredRule,
    IdentitiesResponse,
    JudgedParty,
    JudgeResponse,
    KnownIdentity,
    ListPoliciesResponse,
    NetworkPolicy,
    PolicyDecision,
    PolicyJudgement,
    PolicyParty,
    PolicyRule,
    PolicyRuleRef,
    PolicySection,
)
from observer.entities import WORLD_IDENTITY, address_bytes, reserved_labels
from policy.entries import ANY_PROTOCOL, Direction
from policy.explain import Explanation, Question, Side, explain
from policy.subjects import RESERVED_SUBJECTS, Subject, network_labels, network_subject
from policy.words import peer_text, ports_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from policy.rules import Policy, PolicyName, Rule, RuleName, Section
    from policy.subjects import Network
    from server.cluster.objects import Address, ObjectKey, Pod
    from server.view import NodeView

DIRECTIONS: Final = {
    Direction.INGRESS: TrafficDirection.INGRESS,
    Direction.EGRESS: TrafficDirection.EGRESS,
}
DEFAULT_NAMESPACE: Final = "default"


class UnknownPartyError(LookupError):
    """No pod of that name is there, or it has no address of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A round's outcome."""

    view: NodeView
    pods: Mapping[ObjectKey, Pod]
    policies: tuple[Policy, ...]
    revisions: Mapping[PolicyName, int]
    networks: Mapping[Network, int]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """One end of a packet, found."""

    side: Side
    labels: tuple[str, ...]
    name: str
    is_pod: bool
    alike: int = 0
    """Of how many pods it is the first, where a name's beginning was asked."""


class PolicyDesk:
    """Answers from the last round; before the first there is nothing."""

    def __init__(self, *, node_name: str) -> None:
        self._node_name = node_name
        self._known: Known | None = None
        self._refused: Callable[[], Iterable[str]] = tuple

    def hear(self, refused: Callable[[], Iterable[str]]) -> None:
        """Learn whom to ask which objects cannot be used at present."""
        self._refused = refused

    def show(self, known: Known) -> None:
        """Take the outcome of a round."""
        self._known = known

    def policies(self) -> ListPoliciesResponse:
        """List the policies in force."""
        response = ListPoliciesResponse(node_name=self._node_name)
        if self._known is None:
            return response
        pods = [
            (f"{key.namespace}/{key.name}", self._known.view.subjects.get(identity))
            for key, identity in self._pods_by_identity(self._known)
        ]
        for policy in sorted(self._known.policies, key=lambda each: each.name):
            response.policies.append(
                NetworkPolicy(
                    kind=policy.name.kind,
                    namespace=policy.name.namespace,
                    name=policy.name.name,
                    revision=self._known.revisions.get(policy.name, 0),
                    audited=policy.is_audited,
                    sections=[_section(each, pods) for each in policy.sections],
                )
            )
        response.problems.extend([*self._refused(), *self._known.problems])
        return response

    def identities(self) -> IdentitiesResponse:
        """List the identities, with labels and pods."""
        known = self._known
        if known is None:
            return IdentitiesResponse()
        labels = {int(each): reserved_labels(each) for each in RESERVED_SUBJECTS}
        labels |= {identity: network_labels(each) for each, identity in known.networks.items()}
        labels |= known.view.identities
        pods: dict[int, list[str]] = {}
        for key, identity in self._pods_by_identity(known):
            pods.setdefault(identity, []).append(f"{key.namespace}/{key.name}")
        return IdentitiesResponse(
            identities=[
                KnownIdentity(identity=each, labels=labels[each], pods=pods.get(each, ()))
                for each in sorted(labels)
            ]
        )

    def judge(
        self, source: PolicyParty, destination: PolicyParty, protocol: int, port: int
    ) -> JudgeResponse:
        """Judge a packet at both of its ends.

        Raises:
            UnknownPartyError: A pod is not known, or has no address of its own.
            ValueError: An address is none.
        """
        known = self._known
        if known is None:
            raise UnknownPartyError("the cluster is not known yet")
        ends = _Ends(known)
        sender, receiver = ends.find(source), ends.find(destination)
        response = JudgeResponse(source=_judged(sender), destination=_judged(receiver))
        for direction, own, peer, field in (
            (Direction.EGRESS, sender, receiver, response.egress),
            (Direction.INGRESS, receiver, sender, response.ingress),
        ):
            if own.is_pod:
                question = Question(direction, own.side, peer.side, protocol, port)
                field.CopyFrom(_judgement(explain(known.policies, question)))
        return response

    def _pods_by_identity(self, known: Known) -> Iterable[tuple[ObjectKey, int]]:
        for key, pod in sorted(known.pods.items()):
            own = None if pod.host_network else _own_address(known.view, pod)
            if own is not None and (identity := known.view.addresses.get(address_bytes(own))):
                yield key, identity


class _Ends:
    """Finds the ends of packets."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def find(self, party: PolicyParty) -> Party:
        if party.WhichOneof("party") == "pod":
            return self._pod(party.pod)
        return self._address(ip_address(party.address))

    def _pod(self, text: str) -> Party:
        namespace, _, name = text.rpartition("/")
        found = [
            (key, pod)
            for key, pod in sorted(self._known.pods.items())
            if key.namespace == (namespace or DEFAULT_NAMESPACE)
            and key.name.startswith(name)
            and pod.addresses
        ]
        if not found:
            raise UnknownPartyError(f"no pod {namespace or DEFAULT_NAMESPACE}/{name}")
        key, pod = next((each for each in found if each[0].name == name), found[0])
        own = _own_address(self._known.view, pod)
        if own is None:
            raise UnknownPartyError(self._not_its_own(pod))
        at = self._address(own)
        side = at.side._replace(ports=pod.named_ports, is_audited=pod.is_audited)
        return Party(
            side=side,
            labels=at.labels,
            name=f"{key.namespace}/{key.name}",
            is_pod=not pod.host_network,
            alike=0 if key.name == name else len(found),
        )

    def _not_its_own(self, pod: Pod) -> str:
        """Say who has the addresses that the pod claims."""
        owners = []
        for address in pod.addresses:
            there = self._known.view.endpoints.get(address_bytes(address))
            pod_name = there and there.pod_name and f"{there.namespace}/{there.pod_name}"
            owners.append(f"{address} is {pod_name or ('a node' if there else 'nobody')}'s")
        name = f"{pod.key.namespace}/{pod.key.name}"
        return f"{name} has no address of its own: {', '.join(owners)}"

    def _address(self, address: Address) -> Party:
        endpoint = self._known.view.endpoints.get(address_bytes(address))
        if endpoint is not None:
            identity = endpoint.identity
            subject = self._known.view.subjects.get(identity) or RESERVED_SUBJECTS.get(identity)
            side = Side(identity, subject or Subject(labels={}))
            is_pod = bool(endpoint.pod_name)
            name = f"{endpoint.namespace}/{endpoint.pod_name}" if is_pod else str(address)
            if is_pod:
                side = self._with_pod(side, endpoint.namespace, endpoint.pod_name)
            return Party(side=side, labels=endpoint.labels, name=name, is_pod=is_pod)
        around = [
            (network, identity)
            for network, identity in self._known.networks.items()
            if network.version == address.version and ip_network(address).subnet_of(network)  # type: ignore[arg-type]  # the families are the same
        ]
        if not around:
            world = RESERVED_SUBJECTS[WORLD_IDENTITY]
            side, labels = Side(WORLD_IDENTITY, world), reserved_labels(WORLD_IDENTITY)
        else:
            network, identity = max(around, key=lambda each: each[0].prefixlen)
            side, labels = Side(identity, network_subject(network)), network_labels(network)
        return Party(side=side, labels=labels, name=str(address), is_pod=False)

    def _with_pod(self, side: Side, namespace: str, name: str) -> Side:
        for key, pod in self._known.pods.items():
            if (key.namespace, key.name) == (namespace, name):
                return side._replace(ports=pod.named_ports, is_audited=pod.is_audited)
        return side


def _own_address(view: NodeView, pod: Pod) -> Address | None:
    """Choose the first address that is the pod's; of one that shares its node's, the node's.

    A node's address may be unknown here, and then it is of the world, as it is to the datapath.
    """
    owner = ("", "") if pod.host_network else (pod.key.namespace, pod.key.name)
    for address in pod.addresses:
        there = view.endpoints.get(address_bytes(address))
        if there is None and pod.host_network:
            return address
        if there is not None and (there.namespace, there.pod_name) == owner:
            return address
    return None


def _judged(party: Party) -> JudgedParty:
    return JudgedParty(
        name=party.name,
        identity=party.side.identity,
        labels=party.labels,
        alike=party.alike,
    )


def _section(section: Section, pods: list[tuple[str, Subject | None]]) -> PolicySection:
    return PolicySection(
        path=section.path,
        isolates=sorted(DIRECTIONS[each] for each in section.isolates),
        pods=[name for name, subject in pods if subject and section.subject.selects(subject)],
        rules=[_rule(each) for each in section.rules],
    )


def _rule(rule: Rule) -> PolicyRule:
    everything = [each for each in rule.ports if getattr(each, "protocol", None) == ANY_PROTOCOL]
    return PolicyRule(
        path=rule.name.path,
        direction=DIRECTIONS[rule.direction],
        deny=rule.deny,
        peers=[peer_text(each) for each in rule.peers or ()],
        ports=[] if everything else [ports_text(each) for each in rule.ports],
        nobody=rule.peers == (),
    )


def _ref(rule: RuleName) -> PolicyRuleRef:
    kind, namespace, name = rule.policy
    return PolicyRuleRef(kind=kind, namespace=namespace, name=name, path=rule.path)


def _judgement(explanation: Explanation) -> PolicyJudgement:
    verdict = explanation.verdict
    decision = PolicyDecision.POLICY_FREE
    if verdict is not None:
        decision = (
            PolicyDecision.POLICY_AUDITED
            if verdict.is_audited
            else PolicyDecision.POLICY_ALLOWED
            if verdict.allowed
            else PolicyDecision.POLICY_DENIED
        )
    return PolicyJudgement(
        decision=decision,
        match_type=0 if verdict is None else verdict.match_type,
        decided_by=map(_ref, explanation.decided_by),
        considered=[
            ConsideredRule(
                rule=_ref(each.rule.name),
                deny=each.rule.deny,
                audited=each.is_audited,
                peer_matches=each.peer_matches,
                port_matches=each.port_matches,
                reason=each.reason,
                nearest=each is explanation.nearest,
            )
            for each in explanation.considered
        ],
        advice=explanation.advice,
    )
