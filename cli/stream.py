"""A question whose answer is a stream: ask, print batch by batch, end in peace.

    request -> server -> batches of messages -> printer -> output

What came before an error or Ctrl-C is printed too.
"""

import asyncio
from dataclasses import dataclass

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from api.lane.client import Channel
from api.lane.metadata import Metadata
from api.lane.status import Code, RpcError
from cli.connection import ServerOptions, open_channel, rpc_text, warn_if_older
from cli.errors import CliError
from cli.printers.choice import Printer
from cli.quoting import quoted
from cli.selection import SelectRequest
from cli.surroundings import Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, of whom, and how the answer is shown."""

    server: ServerOptions
    method: str
    """Name of a streaming method of the Observer service."""
    request: SelectRequest
    printer: Printer
    debug: bool
    metadata: Metadata = ()


def ask(question: Question, surroundings: Surroundings) -> None:
    """Print the answer; raises CliError."""
    asyncio.run(_ask(question, surroundings))


async def _ask(question: Question, surroundings: Surroundings) -> None:
    channel = open_channel(question.server)
    try:
        await _show(channel, question, surroundings)
    finally:
        await channel.close()


async def _show(channel: Channel, question: Question, surroundings: Surroundings) -> None:
    try:
        await _print(channel, question, surroundings)
    except RpcError as error:
        if error.code is not Code.CANCELLED:
            raise CliError(rpc_text(error)) from None
    except DecodeError as error:
        raise CliError(f"rpc error: code = Internal desc = unreadable message: {error}") from None
    finally:
        surroundings.out.write(question.printer.finish())
        surroundings.out.flush()


async def _print(channel: Channel, question: Question, surroundings: Surroundings) -> None:
    out, batch = surroundings.out, question.printer.batch
    if question.debug:
        request = text_format.MessageToString(question.request, as_one_line=True)
        text = f"Sending {question.method} request"
        surroundings.warn(f'level=DEBUG msg="{text}" req={quoted(request)}\n')
    follow = question.request.follow
    path = f"/observer.Observer/{question.method}"
    async with channel.server_stream(path, question.request, metadata=question.metadata) as answer:
        warn_if_older(await answer.wait_initial_metadata(), surroundings.warn)
        async for messages in answer.batches():
            out.write(batch(messages))
            if follow:
                out.flush()
