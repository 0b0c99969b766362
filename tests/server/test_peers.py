"""Who the peers are: their names, addresses and TLS names, and word of each change."""

import asyncio
from ipaddress import ip_address

import pytest

from api.proto.peer.peer_pb2 import ChangeNotification, ChangeNotificationType
from server import peers
from server.cluster.objects import Node, ObjectKey
from server.peers import MOST_AT_ONCE, OverrunError, PeerBook, Subscription

ADDED, DELETED, UPDATED = (
    ChangeNotificationType.PEER_ADDED,
    ChangeNotificationType.PEER_DELETED,
    ChangeNotificationType.PEER_UPDATED,
)


def node(name: str, *addresses: str, port: int | None = None) -> Node:
    return Node(
        key=ObjectKey("Node", "", name),
        addresses=tuple(ip_address(each) for each in addresses),
        hubble_port=port,
    )


def book(
    *, cluster: str = "default", listens: str = "", tls: bool = False, prefer_ipv6: bool = False
) -> PeerBook:
    made = PeerBook(node_name="n1", cluster_name=cluster, prefer_ipv6=prefer_ipv6)
    if listens:
        made.listens(listens, tls=tls)
    return made


async def told(subscription: Subscription) -> list[tuple[ChangeNotificationType, str, str]]:
    return [(each.kind, each.peer.name, each.peer.address) for each in await subscription.next()]


async def one(made: PeerBook, name: str) -> ChangeNotification:
    with made.subscribe() as subscription:
        (found,) = [each for each in await subscription.next() if each.peer.name == name]
    return found.notification()


@pytest.mark.parametrize(
    ("addresses", "prefer_ipv6", "wanted"),
    [
        pytest.param(["10.0.0.1"], False, "10.0.0.1", id="v4"),
        pytest.param(["fd00::1"], False, "fd00::1", id="v6 alone"),
        pytest.param(["fd00::1", "10.0.0.1"], False, "10.0.0.1", id="v4 preferred"),
        pytest.param(["10.0.0.1", "fd00::1"], True, "fd00::1", id="v6 preferred"),
        pytest.param(["10.0.0.1"], True, "10.0.0.1", id="v6 preferred, none there"),
        pytest.param(["10.0.0.1", "192.0.2.1"], False, "10.0.0.1", id="internal first"),
        pytest.param([], False, "", id="none"),
    ],
)
async def test_address(addresses: list[str], prefer_ipv6: bool, wanted: str) -> None:
    made = book(prefer_ipv6=prefer_ipv6)
    made.put([node("n2", *addresses)])
    assert (await one(made, "n2")).address == wanted


@pytest.mark.parametrize(
    ("listens", "address", "port", "wanted"),
    [
        pytest.param("", "10.0.0.1", None, "10.0.0.1", id="no TCP here, nothing said"),
        pytest.param("[::]:4244", "10.0.0.1", None, "10.0.0.1", id="the usual port"),
        pytest.param("[::]:4300", "10.0.0.1", None, "10.0.0.1:4300", id="as its neighbour"),
        pytest.param("[::]:4300", "fd00::1", None, "[fd00::1]:4300", id="v6 with a port"),
        pytest.param("[::]:4300", "10.0.0.1", 4301, "10.0.0.1:4301", id="as its object says"),
        pytest.param("[::]:4300", "10.0.0.1", 4244, "10.0.0.1", id="its object says the usual"),
    ],
)
@pytest.mark.parametrize("name", ["n1", "n2"], ids=["own", "other"])
async def test_port(listens: str, address: str, port: int | None, wanted: str, name: str) -> None:
    made = book(listens=listens)
    made.put([node(name, address, port=port)])
    assert (await one(made, name)).address == wanted


@pytest.mark.parametrize(
    ("listens", "wanted"),
    [
        pytest.param("", "", id="on no TCP address"),
        pytest.param("192.0.2.5:4244", "192.0.2.5", id="one address"),
        pytest.param("[::1]:4300", "[::1]:4300", id="one IPv6 address"),
        pytest.param("[::]:4300", "127.0.0.1:4300", id="all"),
        pytest.param("0.0.0.0:4244", "127.0.0.1", id="all of IPv4"),
    ],
)
async def test_a_node_without_an_object_is_where_it_listens(listens: str, wanted: str) -> None:
    made = book(listens=listens)
    made.put([node("n2", "10.0.0.2")])
    assert (await one(made, "n1")).address == wanted


