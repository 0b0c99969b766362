"""`hubble observe` against a server, in this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from api.lane.status import Code, RpcError
from api.proto.flow.flow_pb2 import Verdict
from api.proto.observer.observer_pb2 import GetFlowsResponse
from cli.app import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Hubble, Screen

EVERYTHING = (1 << 64) - 1


async def observe(screen: Screen, hubble: Hubble, *words: str) -> int:
    """Run the command in a thread: it brings its own event loop."""
    line = ["observe", "--server", hubble.address, *words]
    return await asyncio.to_thread(run, line, screen.surroundings())


@pytest.mark.parametrize("output", ["compact", "json"])
async def test_prints_what_the_server_sends(
    output: str, hubble: Hubble, screen: Screen, responses: list[bytes], golden: Path
) -> None:
    hubble.messages = responses
    assert await observe(screen, hubble, "-o", output, "--debug") == 0
    assert screen.out == (golden / f"{output}.out").read_text()
    assert 'level=DEBUG msg="Sending GetFlows request" req=' in screen.err


async def test_many_flows_arrive_whole_and_in_order(hubble: Hubble, screen: Screen) -> None:
    hubble.messages = [_numbered(number) for number in range(5000)]
    assert await observe(screen, hubble) == 0
    numbers = [int(line.split("(")[-1][:-1]) for line in screen.out.splitlines()]
    assert numbers == list(range(5000))


def _numbered(number: int) -> bytes:
    response = GetFlowsResponse()
    response.flow.Summary = str(number)
    return response.SerializeToString()


@pytest.mark.parametrize(
    ("words", "number", "first", "follow"),
    [
        ([], 20, False, False),
        (["--last", "5"], 5, False, False),
        (["--last", "0"], 20, False, False),
        (["--first", "5"], 5, True, False),
        (["--all"], EVERYTHING, False, False),
        (["--follow"], 0, False, True),
        (["-f", "--last", "3"], 3, False, True),
        (["-f", "--all"], EVERYTHING, False, True),
        (["--since", "3s"], 0, False, False),
        (["--until", "3s"], 0, False, False),
        (["--since", "3s", "--last", "7"], 7, False, False),
    ],
)
async def test_selection(
    words: list[str], number: int, first: bool, follow: bool, hubble: Hubble, screen: Screen
) -> None:
    assert await observe(screen, hubble, *words) == 0
    request = hubble.requests[0]
    assert (request.number, request.first, request.follow) == (number, first, follow)


async def test_time_range(hubble: Hubble, screen: Screen) -> None:
    await observe(screen, hubble, "--since", "2024-03-04", "--until", "7s")
    request = hubble.requests[0]
    assert request.since.ToJsonString() == "2024-03-04T00:00:00Z"
    assert request.until.ToJsonString() == "2026-03-04T05:06:00Z"


async def test_until_does_not_end_following(hubble: Hubble, screen: Screen) -> None:
    await observe(screen, hubble, "-f", "--until", "1s")
    assert not hubble.requests[0].HasField("until")


async def test_filters_reach_the_server(hubble: Hubble, screen: Screen) -> None:
    denied = ("--not", "--pod", "a/b", "--denylist", '{"uuid":["x"]}')
    await observe(screen, hubble, "--verdict", "DROPPED", *denied)
    (request,) = hubble.requests
    assert [list(each.verdict) for each in request.whitelist] == [[Verdict.DROPPED]]
    assert [list(each.source_pod) for each in request.blacklist] == [["a/b"], [], []]
    assert list(request.blacklist[2].uuid) == ["x"]


@pytest.mark.parametrize(
    ("words", "asked", "not_asked"),
    [
        ([], {"time", "policy_match_type", "is_reply", "destination_names"}, {"egress_denied_by"}),
        (["--print-policy-names"], {"egress_denied_by", "ingress_allowed_by"}, {"uuid"}),
        (["-o", "json", "--field-mask", "time,l4.TCP"], {"time", "l4.TCP"}, {"IP"}),
    ],
)
async def test_field_mask(
    words: list[str], asked: set[str], not_asked: set[str], hubble: Hubble, screen: Screen
) -> None:
    await observe(screen, hubble, *words)
    paths = set(hubble.requests[0].field_mask.paths)
    assert asked <= paths
    assert not paths & not_asked


@pytest.mark.parametrize("words", [["-o", "json"], ["--use-default-field-masks=false"]])
async def test_no_field_mask(words: list[str], hubble: Hubble, screen: Screen) -> None:
    await observe(screen, hubble, *words)
    assert not hubble.requests[0].field_mask.paths


@pytest.mark.parametrize("output", ["compact", "dict", "table", "json"])
async def test_a_default_mask_has_all_that_is_printed(
    output: str, hubble: Hubble, screen: Screen, responses: list[bytes]
) -> None:
    words = ("-o", output, "--print-node-name", "--print-policy-names")
    hubble.messages = responses
    await observe(screen, hubble, *words)
    everything = screen.out
    mask = hubble.requests[0].field_mask
    screen.sink.seek(0)
    screen.sink.truncate()
    hubble.messages = [_masked(each, mask) for each in responses] if mask.paths else responses
    await observe(screen, hubble, *words)
    assert screen.out == everything


def _masked(data: bytes, mask: object) -> bytes:
    response = GetFlowsResponse.FromString(data)
    if response.HasField("flow"):
        flow = type(response.flow)()
        mask.MergeMessage(response.flow, flow)  # type: ignore[attr-defined]  # of FieldMask
        response.flow.CopyFrom(flow)
    return response.SerializeToString()


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            RpcError(Code.INVALID_ARGUMENT, "first cannot be specified with follow"),
            1,
            "rpc error: code = InvalidArgument desc = first cannot be specified with follow\n",
        ),
        (RpcError(Code.UNKNOWN, "invalid filter"), 1, "invalid filter\n"),
        (RpcError(Code.CANCELLED, "context canceled"), 0, ""),
    ],
)
async def test_errors_of_the_server(
    error: RpcError, code: int, text: str, hubble: Hubble, screen: Screen
) -> None:
    hubble.messages, hubble.error = [_numbered(1)], error
    assert await observe(screen, hubble) == code
    assert screen.err == text
    assert screen.out.endswith("(1)\n")


@pytest.mark.parametrize("output", ["compact", "dict", "table", "json"])
async def test_an_unreadable_message(output: str, hubble: Hubble, screen: Screen) -> None:
    hubble.messages = [b"\xff"]
    assert await observe(screen, hubble, "-o", output) == 1
    assert screen.err.startswith("rpc error: code = Internal desc = ")


async def test_logs_in_only_over_tls(hubble: Hubble, screen: Screen) -> None:
    words = ("--basic-auth-username", "a", "--basic-auth-password", "b")
    assert await observe(screen, hubble, *words) == 1
    assert "cannot send secure credentials on an insecure connection" in screen.err
    assert not hubble.requests
