"""The cluster's policies → what is enforced at this node's endpoints, and what rule cookies mean.

In: policies and a view of the node. Out: `Enforcement`: the entries of each local pod, the networks
outside that policies tell apart, each with an identity of this node's own, and for each cookie the
policies that flows name. Nothing is written here. Next: server.placement.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING, NamedTuple

from observer.entities import HOST_IDENTITY, PolicyRef, address_text
from policy.compiler import Compiler, EndpointPolicy, TooManyEntriesError
from policy.drafting import Profile
from policy.entries import Direction
from policy.networks import asks_for_apiserver, named_networks
from policy.numbering import assign_numbers
from policy.reserved import Reserved
from policy.subjects import (
    RESERVED_SUBJECTS,
    Subject,
    network_labels,
    network_subject,
    world_identity,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from policy.porttable import Origin
    from policy.rules import Policy, PolicyName
    from policy.subjects import Network
    from server.identities import LabelSet
    from server.pace import Pace
    from server.view import LocalPod, NodeView

FIRST_NETWORK_IDENTITY = (1 << 24) + 1
LAST_NETWORK_IDENTITY = (1 << 25) - 1
"""Beyond the 24 bits that a tunnel has room for: they mean something on this node alone."""
DENY_ALL = EndpointPolicy(enforced=frozenset(Direction), entries=())
"""Where the policy of a new pod cannot be made: it has rules, so it must not be open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """What is enforced now."""

    policies: Mapping[Profile, EndpointPolicy]
    """Of all local pods."""
    rules: Mapping[int, tuple[PolicyRef, ...]]
    """Cookie → policies, by name."""
    networks: Mapping[Network, int] = field(default_factory=dict)
    """Addresses outside the cluster → identity; of an address the longest network counts."""
    identities: Mapping[int, LabelSet] = field(default_factory=dict)
    """Labels of those identities."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Pods whose policy could not be made, and is still the one before → why."""
    is_settled: bool = True
    """False: entries about identities that are just gone are still there; ask once more."""

    def of(self, pod: LocalPod) -> EndpointPolicy:
        """Give the policy of a local pod."""
        return self.policies[profile_of(pod)]


def profile_of(pod: LocalPod) -> Profile:
    """Say what decides which policy a pod has."""
    return Profile(pod.identity, pod.pod.named_ports, pod.pod.is_audited)


class PolicyChange(NamedTuple):
    """A policy that is new or different, or gone."""

    policy: Policy
    revision: int
    is_deleted: bool


