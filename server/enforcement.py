"""The cluster's policies → what is enforced at this node's endpoints, and what rule cookies mean.

In: policies and a view of the node. Out: `Enforcement`, per identity (endpoints of one identity
have the same policy), and for each cookie the policies that flows name. Nothing is written here.
Next: server.placement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from observer.entities import PolicyRef
from policy.resolve import Resolver, number_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policy.entries import Direction, PolicyEntry
    from policy.resolve import Origin
    from policy.rules import Policy, PolicyName
    from server.pace import Pace
    from server.view import NodeView


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """What is enforced now."""

    directions: Mapping[int, frozenset[Direction]]
    """Identity of a local endpoint → where a policy governs it."""
    entries: Mapping[int, tuple[PolicyEntry, ...]]
    """Identity of a local endpoint → its map entries."""
    rules: Mapping[int, tuple[PolicyRef, ...]]
    """Cookie → policies, by name."""


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
        self._last: tuple[NodeView, Enforcement] | None = None

    async def enforce(
        self, policies: tuple[Policy, ...], view: NodeView, pace: Pace
    ) -> Enforcement:
        """Resolve the policies for the identities of the view's local pods.

        The same policies and the same view give the same object.
        """
        if self._last is not None and self._last[0] is view and policies == self._policies:
            return self._last[1]
        self._learn(policies)
        resolver = Resolver(policies, view.subjects)
        drafts = {}
        for identity in {local.identity for local in view.local}:
            await pace.step()
            drafts[identity] = resolver.draft(view.subjects[identity])
        cookies = number_rules(drafts.values())
        enforcement = Enforcement(
            directions={identity: draft.enforced for identity, draft in drafts.items()},
            entries={identity: draft.entries(cookies) for identity, draft in drafts.items()},
            rules={cookie: self._named(origin) for origin, cookie in cookies.items()},
        )
        self._last = view, enforcement
        return enforcement

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
