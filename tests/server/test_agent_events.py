"""What the endpoint manager does, as agent events: each thing once, with the names it had."""

from collections.abc import Iterable

import pytest

from api.proto.flow.flow_pb2 import AgentEvent, AgentEventType
from server.agent_events import AgentEvents
from server.cluster.objects import ChangeKind
from server.endpoints import EndpointManager
from tests.server.world import NAMESPACE, NODES, World, pod, policy


class Log:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[AgentEvent] = []

    def add(self, events: Iterable[AgentEvent]) -> None:
        self.events.extend(events)

    def take(self) -> list[AgentEvent]:
        taken, self.events = self.events, []
        return taken


class ToldWorld(World):
    """A node whose agent events are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.restart()
        self.apply(NAMESPACE)
        self.apply(NODES)

    def restart(self) -> None:
        """Let another manager take over the same maps."""
        self.manager = EndpointManager(
            node_name="lab-1",
            cluster_name="default",
            state=self.state,
            book=self.book,
            datapath=self.maps,
            interfaces=self.interfaces,
            events=AgentEvents(self.log),
        )

    async def told(self) -> list[AgentEvent]:
        assert await self.reconcile() == ()
        return self.log.take()


@pytest.fixture
async def world() -> ToldWorld:
    made = ToldWorld()
    made.apply(pod("a", "10.0.0.1", **{"class": "deathstar"}))
    made.interfaces.show(a="10.0.0.1")
    return made


def of_type(events: list[AgentEvent], name: str) -> list[AgentEvent]:
    return [event for event in events if event.type == AgentEventType.Value(name)]


async def test_endpoints_come_and_go(world: ToldWorld) -> None:
    [created] = of_type(await world.told(), "ENDPOINT_CREATED")
    update = created.endpoint_update
    assert (update.namespace, update.pod_name) == ("default", "a")
    assert update.id == world.entry("a").endpoint_id
    assert "k8s:class=deathstar" in update.labels
    assert await world.told() == []
    world.apply(pod("a", "10.0.0.1", **{"class": "deathstar"}), ChangeKind.DELETED)
    world.interfaces.show()
    [deleted] = of_type(await world.told(), "ENDPOINT_DELETED")
    assert deleted.endpoint_update == update


async def test_addresses_with_their_identities(world: ToldWorld) -> None:
    events = await world.told()
    upserted = {each.ipcache_update.cidr: each for each in of_type(events, "IPCACHE_UPSERTED")}
    assert upserted.keys() == {"10.0.0.1/32", "172.30.0.1/32", "172.30.0.2/32"}
    mine = upserted["10.0.0.1/32"].ipcache_update
    assert mine.identity == world.identity("10.0.0.1")
    assert (mine.namespace, mine.pod_name) == ("default", "a")
    assert not mine.HasField("old_identity")
    world.apply(pod("a", "10.0.0.1", **{"class": "shuttle"}), ChangeKind.MODIFIED)
    [changed] = of_type(await world.told(), "IPCACHE_UPSERTED")
    assert changed.ipcache_update.old_identity.value == mine.identity
    assert changed.ipcache_update.identity == world.identity("10.0.0.1") != mine.identity
    world.apply(pod("a", "10.0.0.1"), ChangeKind.DELETED)
    world.interfaces.show()
    [deleted] = of_type(await world.told(), "IPCACHE_DELETED")
    assert deleted.ipcache_update.cidr == "10.0.0.1/32"
    assert deleted.ipcache_update.pod_name == "a"


async def test_ipv6_addresses_are_whole_networks(world: ToldWorld) -> None:
    world.apply(pod("b", "fd00::1", node="lab-2"))
    events = of_type(await world.told(), "IPCACHE_UPSERTED")
    assert "fd00::1/128" in {event.ipcache_update.cidr for event in events}


async def test_policies(world: ToldWorld) -> None:
    assert not of_type(await world.told(), "POLICY_UPDATED")
    world.apply(policy("empire"))
    [updated] = of_type(await world.told(), "POLICY_UPDATED")
    assert updated.policy_update.rule_count == 1
    assert "k8s:io.cilium.k8s.policy.name=landing" in updated.policy_update.labels
    world.apply(policy("alliance"), ChangeKind.MODIFIED)
    [changed] = of_type(await world.told(), "POLICY_UPDATED")
    assert changed.policy_update.revision == updated.policy_update.revision + 1
    world.apply(policy("alliance"), ChangeKind.DELETED)
    [deleted] = of_type(await world.told(), "POLICY_DELETED")
    assert deleted.policy_update.labels == updated.policy_update.labels
    assert deleted.policy_update.revision == changed.policy_update.revision + 1


async def test_what_an_earlier_process_did_is_not_told_again(world: ToldWorld) -> None:
    await world.told()
    world.restart()
    events = await world.told()
    assert not of_type(events, "ENDPOINT_CREATED")
    assert not of_type(events, "IPCACHE_UPSERTED")


async def test_what_is_refused_is_told_when_it_is_done(
    world: ToldWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(world.maps, "upsert_endpoint", refuse)
        full.setattr(world.maps, "upsert_identities", refuse)
        assert await world.reconcile()
    assert world.log.take() == []
    events = await world.told()
    assert len(of_type(events, "ENDPOINT_CREATED")) == 1
    assert len(of_type(events, "IPCACHE_UPSERTED")) == 3


def test_the_start() -> None:
    log = Log()
    AgentEvents(log).started()
    [event] = log.events
    assert event.type == AgentEventType.AGENT_STARTED
    assert event.agent_start.time.seconds > 0


async def test_policies_that_are_not_enforced_are_not_told(world: ToldWorld) -> None:
    """As in observe mode, where interfaces are others' to connect."""
    world.manager = EndpointManager(
        node_name="lab-1",
        cluster_name="default",
        state=world.state,
        book=world.book,
        datapath=None,
        interfaces=world.interfaces,
        events=AgentEvents(world.log),
    )
    world.apply(policy("empire"))
    assert await world.told() == []
    assert world.manager._policies.take_changes() == []