class PolicyBook:
    """Works out what is enforced, and knows since which revision each policy is as it is."""

    def __init__(self) -> None:
        self.revision = 1
        """Grows with every change of the set of policies."""
        self._refs: dict[PolicyName, PolicyRef] = {}
        self._policies: tuple[Policy, ...] = ()
        self._changes: list[PolicyChange] = []
        self._last: tuple[NodeView, tuple[Policy, ...], Enforcement] | None = None
        self.compiler = Compiler()
        """Knows policies and identities as of the last round."""
        self._subjects: dict[int, Subject] = {}

    @property
    def revisions(self) -> Mapping[PolicyName, int]:
        """Since which revision each policy is as it is."""
        return {name: ref.revision for name, ref in self._refs.items()}

    @property
    def networks(self) -> Mapping[Network, int]:
        """Networks outside the cluster with their identities, as last given out."""
        return {} if self._last is None else self._last[2].networks

    async def enforce(
        self, policies: tuple[Policy, ...], view: NodeView, pace: Pace
    ) -> Enforcement:
        """Compile the policies for the view's local pods.

        Ask again, and write each answer, until one is settled: a change of networks takes steps, so
        that at no moment an address is taken for one of another network. The same policies and the
        same view then give the same object.
        """
        if self._last is not None and self._last[0] is view and self._last[1] == policies:
            last = self._last[2]
            if last.is_settled:
                return last
        in_force, outside = self._next_step(policies, view)
        self._learn(in_force)
        networks = _number(outside)
        apiserver = _apiserver_networks(view)
        subjects = {
            **_reserved_subjects(view),
            **{
                identity: network_subject(network, is_apiserver=network in apiserver)
                for network, identity in networks.items()
            },
            **view.subjects,
        }
        # Who is just gone is known for one step more: an address that has another identity now
        # must find the entries of both until the map of addresses is written.
        before, self._subjects = self._subjects, subjects
        for _ in self.compiler.learn(in_force, before | subjects):
            await pace.step()
        problems: dict[str, str] = {}
        found = {}
        for pod in view.local:
            found[profile_of(pod)] = await self._compile(pod, problems, pace)
        self.compiler.keep_only(found)
        enforcement = Enforcement(
            policies=found,
            rules=await self._named_rules(pace),
            networks=networks,
            identities={
                identity: network_labels(network, is_apiserver=network in apiserver)
                for network, identity in networks.items()
            },
            problems=problems,
            is_settled=(
                in_force == policies
                and outside == _wanted_networks(policies, view)
                and before.keys() <= subjects.keys()
            ),
        )
        self._last = view, in_force, enforcement
        return enforcement

    def _next_step(
        self, policies: tuple[Policy, ...], view: NodeView
    ) -> tuple[tuple[Policy, ...], frozenset[Network]]:
        """Say which policies are in force next, and which networks are told apart.

        First the networks of the new policies get their identities, under the old policies, to
        whom they say nothing new. Then the policies change, at last the old networks go.
        """
        wanted = _wanted_networks(policies, view)
        if self._last is None:
            return policies, wanted
        in_force, known = self._last[1], frozenset(self._last[2].networks)
        if in_force == policies:
            return policies, wanted
        return (policies, known) if wanted <= known else (in_force, known | wanted)

    async def _compile(self, pod: LocalPod, problems: dict[str, str], pace: Pace) -> EndpointPolicy:
        profile = profile_of(pod)
        await pace.step()
        try:
            for _ in self.compiler.prepare(profile):
                await pace.step()
            return self.compiler.compile(profile)
        except TooManyEntriesError as error:
            problems[str(pod.pod.key)] = str(error)
        return DENY_ALL if self._last is None else self._last[2].policies.get(profile, DENY_ALL)

    async def _named_rules(self, pace: Pace) -> dict[int, tuple[PolicyRef, ...]]:
        named: dict[int, tuple[PolicyRef, ...]] = {}
        async for part in pace.slices(self.compiler.rules.items()):
            named |= {cookie: self._named(origin) for cookie, origin in part}
        return named

    def take_changes(self) -> list[PolicyChange]:
        """Return how policies changed since the last call, once."""
        changes, self._changes = self._changes, []
        return changes

    def _learn(self, policies: tuple[Policy, ...]) -> None:
        if policies == self._policies:
            return
        self.revision += 1
        before = {policy.name: policy for policy in self._policies}
        known, self._refs = self._refs, {}
        for policy in policies:
            if before.get(policy.name) == policy:
                self._refs[policy.name] = known[policy.name]
                continue
            self._refs[policy.name] = PolicyRef(
                kind=policy.name.kind,
                namespace=policy.name.namespace,
                name=policy.name.name,
                labels=policy.labels,
                revision=self.revision,
            )
            self._changes.append(PolicyChange(policy, self.revision, is_deleted=False))
        for name, policy in before.items():
            if name not in self._refs:
                self._changes.append(PolicyChange(policy, self.revision, is_deleted=True))
        self._policies = policies

    def _named(self, origin: Origin) -> tuple[PolicyRef, ...]:
        return tuple(self._refs[name] for name in sorted({rule.policy for rule in origin}))


def _wanted_networks(policies: tuple[Policy, ...], view: NodeView) -> frozenset[Network]:
    """Find the networks that must be told apart from what is around them."""
    named = named_networks(policies)
    return named | _apiserver_networks(view) if asks_for_apiserver(policies) else named


def _apiserver_networks(view: NodeView) -> frozenset[Network]:
    """Give the addresses of the API server at which no node or pod is, as networks of one."""
    outside = view.apiserver - view.addresses.keys()
    return frozenset(ip_network(address_text(address)) for address in outside)


def _reserved_subjects(view: NodeView) -> dict[int, Subject]:
    """Give the reserved identities; this node may have the API server on it."""
    found = dict(RESERVED_SUBJECTS)
    if any(view.addresses.get(address) == HOST_IDENTITY for address in view.apiserver):
        labels = (Reserved.HOST.label, Reserved.KUBE_APISERVER.label)
        found[HOST_IDENTITY] = Subject(labels=dict.fromkeys(labels, ""))
    return found


def _number(networks: Iterable[Network]) -> dict[Network, int]:
    """Give each network an identity; all addresses of a family are half of the world."""
    by_name = {str(network): network for network in networks}
    numbers = assign_numbers(
        (name for name, network in by_name.items() if network.prefixlen),
        first=FIRST_NETWORK_IDENTITY,
        last=LAST_NETWORK_IDENTITY,
    )
    return {
        network: numbers[name] if network.prefixlen else int(world_identity(network))
        for name, network in by_name.items()
    }
