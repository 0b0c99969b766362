"""Methods from a service's descriptor and an object that implements it.

The descriptor says what the service has; for ``rpc GetFlows`` the object has ``get_flows``:

==================  =====================================================  ==============
rpc                 implementation                                         returns, yields
==================  =====================================================  ==============
unary               ``async def f(call, request)``                         a message
server streaming    ``async def f(call, request)``, a generator            ``Framed``
client streaming    ``async def f(call, requests)``                        a message
bidirectional       ``async def f(call, requests)``, a generator           ``Framed``
==================  =====================================================  ==============

``requests`` is an async iterator of messages. A generator is closed when the call ends in any
way, so its ``finally`` runs before the status is sent.
"""

from __future__ import annotations

import re
from contextlib import aclosing
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from api.lane.status import Code, RpcError
from api.lane.wire import Framed, frame

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

    from api.lane.call import Call, Method

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


def service_methods(service: ServiceDescriptor, implementation: object) -> dict[str, Method]:
    """Return ``/package.Service/Method`` -> method for each rpc of a service.

    An rpc that the implementation has no attribute for answers UNIMPLEMENTED.
    """
    return {
        f"/{service.full_name}/{rpc.name}": _method(rpc, implementation) for rpc in service.methods
    }


def _method(rpc: MethodDescriptor, implementation: object) -> Method:
    function = getattr(implementation, _WORD_START.sub("_", rpc.name).lower(), None)
    if function is None:
        return _missing(rpc.name)
    request_type = GetMessageClass(rpc.input_type)
    answer = _send_batches if rpc.server_streaming else _send_reply

    async def serve_one(call: Call) -> None:
        await answer(call, function(call, await _one_request(call, request_type)))

    async def serve_many(call: Call) -> None:
        await answer(call, function(call, _each_request(call, request_type)))

    return serve_many if rpc.client_streaming else serve_one


def _missing(name: str) -> Method:
    async def refuse(_call: Call) -> None:
        raise RpcError(Code.UNIMPLEMENTED, f"method {name} not implemented")

    return refuse


async def _send_reply(call: Call, reply: Awaitable[Message]) -> None:
    message = await reply
    await call.send(Framed(frame(message.SerializeToString()), 1))


async def _send_batches(call: Call, batches: AsyncGenerator[Framed, None]) -> None:
    async with aclosing(batches):
        async for batch in batches:
            await call.send(batch)


async def _one_request(call: Call, request_type: type[Message]) -> Message:
    data = await call.receive()
    if data is None:
        text = "cardinality violation: received no request message from non-client-streaming RPC"
        raise RpcError(Code.INTERNAL, text)
    return _parse(data, request_type)


async def _each_request(call: Call, request_type: type[Message]) -> AsyncIterator[Message]:
    while (data := await call.receive()) is not None:
        yield _parse(data, request_type)


def _parse(data: bytes, request_type: type[Message]) -> Message:
    try:
        return request_type.FromString(data)
    except DecodeError as error:
        raise RpcError(Code.INTERNAL, f"grpc: error unmarshalling request: {error}") from error
