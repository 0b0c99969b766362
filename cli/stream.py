"""A question whose answer is a stream: ask, print batch by batch, end in peace.

    request -> server -> batches of messages -> printer -> output

What came before an error or Ctrl-C is printed too. With a memory a lost server is no end, see
`cli.retry`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message

from api.lane.client import Channel
from api.lane.metadata import Metadata
from api.lane.status import Code, RpcError
from api.proto.observer.observer_pb2 import GetFlowsRequest
from cli.connection import ServerOptions, connected, rpc_text, warn_if_older
from cli.errors import CliError
from cli.hints import Losses, tell_missing_past
from cli.memory import Memory
from cli.printers.choice import Printer
from cli.quoting import quoted
from cli.surroundings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, of whom, and how the answer is shown."""

    server: ServerOptions
    path: str
    """`/package.Service/Method` of a method that streams."""
    request: Message
    printer: Printer
    debug: bool
    follow: bool
    """Whether the answer goes on as things happen: each batch is shown at once."""
    metadata: Metadata = ()
    quiet: bool = False
    """Whether nothing but the answer and errors is told."""
    now_ns: int = 0
    """Time of the question."""
    memory: Memory | None = None
    """What to go on from when the server is lost; None to end then."""


def ask(question: Question, surroundings: Surroundings) -> None:
    """Print the answer; raises CliError."""
    asyncio.run(_ask(question, surroundings))


async def _ask(question: Question, surroundings: Surroundings) -> None:
    shown = _Shown(question, surroundings)
    try:
        try:
            await _answer(question, shown, surroundings)
        finally:
            shown.finish()
    except RpcError as error:
        if error.code is not Code.CANCELLED:
            raise CliError(rpc_text(error)) from None
    except DecodeError as error:
        raise CliError(f"rpc error: code = Internal desc = unreadable message: {error}") from None


async def _answer(question: Question, shown: "_Shown", surroundings: Surroundings) -> None:
    if question.memory is None:
        await _ask_once(question, shown, surroundings)
    else:
        await _ask_again_and_again(question, question.memory, shown, surroundings)


async def _ask_once(question: Question, shown: "_Shown", surroundings: Surroundings) -> None:
    async with connected(question.server, surroundings.warn) as channel:
        if question.follow:
            await _tell_missing_past(channel, question, surroundings)  # there will be no end
        async with _called(channel, question, question.request, surroundings) as batches:
            async for messages in batches:
                shown.show(messages)
        shown.finish()
        if not question.follow:
            await _tell_missing_past(channel, question, surroundings)


async def _ask_again_and_again(
    question: Question, memory: Memory, shown: "_Shown", surroundings: Surroundings
) -> None:
    from cli.retry import Retrying  # most do not ask for it

    retrying = Retrying(memory, question.server, surroundings, quiet=question.quiet)

    async def ask_once(channel: Channel) -> None:
        if memory.time_ns is None:
            await _tell_missing_past(channel, question, surroundings)
        async with _called(channel, question, memory.resumed(), surroundings) as batches:
            shown.mark(retrying.answered())
            async for messages in batches:
                shown.show(memory.unseen(messages))

    await retrying.run(ask_once)


@asynccontextmanager
async def _called(
    channel: Channel, question: Question, request: Message, surroundings: Surroundings
) -> AsyncIterator[AsyncIterator[Sequence[bytes]]]:
    """Call the method; gives batches of messages once the server has begun its answer."""
    if question.debug:
        text = f"Sending {question.path.rpartition('/')[2]} request"
        shown = text_format.MessageToString(request, as_one_line=True)
        surroundings.warn(f'level=DEBUG msg="{text}" req={quoted(shown)}\n')
    async with channel.server_stream(question.path, request, metadata=question.metadata) as answer:
        warn_if_older(await answer.wait_initial_metadata(), surroundings.warn)
        yield answer.batches()


async def _tell_missing_past(
    channel: Channel, question: Question, surroundings: Surroundings
) -> None:
    request = question.request
    if question.quiet or not isinstance(request, GetFlowsRequest) or not request.HasField("since"):
        return
    await tell_missing_past(
        channel,
        request,
        question.now_ns,
        surroundings.warn,
        timeout_s=question.server.request_timeout_s,
    )


class _Shown:
    """What was shown so far, and how to go on."""

    def __init__(self, question: Question, surroundings: Surroundings) -> None:
        self._out = surroundings.out
        self._printer = question.printer
        self._follow = question.follow
        self._warn = None if question.quiet else surroundings.warn
        self._losses = Losses()
        self._finished = False

    def show(self, messages: Sequence[bytes]) -> None:
        """Show a batch; raises DecodeError."""
        self._losses.look(messages)
        self.mark(messages)

    def mark(self, messages: Sequence[bytes]) -> None:
        """Show messages that no server sent; raises DecodeError."""
        self._out.write(self._printer.batch(messages))
        if self._follow:
            self._out.flush()

    def finish(self) -> None:
        """Show what was held back to the end, and tell of losses; once."""
        if self._finished:
            return
        self._finished = True
        self._out.write(self._printer.finish())
        self._out.flush()
        if self._warn is not None and (text := self._losses.text()):
            self._warn(text)
