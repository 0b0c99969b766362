"""The Peer service of a node: tells relays which nodes there are, for as long as they listen.

In: `server.peers`. Out: one stream a caller, all peers first and then each change.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from api.lane.call import Call
from api.lane.status import Code, RpcError
from api.lane.wire import Framed, frame
from api.proto.peer.peer_pb2 import NotifyRequest
from server.peers import OverrunError, PeerBook

_BLOCKED: Final = "server stream send was blocked for too long"
"""Hubble's words for a caller that does not read."""


class PeerService:
    """Implements peer.Peer; give it to `api.lane.service.service_methods`."""

    def __init__(self, peers: PeerBook) -> None:
        self._peers = peers

    async def notify(self, call: Call, _request: NotifyRequest) -> AsyncGenerator[Framed, None]:
        """Yield changes until the caller hangs up; UNKNOWN for one that reads far too slowly."""
        call.send_headers()
        with self._peers.subscribe() as subscription:
            try:
                while True:
                    changes = await subscription.next()
                    told = [frame(each.notification().SerializeToString()) for each in changes]
                    yield Framed(b"".join(told), len(told))
                    await asyncio.sleep(0)  # others have their turn in the list of a large cluster
            except OverrunError as error:
                raise RpcError(Code.UNKNOWN, _BLOCKED) from error
