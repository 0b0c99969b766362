"""A question whose answer is a stream: ask, print batch by batch, end in peace.

    request -> server -> batches of messages -> printer -> output

What came before an error or Ctrl-C is printed too.
"""

import asyncio
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


def ask(question: Question, surroundings: Surroundings) -> None:
    """Print the answer; raises CliError."""
    asyncio.run(_ask(question, surroundings))


async def _ask(question: Question, surroundings: Surroundings) -> None:
    losses = Losses()
    async with connected(question.server, surroundings.warn) as channel:
        try:
            await _show(channel, question, losses, surroundings)
        finally:
            if not question.quiet and (text := losses.text()):
                surroundings.warn(text)
        request = question.request
        if (
            isinstance(request, GetFlowsRequest)
            and request.HasField("since")
            and not question.quiet
        ):
            await tell_missing_past(
                channel,
                request,
                question.now_ns,
                surroundings.warn,
                timeout_s=question.server.request_timeout_s,
            )


async def _show(
    channel: Channel, question: Question, losses: Losses, surroundings: Surroundings
) -> None:
    try:
        await _print(channel, question, losses, surroundings)
    except RpcError as error:
        if error.code is not Code.CANCELLED:
            raise CliError(rpc_text(error)) from None
    except DecodeError as error:
        raise CliError(f"rpc error: code = Internal desc = unreadable message: {error}") from None
    finally:
        surroundings.out.write(question.printer.finish())
        surroundings.out.flush()


async def _print(
    channel: Channel, question: Question, losses: Losses, surroundings: Surroundings
) -> None:
    out, batch = surroundings.out, question.printer.batch
    if question.debug:
        request = text_format.MessageToString(question.request, as_one_line=True)
        text = f"Sending {question.path.rpartition('/')[2]} request"
        surroundings.warn(f'level=DEBUG msg="{text}" req={quoted(request)}\n')
    call = channel.server_stream(question.path, question.request, metadata=question.metadata)
    async with call as answer:
        warn_if_older(await answer.wait_initial_metadata(), surroundings.warn)
        async for messages in answer.batches():
            losses.look(messages)
            out.write(batch(messages))
            if question.follow:
                out.flush()
