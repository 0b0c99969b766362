"""A container engine as far as names go: its documented HTTP API on a unix socket, no more."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web


def container(
    name: str,
    *addresses: str,
    identifier: str = "",
    labels: dict[str, Any] | None = None,
    image: str = "nginx:1.27",
    mode: str = "bridge",
) -> dict[str, Any]:
    """One element of /containers/json, with the fields that Docker 27 sends."""
    networks = {
        f"net{number}": {
            "IPAMConfig": None,
            "Links": None,
            "Aliases": None,
            "MacAddress": "02:42:ac:11:00:02",
            "NetworkID": "7ea29fc1412292a2d7bba362f9253545fecdfa8ce9a6e37dd10ba8bee7129812",
            "EndpointID": "2cdc4edb1ded3631c81f57966563e5c8525b81121bb3706a9a9a3ae102711f3f",
            "Gateway": "172.17.0.1",
            "IPAddress": "" if ":" in address else address,
            "IPPrefixLen": 16,
            "IPv6Gateway": "",
            "GlobalIPv6Address": address if ":" in address else "",
            "GlobalIPv6PrefixLen": 0,
            "DriverOpts": None,
            "DNSNames": None,
        }
        for number, address in enumerate(addresses)
    }
    return {
        "Id": identifier or f"{name}-0123456789abcdef",
        "Names": [f"/other/{name}", f"/{name}"],
        "Image": image,
        "ImageID": "sha256:d74508fb6632491cea586a1fd7d748dfc5274cd6fdfedee309ecdcbc2bf5cb82",
        "Command": "nginx -g 'daemon off;'",
        "Created": 1732104000,
        "Ports": [],
        "Labels": labels,
        "State": "running",
        "Status": "Up 3 minutes",
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": networks},
        "Mounts": [],
    }


def event(action: str, kind: str = "container") -> dict[str, Any]:
    return {
        "status": action,
        "id": "0123456789abcdef",
        "Type": kind,
        "Action": action,
        "Actor": {"ID": "0123456789abcdef", "Attributes": {"image": "nginx:1.27"}},
        "scope": "local",
        "time": 1732104000,
        "timeNano": 1732104000000000000,
    }


@dataclass
class EngineDouble:
    """What it would answer, and what it was asked."""

    listed: object = field(default_factory=list)
    status: int = 200
    lists: int = 0
    listeners: int = 0
    filters: list[Any] = field(default_factory=list)
    is_late: bool = False
    """The answer to /events begins with the first event, as old Podmans do."""
    asked_often: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the third list."""
    lines: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)

    def tell(self, *events: dict[str, Any]) -> None:
        """Send events, all in one piece."""
        self.lines.put_nowait(b"".join(json.dumps(each).encode() + b"\n" for each in events))

    def hang_up(self) -> None:
        """End the stream of events."""
        self.lines.put_nowait(None)

    async def containers(self, request: web.Request) -> web.StreamResponse:
        self.lists += 1
        if self.lists == 3:
            self.asked_often.set()
        return web.json_response(self.listed, status=self.status)

    async def events(self, request: web.Request) -> web.StreamResponse:
        self.listeners += 1
        self.filters.append(json.loads(request.query["filters"]))
        response = web.StreamResponse()
        if not self.is_late:
            await response.prepare(request)
        while (part := await self.lines.get()) is not None:
            if not response.prepared:
                await response.prepare(request)
            await response.write(part)
        return response


@asynccontextmanager
async def serving(engine: EngineDouble, socket: Path) -> AsyncIterator[None]:
    """Answer on the socket until the end, then remove it."""
    app = web.Application()
    app.router.add_get("/containers/json", engine.containers)
    app.router.add_get("/events", engine.events)
    runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(socket)).start()
        yield
    finally:
        await runner.cleanup()  # removes the socket
