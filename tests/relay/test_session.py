"""One client's stream over several nodes: order, notices, failures, return, limits, slowness."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from api.lane.status import Code, RpcError
from api.proto.observer import observer_pb2 as pb
from api.proto.relay.relay_pb2 import NodeState
from tests.relay.bed import LONGEST_S, Bed, bed
from tests.relay.wire import T0, at_the_tail, gap, minimal, padded, progress

ALL = pb.GetFlowsRequest()
FOLLOW = pb.GetFlowsRequest(follow=True)
CONNECTED, UNAVAILABLE = NodeState.NODE_CONNECTED, NodeState.NODE_UNAVAILABLE
GONE, ERROR = NodeState.NODE_GONE, NodeState.NODE_ERROR


def uuids(responses: list[pb.GetFlowsResponse]) -> list[str]:
    return [each.flow.uuid for each in responses if each.HasField("flow")]


async def test_flows_of_all_nodes_in_the_order_of_time(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b", "c") as made, made.stream(ALL) as reader:
        a, b, c = [await node.next_asked() for node in made.nodes]
        a.say(padded("1", T0 + 1), padded("4", T0 + 4), padded("7", T0 + 7))
        b.say(minimal("2", T0 + 2), minimal("5", T0 + 5))
        c.say(at_the_tail("3", T0 + 3))
        c.say(at_the_tail("6", T0 + 6), progress(T0 + 9))
        for each in (a, b, c):
            each.end()
        assert uuids(await reader.rest()) == list("1234567")


async def test_nodes_are_told_first(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b", "c") as made:
        await made.nodes[1].stop()
        await made.connected("a", "c")
        async with made.stream(ALL) as reader:
            first = await reader.next()
            assert (first.node_name, first.HasField("time")) == ("relay", True)
            assert first.node_status.state_change == CONNECTED
            assert list(first.node_status.node_names) == ["a", "c"]
            assert await reader.notice() == (UNAVAILABLE, ["b"], "")


async def test_the_request_and_metadata_reach_the_nodes(tmp_path: Path) -> None:
    request = pb.GetFlowsRequest(number=5, whitelist=[{"source_pod": ["x"]}])
    sent = (("authorization", "me"), ("leavitt-details", "1"))
    async with bed(tmp_path, "a") as made, made.stream(request, metadata=sent):
        asked = await made.nodes[0].next_asked()
        assert asked.flows == request
        assert {*sent, ("leavitt-progress", "1")} <= set(asked.call.metadata)


async def test_gaps_are_passed_on_and_counted_once(tmp_path: Path) -> None:
    async with bed(tmp_path, "a") as made:
        account = made.pool.links[0].account
        for _ in range(2):
            async with made.stream(ALL) as reader:
                asked = await made.nodes[0].next_asked()
                asked.say(padded("1", T0), gap(7, T0 + 1, source=1), padded("2", T0 + 2))
                asked.say(gap(2, T0 + 3, source=3))
                asked.end()
                found = await reader.rest()
                assert [each.lost_events.num_events_lost for each in found[1:]] == [0, 7, 0, 2]
        # 7 are in the node's history, and were read twice; 2 were this reader's, each time
        assert account.lost_events == 7 + 2 + 2
        assert account.flows_received == 2 * 2


async def test_a_gap_at_the_head_of_a_history_goes_by_its_time(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b") as made, made.stream(ALL) as reader:
        a, b = [await node.next_asked() for node in made.nodes]
        a.say(gap(32, T0 + 50), padded("3", T0 + 60))
        b.say(padded("1", T0 + 1), padded("2", T0 + 2), padded("4", T0 + 70))
        a.end()
        b.end()
        found = (await reader.rest())[1:]
        assert [each.lost_events.num_events_lost for each in found] == [0, 0, 32, 0, 0]
        assert uuids(found) == ["1", "2", "3", "4"]


async def test_a_failing_node_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b", "c") as made, made.stream(ALL) as reader:
        a, b, c = [await node.next_asked() for node in made.nodes]
        a.say(padded("1", T0 + 1))
        b.fail(RpcError(Code.UNAVAILABLE, "boom"))
        c.fail(RpcError(Code.UNAVAILABLE, "boom"))
        a.say(padded("2", T0 + 2))
        assert await reader.uuids(1) == ["1"]
        text = "rpc error: code = Unavailable desc = boom"
        a.end()
        state, names, message = await reader.notice()
        assert (state, sorted(names), message) == (ERROR, ["b", "c"], text)
        assert [link.account.last_error for link in made.pool.links] == ["", text, text]


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.UNKNOWN, Code.UNIMPLEMENTED])
async def test_what_every_node_refuses_is_refused(tmp_path: Path, follow: bool, code: Code) -> None:
    async with bed(tmp_path, "a", "b") as made:
        for node in made.nodes:
            node.refusal = RpcError(code, "no such thing")
        async with made.stream(pb.GetFlowsRequest(follow=follow)) as reader:
            with pytest.raises(RpcError) as refused:
                await reader.rest()
        assert (refused.value.code, refused.value.message) == (code, "no such thing")


async def test_what_one_node_refuses_is_told(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b") as made:
        made.nodes[0].refusal = RpcError(Code.UNKNOWN, "too old for that")
        async with made.stream(ALL) as reader:
            asked = await made.nodes[1].next_asked()
            asked.say(padded("1", T0))
            asked.end()
            found = await reader.rest()
        assert uuids(found) == ["1"]
        # an error without a code of its own is told by its text alone
        assert found[-1].node_status.message == "too old for that"


async def test_bytes_that_are_no_response_end_only_that_node(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b") as made, made.stream(ALL) as reader:
        a, b = [await node.next_asked() for node in made.nodes]
        a.say(padded("1", T0), b"\0\0\0\0\2\x0b\1")
        b.say(padded("2", T0))
        b.end()
        found = await reader.rest()
        assert uuids(found) == ["2"]
        assert "malformed response" in found[-1].node_status.message
        assert found[-1].node_status.node_names == ["a"]


async def test_a_node_that_returns_goes_on_where_it_was(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b", patience_s=0.3) as made, made.stream(FOLLOW) as reader:
        a, b = [await node.next_asked() for node in made.nodes]
        both = padded("2", T0 + 2), padded("3", T0 + 2)
        a.say(padded("1", T0 + 1), *both)
        b.say(progress(T0 + 2))
        assert await reader.uuids(3) == ["1", "2", "3"]
        await made.nodes[0].stop()
        state, names, _ = await reader.notice()
        assert (state, names) == (ERROR, ["a"])
        b.say(padded("6", T0 + 6))
        assert await reader.uuids(1) == ["6"]
        await made.nodes[0].start()
        again = await made.nodes[0].next_asked()
        request = again.flows
        assert (request.follow, request.number) == (True, 0)
        assert request.since.ToNanoseconds() == T0 + 2
        # the two that stood at the boundary, one that is new and as old, and what follows
        again.say(*both, padded("4", T0 + 2), padded("5", T0 + 5))
        assert await reader.notice() == (CONNECTED, ["a"], "")
        assert await reader.uuids(2) == ["4", "5"]
        again.say(padded("7", T0 + 7))
        b.say(progress(T0 + 8))
        assert await reader.uuids(1) == ["7"]


async def test_a_node_that_had_nothing_to_say_is_asked_from_where_it_was(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", patience_s=0.3) as made, made.stream(FOLLOW) as reader:
        asked = await made.nodes[0].next_asked()
        asked.say(progress(T0 + 5))
        asked.fail(RpcError(Code.UNAVAILABLE, "restart"))
        assert (await reader.notice())[0] == CONNECTED
        assert (await reader.notice())[0] == ERROR
        again = await made.nodes[0].next_asked()
        assert again.flows.since.ToNanoseconds() == T0 + 5


async def test_nodes_come_and_go_while_following(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", patience_s=0.3) as made, made.stream(FOLLOW) as reader:
        await made.nodes[0].next_asked()
        assert await reader.notice() == (CONNECTED, ["a"], "")
        new = await made.node("b")
        asked = await new.next_asked()
        asked.say(padded("1", T0))
        assert await reader.notice() == (CONNECTED, ["b"], "")
        assert await reader.uuids(1) == ["1"]
        made.pool.delete("b")
        assert await reader.notice() == (GONE, ["b"], "")
        async with asyncio.timeout(LONGEST_S):
            await asked.over.wait()


async def test_a_node_with_another_address_is_asked_there(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", patience_s=0.3) as made, made.stream(FOLLOW) as reader:
        asked = await made.nodes[0].next_asked()
        asked.say(padded("1", T0))
        assert await reader.uuids(1) == ["1"]
        folder = tmp_path / "moved"
        folder.mkdir()
        moved = type(made.nodes[0])("a", folder)
        await moved.start()
        made.nodes.append(moved)
        made.pool.upsert(moved.peer)
        again = await moved.next_asked()
        again.say(padded("1", T0), padded("2", T0 + 1))
        state, names, message = await reader.notice()
        assert (state, names) == (ERROR, ["a"])
        assert "node has moved to unix://" in message
        assert await reader.uuids(1) == ["2"]


async def test_a_silent_node_delays_the_others_only_for_a_while(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b", patience_s=0.2) as made, made.stream(FOLLOW) as reader:
        a, _ = [await node.next_asked() for node in made.nodes]
        a.say(padded("1", T0))
        assert await reader.uuids(1) == ["1"]


async def test_the_end_of_the_client_ends_the_nodes_streams(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b") as made:
        async with made.stream(FOLLOW):
            asked = [await node.next_asked() for node in made.nodes]
        async with asyncio.timeout(LONGEST_S):
            for each in asked:
                await each.over.wait()
        assert all(not link.account.frontiers for link in made.pool.links)


async def test_until_ends_also_a_stream_that_follows(tmp_path: Path) -> None:
    request = pb.GetFlowsRequest(follow=True, until={"seconds": 2_000_000_000})
    async with bed(tmp_path, "a", "b") as made, made.stream(request) as reader:
        a, b = [await node.next_asked() for node in made.nodes]
        a.say(padded("1", T0))
        a.end()
        b.end()
        assert uuids(await reader.rest()) == ["1"]


async def test_a_node_that_ends_a_stream_without_end_is_asked_again(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", patience_s=0.3) as made, made.stream(FOLLOW) as reader:
        asked = await made.nodes[0].next_asked()
        asked.say(padded("1", T0))
        asked.end()
        assert await reader.uuids(1) == ["1"]
        assert (await reader.notice())[2].endswith("node ended the stream")
        again = await made.nodes[0].next_asked()
        again.say(padded("1", T0), padded("2", T0 + 1))
        assert await reader.uuids(1) == ["2"]


async def test_no_node_at_all(tmp_path: Path) -> None:
    async with bed(tmp_path) as made, made.stream(ALL) as reader:
        assert await reader.rest() == []


@pytest.mark.parametrize("method", ["GetAgentEvents", "GetDebugEvents"])
async def test_other_events_are_merged_alike_and_have_no_notices(
    tmp_path: Path, method: str
) -> None:
    request = pb.GetAgentEventsRequest(number=3)
    async with (
        bed(tmp_path, "a", "b") as made,
        made.stream(request, method=method) as reader,
    ):
        a, b = [await node.next_asked() for node in made.nodes]
        a.say(padded("2", T0 + 2))
        b.say(padded("1", T0 + 1))
        a.end()
        b.fail(RpcError(Code.UNAVAILABLE, "boom"))
        found = await reader.rest()
        assert [each.flow.uuid for each in found] == ["1", "2"]
        assert [link.account.flows_received for link in made.pool.links] == [0, 0]


async def test_a_mask_without_the_time(tmp_path: Path) -> None:
    request = pb.GetFlowsRequest(field_mask={"paths": ["uuid"]})
    async with bed(tmp_path, "a", "b") as made, made.stream(request) as reader:
        a, b = [await node.next_asked() for node in made.nodes]
        assert list(a.flows.field_mask.paths) == ["uuid", "time"]
        a.say(padded("2", T0 + 2))
        b.say(padded("1", T0 + 1), gap(1, T0 + 1))
        a.end()
        b.end()
        found = (await reader.rest())[1:]
        assert uuids(found) == ["1", "2"]
        assert not any(each.HasField("time") for each in found if each.HasField("flow"))
        assert not any(each.flow.HasField("time") for each in found)


CLUSTER = (("leavitt-limit", "cluster"),)


async def fill(made: Bed) -> None:
    """Nine flows, one after the other from three nodes."""
    for number, node in enumerate(made.nodes):
        asked = await node.next_asked()
        for flow in range(number + 1, 10, 3):
            asked.say(padded(str(flow), T0 + flow))
        asked.say(gap(1, T0 + 10))
        if not asked.flows.follow:
            asked.end()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (pb.GetFlowsRequest(number=4), "6789"),
        (pb.GetFlowsRequest(number=4, first=True), "1234"),
        (pb.GetFlowsRequest(number=4, since={"seconds": 1}), "1234"),
        (pb.GetFlowsRequest(number=20), "123456789"),
        (pb.GetFlowsRequest(), "123456789"),
    ],
)
async def test_a_limit_for_the_whole_cluster(
    tmp_path: Path, request_: pb.GetFlowsRequest, expected: str
) -> None:
    async with (
        bed(tmp_path, "a", "b", "c") as made,
        made.stream(request_, metadata=CLUSTER) as reader,
    ):
        await fill(made)
        assert "".join(uuids(await reader.rest())) == expected


async def test_the_last_of_the_cluster_and_then_what_is_new(tmp_path: Path) -> None:
    request = pb.GetFlowsRequest(number=2, follow=True)
    async with (
        bed(tmp_path, "a", "b", patience_s=0.3) as made,
        made.stream(request, metadata=CLUSTER) as reader,
    ):
        a, b = [await node.next_asked() for node in made.nodes]
        a.say(padded("1", T0 + 1), padded("4", T0 + 4))
        b.say(padded("2", T0 + 2), padded("3", T0 + 3))
        # both fall silent: history is over
        assert await reader.uuids(2) == ["3", "4"]
        a.say(padded("5", T0 + 5))
        assert await reader.uuids(1) == ["5"]


async def test_a_client_that_does_not_read_holds_the_nodes_back(tmp_path: Path) -> None:
    async with bed(tmp_path, "a", "b") as made, made.stream(ALL):
        asked = [await node.next_asked() for node in made.nodes]
        for node in asked:
            for chunk in range(600):
                node.say(*(padded("x" * 900, T0 + 70 * chunk + place) for place in range(70)))
        # 38 MB from each; what the relay holds is far less, and it has nothing more to do
        links = made.pool.links
        before = -1
        while before != (before := sum(link.account.flows_received for link in links)):
            async with asyncio.timeout(LONGEST_S):
                for _ in range(200):
                    await asyncio.sleep(0.001)
        assert all(not node.over.is_set() for node in asked)
        assert 0 < before < 2 * 600 * 70 / 2


async def test_a_client_that_does_not_read_does_not_hold_up_another(tmp_path: Path) -> None:
    chunks = [
        b"".join(padded("x" * 900, T0 + 70 * chunk + place) for place in range(70))
        for chunk in range(300)
    ]
    async with bed(tmp_path, "a", "b") as made, AsyncExitStack() as stack:
        held = []
        for _ in range(3):
            await stack.enter_async_context(made.stream(ALL))
            held += [await node.next_asked() for node in made.nodes]
        for node in held:
            node.say(*chunks)
        # 60 MB from each, on the connections that the other client's streams share
        async with made.stream(ALL) as reader:
            asked = [await node.next_asked() for node in made.nodes]
            for node in asked:
                for chunk in chunks:
                    node.say(chunk)
                node.end()
            assert len(uuids(await reader.rest())) == 2 * 300 * 70
        assert not any(node.over.is_set() for node in held)