@pytest.mark.parametrize(
    ("cluster", "name", "wanted"),
    [
        pytest.param("default", "n1", "n1", id="default"),
        pytest.param("", "n1", "n1", id="none"),
        pytest.param("blue", "n1", "blue/n1", id="named"),
    ],
)
async def test_name(cluster: str, name: str, wanted: str) -> None:
    made = book(cluster=cluster)
    made.put([node(name, "10.0.0.1")])
    assert (await one(made, wanted)).type == ADDED


@pytest.mark.parametrize(
    ("cluster", "name", "wanted"),
    [
        pytest.param("default", "n1", "n1.default.hubble-grpc.cilium.io", id="plain"),
        pytest.param("", "n1", "n1.default.hubble-grpc.cilium.io", id="no cluster"),
        pytest.param("eu.1", "a.b", "a-b.eu-1.hubble-grpc.cilium.io", id="dots"),
    ],
)
async def test_tls_name(cluster: str, name: str, wanted: str) -> None:
    made = book(cluster=cluster, listens="10.0.0.1:4244", tls=True)
    made.put([node(name, "10.0.0.1")])
    with made.subscribe() as subscription:
        told = [each.notification() for each in await subscription.next()]
    names = {each.tls.server_name for each in told}
    assert wanted in names


async def test_without_tls_none_is_told() -> None:
    made = book(listens="10.0.0.1:4244")
    made.put([node("n1", "10.0.0.1")])
    assert not (await one(made, "n1")).HasField("tls")


async def test_changes_in_order() -> None:
    made = book()
    made.put([node("n2", "10.0.0.2"), node("n3", "10.0.0.3"), node("n1", "10.0.0.1")])
    with made.subscribe() as subscription:
        assert await told(subscription) == [
            (ADDED, "n1", "10.0.0.1"),
            (ADDED, "n2", "10.0.0.2"),
            (ADDED, "n3", "10.0.0.3"),
        ]
        made.put([node("n1", "10.0.0.1"), node("n2", "10.0.0.9"), node("n4", "10.0.0.3")])
        assert await told(subscription) == [
            (DELETED, "n3", "10.0.0.3"),
            (UPDATED, "n2", "10.0.0.9"),
            (ADDED, "n4", "10.0.0.3"),
        ]


async def test_what_is_as_it_was_is_not_told() -> None:
    made = book()
    made.put([node("n1", "10.0.0.1")])
    with made.subscribe() as subscription:
        await subscription.next()
        made.put([node("n1", "10.0.0.1", "10.0.0.2")])  # another address, not the one we tell
        made.put([node("n1", "10.0.0.5")])
        assert await told(subscription) == [(UPDATED, "n1", "10.0.0.5")]


async def test_nothing_is_told_before_the_cluster_is_known() -> None:
    made = book(listens="10.0.0.1:4300")
    with made.subscribe() as subscription:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await subscription.next()
        made.put([])
        assert await told(subscription) == [(ADDED, "n1", "10.0.0.1:4300")]


async def test_a_wait_that_is_cancelled_loses_nothing() -> None:
    made = book()
    made.put([node("n1")])
    with made.subscribe() as subscription:
        await subscription.next()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await subscription.next()
        made.put([node("n1"), node("n2")])
        assert await told(subscription) == [(ADDED, "n2", "")]


async def test_a_node_that_is_not_among_the_others_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = book()
    made.put([])  # no cluster at all is no slip
    assert not caplog.messages
    made.put([node("m2"), node("m1")])
    made.put([node("m2"), node("m3")])
    assert caplog.messages == ["no Node object of our name=n1 known=m1, m2"]
    made.put([node("n1")])
    made.put([node("m1")])
    assert caplog.messages[1:] == ["no Node object of our name=n1 known=m1"]


async def test_many_come_in_parts() -> None:
    made = book()
    made.put(node(f"n{number:04}") for number in range(1, 1001))
    with made.subscribe() as subscription:
        parts = [await told(subscription) for _ in range(4)]
        made.put([])
        assert [kind for kind, _, _ in await told(subscription)] == [DELETED] * MOST_AT_ONCE
    assert [len(part) for part in parts] == [256, 256, 256, 233]
    assert [name for part in parts for _, name, _ in part][:2] == ["n0001", "n0002"]


async def test_a_subscriber_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "MOST_WAITING", 4)
    made = book()
    made.put([node("n1")])
    with made.subscribe() as slow, made.subscribe() as quick:
        await quick.next()
        for count in (5, 1):
            made.put([node("n1"), *(node(f"m{number}") for number in range(1, count))])
            if count == 5:
                assert len(await quick.next()) == 4
        with pytest.raises(OverrunError):
            await slow.next()
        assert len(await quick.next()) == 4
