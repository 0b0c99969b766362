"""`hubble reflect`: the API of a server, as it describes it.

Prints a FileDescriptorProto a line, in JSON with enums as numbers, for each file that its services
stand on; the services for health and reflection themselves are left out.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError, Message

from api.lane.client import Channel
from api.lane.status import Code, RpcError
from api.lane.talk import Talk
from api.proto.reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)
from cli.connection import ServerOptions, connected, rpc_text
from cli.errors import CliError
from cli.flags.arguments import Arguments
from cli.surroundings import Surroundings

_INFO = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
_LEFT_OUT = ("grpc.health.", "grpc.reflection.")


def run(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the files of a server's services; raises CliError."""
    arguments.read()
    server = ServerOptions.from_arguments(arguments)
    files = asyncio.run(_files(server, surroundings.warn))
    for file in files:
        surroundings.out.write(json.dumps(_plain(file), separators=(",", ":")) + "\n")


async def _files(server: ServerOptions, warn: Callable[[str], None]) -> list[FileDescriptorProto]:
    try:
        async with connected(server, warn) as channel:
            return await _ask_all(channel, server.request_timeout_s)
    except RpcError as error:
        if error.code is Code.UNIMPLEMENTED:
            raise CliError(f"the server does not describe itself: {rpc_text(error)}") from None
        raise CliError(rpc_text(error)) from None
    except DecodeError as error:
        raise CliError(f"rpc error: code = Internal desc = unreadable message: {error}") from None


async def _ask_all(channel: Channel, timeout_s: float) -> list[FileDescriptorProto]:
    """Ask for the services, then for the files of each; each file once, in the order sent."""
    files: dict[str, FileDescriptorProto] = {}
    async with channel.talk(_INFO, timeout_s=timeout_s) as call:
        answers = _Answers(call)
        listed = await answers.to(ServerReflectionRequest(list_services="*"))
        for service in listed.list_services_response.service:
            if service.name.startswith(_LEFT_OUT):
                continue
            question = ServerReflectionRequest(file_containing_symbol=service.name)
            found = await answers.to(question)
            for data in found.file_descriptor_response.file_descriptor_proto:
                file = FileDescriptorProto.FromString(data)
                files.setdefault(file.name, file)
        call.end_requests()
    return list(files.values())


class _Answers:
    """Says one question after the other and waits for its answer."""

    def __init__(self, call: Talk) -> None:
        self._call = call
        self._batches = call.batches()
        self._waiting: list[bytes] = []

    async def to(self, question: ServerReflectionRequest) -> ServerReflectionResponse:
        """Get the answer to a question.

        Raises:
            CliError: there is none, or it is an error.
            RpcError, DecodeError: the call failed.
        """
        await self._call.send(question)
        while not self._waiting:
            try:
                self._waiting = list(await anext(self._batches))
            except StopAsyncIteration:
                raise CliError("the server ended its answers before all was told") from None
        answer = ServerReflectionResponse.FromString(self._waiting.pop(0))
        if answer.HasField("error_response"):
            error = answer.error_response
            raise CliError(f"the server cannot describe itself: {error.error_message}")
        return answer


def _plain(message: Message) -> dict[str, object]:
    """Make a dict of a message: set fields by name, as they stand in its declaration."""
    return {
        field.name: (
            [_value(each) for each in getattr(message, field.name)]
            if field.is_repeated
            else _value(getattr(message, field.name))
        )
        for field in _set_fields(message)
    }


# upb's descriptors are not of the type declared for them.
def _set_fields(message: Message) -> Iterator[Any]:
    named = {field.name for field, _ in message.ListFields()}
    return (field for field in message.DESCRIPTOR.fields if field.name in named)


def _value(value: object) -> object:
    if isinstance(value, Message):
        return _plain(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value
