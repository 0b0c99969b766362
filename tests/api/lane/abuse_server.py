"""A lane server as a process of its own: prints its two addresses, plain and TLS, and serves.

`python abuse_server.py CERTIFICATE KEY`; its limits are those of every server.
"""

import asyncio
import json
import sys
from pathlib import Path

import uvloop

from api.lane.server import Call, Server
from api.lane.tls import ServerTls
from api.lane.wire import Framed, frame


async def echo(call: Call) -> None:
    request = await call.receive()
    await call.send(Framed(frame(request or b""), 1))


async def endless(call: Call) -> None:
    batch = Framed(frame(bytes(1000)) * 256, 256)
    while True:
        await call.send(batch)


async def sleep(_call: Call) -> None:
    await asyncio.Event().wait()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def main() -> None:
    server = Server({"/t.T/Echo": echo, "/t.T/Endless": endless, "/t.T/Sleep": sleep})

    async def tell(call: Call) -> None:
        told = server.statistics()
        counts = {
            "connections": told.connections_open,
            "calls": told.calls_open,
            "refused": sum(told.refused.values()),
            "resident_bytes": resident_bytes(),
        }
        await call.send(Framed(frame(json.dumps(counts).encode()), 1))

    server.methods["/t.T/Tell"] = tell
    tls = ServerTls(certificate=Path(sys.argv[1]), key=Path(sys.argv[2]))
    plain, secret = await server.listen("127.0.0.1:0"), await server.listen("127.0.0.1:0", ssl=tls)
    print(json.dumps([plain, secret]), flush=True)
    await asyncio.Event().wait()


uvloop.run(main())
