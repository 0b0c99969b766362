"""The reflection service: what services and messages does this process have?

grpcurl and its kin, which have no .proto files, ask here; ``grpc.reflection.v1`` and the older
``v1alpha`` are the same on the wire and answered by the same code. Files are those of the
descriptor pools of the services, under the names that they have there. One call holds the names
of the files it has sent, nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from api.lane.service import service_methods
from api.lane.status import Code, RpcError
from api.lane.wire import Framed, frame
from api.proto.reflection.v1 import reflection_pb2 as pb
from api.proto.reflection.v1alpha import reflection_pb2 as alpha_pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

    from google.protobuf.descriptor import Descriptor, FileDescriptor, ServiceDescriptor
    from google.protobuf.descriptor_pool import DescriptorPool

    from api.lane.call import Call, Method

T = TypeVar("T")
_OLD_AND_NEW = tuple(
    each.DESCRIPTOR.services_by_name["ServerReflection"] for each in (alpha_pb, pb)
)


def reflection_methods(services: Iterable[ServiceDescriptor]) -> dict[str, Method]:
    """Return the methods of both reflection services, which show ``services`` and themselves."""
    shown = Reflection((*services, *_OLD_AND_NEW))
    old, new = _OLD_AND_NEW
    methods = service_methods(new, shown)
    # The messages of v1alpha have the same fields: they are read and written as those of v1.
    renamed = {path.replace(new.full_name, old.full_name): each for path, each in methods.items()}
    return methods | renamed


class Reflection:
    """Implements ServerReflection; :func:`reflection_methods` makes methods of it."""

    def __init__(self, services: Iterable[ServiceDescriptor]) -> None:
        listed = tuple(services)
        self._names = sorted(service.full_name for service in listed)
        # In a dict for its order: what is defined twice is found in the first service's pool.
        self._pools = tuple(dict.fromkeys(service.file.pool for service in listed))

    async def server_reflection_info(
        self, _call: Call, requests: AsyncIterator[pb.ServerReflectionRequest]
    ) -> AsyncGenerator[Framed, None]:
        """Yield an answer for each question.

        Raises:
            RpcError: INVALID_ARGUMENT, a message without a question.
        """
        sent: set[str] = set()
        async for request in requests:
            answer = pb.ServerReflectionResponse(valid_host=request.host, original_request=request)
            try:
                self._answer(request, answer, sent)
            except LookupError as error:
                answer.error_response.error_code = Code.NOT_FOUND
                answer.error_response.error_message = str(error.args[0])
            yield Framed(frame(answer.SerializeToString()), 1)

    def _answer(
        self,
        request: pb.ServerReflectionRequest,
        answer: pb.ServerReflectionResponse,
        sent: set[str],
    ) -> None:
        """Fill in the answer; LookupError, with the text for the client, if there is none."""
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in self._names:
                    answer.list_services_response.service.add(name=name)
            case "file_by_filename":
                _put_files(answer, self._file(request.file_by_filename), sent)
            case "file_containing_symbol":
                _put_files(answer, self._file_of_symbol(request.file_containing_symbol), sent)
            case "file_containing_extension":
                wanted = request.file_containing_extension
                name = self._extension(wanted.containing_type, wanted.extension_number)
                _put_files(answer, self._file_of_symbol(name), sent)
            case "all_extension_numbers_of_type":
                name = request.all_extension_numbers_of_type
                answer.all_extension_numbers_response.base_type_name = name
                numbers = self._extension_numbers(name)
                answer.all_extension_numbers_response.extension_number.extend(numbers)
            case _:
                raise RpcError(Code.INVALID_ARGUMENT, "reflect: the request asks for nothing")

    def _file(self, name: str) -> FileDescriptor:
        return self._find("file", name, lambda pool: pool.FindFileByName(name))

    def _file_of_symbol(self, symbol: str) -> FileDescriptor:
        return self._find("symbol", symbol, lambda pool: _file_of_symbol(pool, symbol))

    def _message(self, name: str) -> tuple[DescriptorPool, Descriptor]:
        return self._find("message", name, lambda pool: (pool, pool.FindMessageTypeByName(name)))

    def _extension(self, message: str, number: int) -> str:
        """Return the full name of an extension."""
        pool, extended = self._message(message)
        try:
            return pool.FindExtensionByNumber(extended, number).full_name
        except KeyError:
            raise LookupError(f"extension not found: {number} of {message}") from None

    def _extension_numbers(self, message: str) -> list[int]:
        pool, extended = self._message(message)
        return sorted(field.number for field in pool.FindAllExtensions(extended))

    def _find(self, what: str, name: str, look: Callable[[DescriptorPool], T]) -> T:
        for pool in self._pools:
            try:
                return look(pool)
            except KeyError:
                continue
        raise LookupError(f"{what} not found: {name}")


def _file_of_symbol(pool: DescriptorPool, symbol: str) -> FileDescriptor:
    try:
        return pool.FindFileContainingSymbol(symbol)
    except KeyError:
        # The pool finds all but methods.
        service, _, method = symbol.rpartition(".")
        found = pool.FindServiceByName(service)
        return found.methods_by_name[method].containing_service.file


def _put_files(answer: pb.ServerReflectionResponse, wanted: FileDescriptor, sent: set[str]) -> None:
    """Add a file, then what it imports, leaving out what this call has sent; the file always."""
    files = answer.file_descriptor_response.file_descriptor_proto
    files.append(wanted.serialized_pb)
    sent.add(wanted.name)
    waiting = list(wanted.dependencies)
    while waiting:
        file = waiting.pop(0)
        if file.name not in sent:
            sent.add(file.name)
            files.append(file.serialized_pb)
            waiting += file.dependencies
