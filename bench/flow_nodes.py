"""Nodes that cost next to nothing: flows made beforehand, served over the lane; and their peers.

Run as a script by `bench.relaying`. What a real server answered is written anew for each node, with
the node's name and with times of which neighbours belong to different nodes, so that a relay has
to merge flow by flow. With follow a node sends as many flows per second as it is told, each with
the time of sending, and says how far it is as our servers do. All nodes share one process and one
loop.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Final

import uvloop

from api.lane.call import Call
from api.lane.health import Health
from api.lane.server import Server
from api.lane.service import service_methods
from api.lane.wire import Framed, frame
from api.proto.health import health_pb2
from api.proto.observer import observer_pb2
from api.proto.peer import peer_pb2
from bench.framing import messages
from bench.processes import die_with_parent

_STEP_NS: Final = 2_000
_START_NS: Final = 1_700_000_000_000_000_000
_PART: Final = 256
_TICK_S: Final = 0.005
_STAMP_TAG: Final = b"\xca\x3e\x0c\x08"


class Template:
    """The flows of a real server, cut where name and time stand in their heads."""

    def __init__(self, data: bytes) -> None:
        self._rests: list[bytes] = []
        for message in messages(data):
            at = message.index(_STAMP_TAG) + len(_STAMP_TAG) + 11
            self._rests.append(message[at:])

    def __len__(self) -> int:
        return len(self._rests)

    def written(self, index: int, name: bytes, time_ns: int) -> bytes:
        """Write a flow, with its prefix, for a node and a time; the flow's own time stays."""
        head = b"\xc2\x3e" + bytes((len(name),)) + name + _STAMP_TAG + _stamp(time_ns)
        return frame(head + self._rests[index % len(self._rests)])


def _stamp(time_ns: int) -> bytes:
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return _five(seconds) + b"\x10" + _five(nanos)


def _five(value: int) -> bytes:
    """Spell a number as a varint of five bytes."""
    return bytes((value >> 7 * place & 0x7F | (0x80 if place < 4 else 0)) for place in range(5))


class FlowNode:
    """Implements the Observer of one node."""

    def __init__(
        self, number: int, nodes: int, template: Template, *, flows: int, per_second: float
    ) -> None:
        self._name = f"default/node-{number}".encode()
        self._template = template
        self._per_second = per_second
        self._parts = [
            Framed(
                b"".join(
                    template.written(
                        index, self._name, _START_NS + (index * nodes + number) * _STEP_NS
                    )
                    for index in range(start, min(start + _PART, flows))
                ),
                min(_PART, flows - start),
            )
            for start in range(0, flows, _PART)
        ]

    async def server_status(
        self, _call: Call, _request: observer_pb2.ServerStatusRequest
    ) -> observer_pb2.ServerStatusResponse:
        """Say that there is a node."""
        return observer_pb2.ServerStatusResponse(version="bench")

    async def get_flows(
        self, call: Call, request: observer_pb2.GetFlowsRequest
    ) -> AsyncGenerator[Framed, None]:
        """Yield all flows, or with follow new ones for ever."""
        call.send_headers()
        if not request.follow:
            for part in self._parts:
                yield part
            return
        asked = dict(call.metadata)
        has_progress = asked.get("leavitt-progress") == "1"
        interval_s = int(asked.get("leavitt-progress-interval", 10)) / 1e3
        told_s = time.monotonic()
        sent, started = 0, time.monotonic()
        while True:
            await asyncio.sleep(_TICK_S)
            due = int((time.monotonic() - started) * self._per_second)
            if due > sent:
                yield Framed(b"".join(self._fresh(sent, due)), due - sent)
                sent = due
                told_s = time.monotonic()
            elif has_progress and time.monotonic() - told_s >= interval_s:
                told_s = time.monotonic()
                progress = observer_pb2.GetFlowsResponse(node_name=self._name.decode())
                now_ns = time.time_ns()
                progress.time.FromNanoseconds(now_ns)
                yield Framed(frame(progress.SerializeToString()), 1)

    def _fresh(self, start: int, stop: int) -> Iterator[bytes]:
        now_ns = time.time_ns()
        for index in range(start, stop):
            yield self._template.written(index, self._name, now_ns)


class Peers:
    """Implements the Peer service: these nodes, and no change ever."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses

    async def notify(
        self, call: Call, _request: peer_pb2.NotifyRequest
    ) -> AsyncGenerator[Framed, None]:
        """Yield all nodes and wait."""
        call.send_headers()
        changes = [
            peer_pb2.ChangeNotification(
                name=f"node-{number}",
                address=address,
                type=peer_pb2.ChangeNotificationType.PEER_ADDED,
            )
            for number, address in enumerate(self._addresses)
        ]
        yield Framed(b"".join(frame(each.SerializeToString()) for each in changes), len(changes))
        await asyncio.Event().wait()


async def serve(options: argparse.Namespace) -> None:
    """Serve nodes and peers until killed."""
    data = options.flows.read_bytes()
    template = Template(data)
    observer = observer_pb2.DESCRIPTOR.services_by_name["Observer"]
    checks = health_pb2.DESCRIPTOR.services_by_name["Health"]
    addresses: list[str] = list(options.peer)
    first = options.first
    for number in range(first, first + options.nodes):
        is_silent = number < options.silent
        node = FlowNode(
            number,
            options.of or options.nodes,
            template,
            flows=options.count,
            per_second=0.0 if is_silent else options.rate,
        )
        methods = service_methods(observer, node) | service_methods(checks, Health())
        addresses.append(await Server(methods).listen("127.0.0.1:0"))
    peer = peer_pb2.DESCRIPTOR.services_by_name["Peer"]
    if options.socket is not None:
        await Server(service_methods(peer, Peers(addresses))).listen(f"unix://{options.socket}")
    print(" ".join(addresses), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description="Cheap nodes for a relay.")
    parser.add_argument("--flows", type=Path, required=True, help="framed responses of a server")
    parser.add_argument("--socket", type=Path, help="unix socket of the peer service")
    parser.add_argument("--peer", action="append", default=[], help="another node's address")
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, help="number of the first node")
    parser.add_argument("--of", type=int, help="how many nodes there are in all")
    parser.add_argument("--silent", type=int, default=0, help="so many never send a flow")
    parser.add_argument("--count", type=int, default=0, help="flows in the history of a node")
    parser.add_argument("--rate", type=float, default=0.0, help="flows per second of a node")
    options = parser.parse_args()
    die_with_parent()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(options))


if __name__ == "__main__":
    main()
