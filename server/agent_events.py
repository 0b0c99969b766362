"""What the agent did, as Hubble's agent events.

In: calls of those who did it, once it is done. Out: flow.AgentEvent messages for the agent log.
Who has no log (a replay, which does nothing) gives `NoLog`.
"""

from __future__ import annotations

import time
from ipaddress import IPV4LENGTH, IPV6LENGTH
from typing import TYPE_CHECKING, Final, Protocol

from api.proto.flow.flow_pb2 import (
    AgentEvent,
    AgentEventType,
    EndpointUpdateNotification,
    IPCacheNotification,
    PolicyUpdateNotification,
    TimeNotification,
)
from observer.entities import address_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from observer.entities import Endpoint
    from policy.rules import Policy
    from server.view import NodeView

_NS_PER_S: Final = 1_000_000_000


class Log(Protocol):
    """Where events go: observer.agent_log.AgentLog."""

    def add(self, events: Iterable[AgentEvent]) -> None:
        """Take events that happened now."""


class NoLog:
    """For those whom nobody asks what they do."""

    def add(self, events: Iterable[AgentEvent]) -> None:
        """Forget them."""


class AgentEvents:
    """Tells what was done."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._at: Mapping[bytes, Endpoint] = {}
        self._at_before: Mapping[bytes, Endpoint] = {}
        self._view: NodeView | None = None
        self._local: dict[int, EndpointUpdateNotification] = {}
        self._local_before: dict[int, EndpointUpdateNotification] = {}
        """Of the view before: who goes is told with the names that it had."""

    def started(self) -> None:
        """Tell that this process observes from now on."""
        now = TimeNotification()
        now.time.seconds, now.time.nanos = divmod(time.time_ns(), _NS_PER_S)
        self._log.add([AgentEvent(type=AgentEventType.AGENT_STARTED, agent_start=now)])

    def see(self, view: NodeView) -> None:
        """Learn who is where; what is told next is about this view."""
        if view is self._view:
            return
        self._view, self._at_before, self._at = view, self._at, view.endpoints
        self._local_before = self._local
        self._local = {
            local.endpoint_id: EndpointUpdateNotification(
                id=local.endpoint_id,
                labels=view.identities[local.identity],
                namespace=local.pod.key.namespace,
                pod_name=local.pod.key.name,
            )
            for local in view.local
        }

    def endpoint_created(self, endpoint_id: int) -> None:
        """Tell that the datapath has a new endpoint."""
        self._tell_endpoint(AgentEventType.ENDPOINT_CREATED, endpoint_id)

    def endpoint_deleted(self, endpoint_id: int) -> None:
        """Tell that it has it no more; of one that an earlier process left only the id is known."""
        self._tell_endpoint(AgentEventType.ENDPOINT_DELETED, endpoint_id)

    def policy_updated(self, policy: Policy, revision: int) -> None:
        """Tell that a policy is enforced as it is now."""
        self._tell_policy(AgentEventType.POLICY_UPDATED, policy, revision)

    def policy_deleted(self, policy: Policy, revision: int) -> None:
        """Tell that a policy is enforced no more."""
        self._tell_policy(AgentEventType.POLICY_DELETED, policy, revision)

    def addresses_upserted(
        self, identities: Mapping[bytes, int], before: Mapping[bytes, int]
    ) -> None:
        """Tell which identities addresses (16 bytes) have now, and which they had `before`."""
        self._log.add(
            AgentEvent(
                type=AgentEventType.IPCACHE_UPSERTED,
                ipcache_update=self._address(address, identity, before.get(address)),
            )
            for address, identity in identities.items()
        )

    def address_deleted(self, address: bytes, identity: int) -> None:
        """Tell that an address is nobody's; `identity` is the one it had."""
        notice = self._address(address, identity, None)
        self._log.add([AgentEvent(type=AgentEventType.IPCACHE_DELETED, ipcache_update=notice)])

    def networks_upserted(
        self,
        identities: Mapping[IPv4Network | IPv6Network, int],
        before: Mapping[IPv4Network | IPv6Network, int],
    ) -> None:
        """Tell which identities networks outside the cluster have now."""
        for network, identity in identities.items():
            notice = IPCacheNotification(cidr=str(network), identity=identity)
            if network in before:
                notice.old_identity.value = before[network]
            self._log.add([AgentEvent(type=AgentEventType.IPCACHE_UPSERTED, ipcache_update=notice)])

    def network_deleted(self, network: IPv4Network | IPv6Network, identity: int) -> None:
        """Tell that a network has none any more; `identity` is the one it had."""
        notice = IPCacheNotification(cidr=str(network), identity=identity)
        self._log.add([AgentEvent(type=AgentEventType.IPCACHE_DELETED, ipcache_update=notice)])

    def _address(self, address: bytes, identity: int, before: int | None) -> IPCacheNotification:
        text = address_text(address)
        notice = IPCacheNotification(
            cidr=f"{text}/{IPV6LENGTH if ':' in text else IPV4LENGTH}",
            identity=identity,
        )
        if before is not None:
            notice.old_identity.value = before
        endpoint = self._at.get(address) or self._at_before.get(address)
        if endpoint is not None:
            notice.namespace, notice.pod_name = endpoint.namespace, endpoint.pod_name
        return notice

    def _tell_endpoint(self, event_type: AgentEventType, endpoint_id: int) -> None:
        notice = (
            self._local.get(endpoint_id)
            or self._local_before.get(endpoint_id)
            or EndpointUpdateNotification(id=endpoint_id)
        )
        self._log.add([AgentEvent(type=event_type, endpoint_update=notice)])

    def _tell_policy(self, event_type: AgentEventType, policy: Policy, revision: int) -> None:
        notice = PolicyUpdateNotification(
            labels=policy.labels, revision=revision, rule_count=len(policy.rules)
        )
        self._log.add([AgentEvent(type=event_type, policy_update=notice)])
