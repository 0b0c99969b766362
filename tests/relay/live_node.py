"""A node as a process: one flow every five milliseconds since a moment, and none ever forgotten.

What it has to tell follows from the clock alone, so that a node that was killed knows, when it is
back, all that it would have known. Run as a script by the fault tests.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import uvloop

from api.lane.call import Call
from api.lane.health import Health
from api.lane.server import Server
from api.lane.service import service_methods
from api.lane.tls import ServerTls
from api.lane.wire import Framed
from api.proto.health import health_pb2
from api.proto.observer import observer_pb2 as pb
from tests.relay.wire import padded, progress

STEP_NS = 5_000_000


class LiveNode:
    def __init__(self, name: str, base_ns: int) -> None:
        self._name = name
        self._base_ns = base_ns

    async def server_status(
        self, _call: Call, _request: pb.ServerStatusRequest
    ) -> pb.ServerStatusResponse:
        return pb.ServerStatusResponse(version="live")

    async def get_flows(
        self, call: Call, request: pb.GetFlowsRequest
    ) -> AsyncGenerator[Framed, None]:
        call.send_headers()
        now_ns = time.time_ns()
        since_ns = request.since.ToNanoseconds() if request.HasField("since") else None
        if since_ns is None:
            since_ns = now_ns if request.follow else self._base_ns
        index = max(-((self._base_ns - since_ns) // STEP_NS), 0)
        while True:
            now_ns = time.time_ns()
            parts: list[bytes] = []
            while self._base_ns + index * STEP_NS <= now_ns and len(parts) < 500:
                time_ns = self._base_ns + index * STEP_NS
                parts.append(padded(f"{self._name} {index}", time_ns, self._name))
                index += 1
            if len(parts) < 500:
                if not request.follow:
                    yield Framed(b"".join(parts), len(parts))
                    return
                parts.append(progress(now_ns, self._name))
            yield Framed(b"".join(parts), len(parts))
            await asyncio.sleep(0.01)


async def serve(options: argparse.Namespace) -> None:
    observer = pb.DESCRIPTOR.services_by_name["Observer"]
    checks = health_pb2.DESCRIPTOR.services_by_name["Health"]
    node = LiveNode(options.name, options.base_ns)
    tls = None
    if options.certificate is not None:
        tls = ServerTls(
            certificate=options.certificate,
            key=options.key,
            client_authorities=[options.authority],
        )
    server = Server(service_methods(observer, node) | service_methods(checks, Health()))
    print(await server.listen(options.address, ssl=tls), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--base-ns", type=int, required=True)
    parser.add_argument("--address", default="127.0.0.1:0")
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--authority", type=Path)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
