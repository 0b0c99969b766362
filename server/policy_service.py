"""The Policies service of a node: which policies there are, what they say of a packet.

A judgement of a packet by 1,000 policies takes some 30 ms, so it is made in a thread: it reads only
values that nobody changes.
"""

import asyncio
from typing import Final

from api.lane.call import Call
from api.lane.status import Code, RpcError
from api.proto.leavitt.policy_pb2 import (
    IdentitiesRequest,
    IdentitiesResponse,
    JudgeRequest,
    JudgeResponse,
    ListPoliciesRequest,
    ListPoliciesResponse,
)
from server.policy_desk import PolicyDesk, UnknownPartyError

_LAST_PROTOCOL: Final = 255
_LAST_PORT: Final = 65_535


class PolicyService:
    """Implements leavitt.Policies; give it to `api.lane.service.service_methods`."""

    def __init__(self, desk: PolicyDesk) -> None:
        self._desk = desk

    async def list(self, _call: Call, _request: ListPoliciesRequest) -> ListPoliciesResponse:
        """List the policies in force."""
        return await asyncio.to_thread(self._desk.policies)

    async def identities(self, _call: Call, _request: IdentitiesRequest) -> IdentitiesResponse:
        """List the identities."""
        return await asyncio.to_thread(self._desk.identities)

    async def judge(self, _call: Call, request: JudgeRequest) -> JudgeResponse:
        """Judge a packet."""
        if not 0 < request.protocol <= _LAST_PROTOCOL or request.port > _LAST_PORT:
            text = f"judge packet: no such port: {request.port} of protocol {request.protocol}"
            raise RpcError(Code.INVALID_ARGUMENT, text)
        try:
            return await asyncio.to_thread(
                self._desk.judge,
                request.source,
                request.destination,
                request.protocol,
                request.port,
            )
        except UnknownPartyError as error:
            raise RpcError(Code.NOT_FOUND, f"judge packet: {error}") from error
        except ValueError as error:
            raise RpcError(Code.INVALID_ARGUMENT, f"judge packet: {error}") from error
