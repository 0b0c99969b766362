"""When rounds of reconciling run, and how they survive refusals, changes and cancelling."""

import asyncio
from ipaddress import ip_network

import pytest

from server.cluster.objects import ChangeKind
from tests.server.world import (
    DEATHSTAR,
    NAMESPACE,
    NODES,
    SERVICE,
    TIEFIGHTER,
    XWING,
    World,
    galaxy,
    pod,
    policy,
)


@pytest.mark.parametrize(
    "refused", ["upsert_endpoint", "upsert_identities", "replace_policy", "attach"]
)
async def test_what_the_kernel_refuses_is_named_and_tried_again(world: World, refused: str) -> None:
    world.maps.refuse = {refused}
    for text in (NODES, DEATHSTAR, TIEFIGHTER, policy("empire")):
        world.apply(text)
    world.interfaces.show(deathstar="10.244.1.2", tiefighter="10.244.1.3")
    problems = await world.reconcile()
    assert problems
    assert all(f"set: {refused}: refused" in each for each in problems)
    if refused in ("upsert_endpoint", "replace_policy"):
        assert world.maps.links == set()  # nothing is attached that is not known
    world.maps.refuse = set()
    assert not await world.reconcile()
    assert world.maps.links == {10, 11}
    assert world.entry("deathstar").enforce_ingress


async def test_what_cannot_be_removed_is_tried_again(world: World) -> None:
    await galaxy(world)
    world.maps.refuse = {"detach", "remove_identity"}
    world.interfaces.show(tiefighter="10.244.1.3")
    world.apply(XWING, ChangeKind.DELETED)
    assert sorted(await world.reconcile()) == [
        (
            "Pod default/deathstar: not connected: its interface lxc-deathstar is gone; "
            "no route to 10.244.1.2 alone"
        ),
        "address 10.244.2.4: remove: remove_identity: refused",
        "interface 10: remove: detach: refused",
    ]
    world.maps.refuse = set()
    world.apply(DEATHSTAR, ChangeKind.DELETED)
    assert not await world.reconcile()
    assert len(world.maps.endpoints) == 1
    assert ip_network("10.244.2.4") not in world.maps.identities


async def test_interfaces_that_cannot_be_read_leave_things_as_they_are(world: World) -> None:
    await galaxy(world)
    world.interfaces.failure = OSError(12, "out of memory")
    [problem] = await world.reconcile()
    assert "interfaces: read: " in problem
    assert world.maps.links == {10, 11}


async def test_rounds_run_when_state_or_interfaces_change(world: World) -> None:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.manager.run())
        world.interfaces.notice.set()
        await asyncio.sleep(0)
        assert not world.manager.ready.is_set()  # nothing is known of the cluster yet
        world.apply(DEATHSTAR)
        world.manager.state_changed()
        await asyncio.wait_for(world.manager.ready.wait(), 20)
        assert world.maps.links == set()
        world.interfaces.show(deathstar="10.244.1.2")
        world.interfaces.notice.set()
        while not world.maps.links:
            await asyncio.wait_for(asyncio.sleep(0), 20)
        running.cancel()


async def test_changes_during_a_round_disconnect_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await galaxy(world)
    world.apply(policy("empire"))
    await world.reconcile()
    monkeypatch.setattr("server.pace.SLICE_S", -1.0)  # hand the loop over at every step
    world.maps.calls.clear()
    apply = 0
    async with asyncio.TaskGroup() as group:
        for turn in range(10, 15):
            world.apply(pod("bwing", f"10.244.2.{turn}", node="lab-2"))
            round_ = group.create_task(world.manager.reconcile())
            while not round_.done():
                apply += 1
                org = "empire" if apply % 2 else "alliance"
                changed = pod("tiefighter", "10.244.1.3", org=org, **{"class": "tiefighter"})
                world.apply(changed, ChangeKind.MODIFIED)
                await asyncio.sleep(0)
    assert apply >= 30
    assert {"remove_endpoint", "detach"}.isdisjoint(world.maps.calls)
    assert not await world.reconcile()
    expected = "k8s:org=empire" if apply % 2 else "k8s:org=alliance"
    assert expected in world.endpoint_at("10.244.1.3").labels


async def test_a_cancelled_round_is_made_good_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.pace.SLICE_S", -1.0)
    for text in (NODES, NAMESPACE, SERVICE, DEATHSTAR, TIEFIGHTER, XWING, policy("empire")):
        world.apply(text)
    world.interfaces.show(deathstar="10.244.1.2", tiefighter="10.244.1.3")
    steps = 0
    while True:
        steps += 1
        async with asyncio.TaskGroup() as group:
            round_ = group.create_task(world.manager.reconcile())
            for _ in range(steps):
                await asyncio.sleep(0)
            if not round_.cancel():
                break
    assert steps > 10
    assert world.maps.links == {10, 11}
    assert len(world.maps.identities) == 5
    assert world.entry("deathstar").enforce_ingress
    assert world.service_at("10.96.0.5", 80) is not None


async def test_more_label_sets_than_numbers_leave_things_as_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await galaxy(world)
    monkeypatch.setattr("server.identities.LAST_IDENTITY", 260)
    world.apply(pod("awing", "10.244.2.5", node="lab-2", org="rebels"))
    [problem] = await world.reconcile()
    assert problem == "cluster: assign numbers 256..260: too few for 4 names"
    assert world.maps.links == {10, 11}


async def test_a_round_waits_for_a_batch_that_is_half_taken_in(world: World) -> None:
    await galaxy(world)
    await world.state.whole.acquire()
    world.apply(pod("awing", "10.244.2.9", node="lab-2"))
    async with asyncio.TaskGroup() as group:
        round_ = group.create_task(world.manager.reconcile())
        for _ in range(100):
            await asyncio.sleep(0)
        assert world.endpoint_at("10.244.2.9").pod_name == ""
        world.state.whole.release()
        await asyncio.wait_for(round_, 20)
    assert world.endpoint_at("10.244.2.9").pod_name == "awing"
