"""`--input-file`: flows out of a file or stdin instead of a server.

    bytes -> lines -> responses (observer.decode.flows_json) -> filters, time range -> printer

What comes is handled as it comes: a pipe is printed line by line, a file in batches, and memory
is that of a batch, of the longest line and, for --last N, of N flows. Only this way of observing
loads NumPy.
"""

import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from api.proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from cli.errors import CliError
from cli.printers.choice import Printer
from cli.quoting import quoted
from cli.surroundings import Surroundings
from observer.decode.flows_json import LineError, ResponseReader, Screen
from observer.filters import FilterError

_CHUNK_BYTES = 256 * 1024
_LINE_SHOWN_BYTES = 512
_STDIN = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileQuestion:
    """What is asked of a file, and how the answer is shown."""

    path: str
    """`-` for stdin."""
    request: GetFlowsRequest
    """Filters and time range; number and first as --first and --last gave them, 0 for all."""
    printer: Printer


def print_file(question: FileQuestion, surroundings: Surroundings) -> None:
    """Print what the file has; raises CliError.

    What passed before an error or Ctrl-C is printed.
    """
    request = question.request
    try:
        screen = Screen(request.whitelist, request.blacklist)
    except FilterError as error:
        raise CliError(str(error)) from None
    times = _TimeRange(request)
    batches = _batches(question.path, surroundings)
    passing = (
        [batch[index] for index in screen.passing(batch)] for batch in map(times.within, batches)
    )
    with closing(batches):
        try:
            _print(passing, question, surroundings)
        except FilterError as error:
            # An expression that takes too long for one flow.
            raise CliError(str(error)) from None
        finally:
            surroundings.out.write(question.printer.finish())
            surroundings.out.flush()


def _print(
    batches: Iterator[list[GetFlowsResponse]], question: FileQuestion, surroundings: Surroundings
) -> None:
    request, out = question.request, surroundings.out
    if request.number and not request.first:
        kept: deque[GetFlowsResponse] = deque(maxlen=request.number)
        for batch in batches:
            kept.extend(batch)
        batches = iter([list(kept)])
    missing = request.number if request.first else None
    for batch in batches:
        messages = [each.SerializeToString() for each in batch[:missing]]
        out.write(question.printer.batch(messages))
        out.flush()
        if missing is not None:
            missing -= len(messages)
            if not missing:
                return


class _TimeRange:
    """--since and --until, both inclusive; a response without time is of 1970."""

    def __init__(self, request: GetFlowsRequest) -> None:
        """Read the range of a request."""
        self._since = _moment(request.since) if request.HasField("since") else None
        self._until = _moment(request.until) if request.HasField("until") else None

    def within(self, batch: Sequence[GetFlowsResponse]) -> Sequence[GetFlowsResponse]:
        """Keep the responses of the range."""
        if self._since is None and self._until is None:
            return batch
        return [each for each in batch if self._has(_moment(each.time))]

    def _has(self, moment: tuple[int, int]) -> bool:
        if self._since is not None and moment < self._since:
            return False
        return self._until is None or moment <= self._until


def _moment(time: Timestamp) -> tuple[int, int]:
    return time.seconds, time.nanos


def _batches(path: str, surroundings: Surroundings) -> Generator[list[GetFlowsResponse]]:
    """Read responses as they come; warns of lines that are none."""
    reader, line_number = ResponseReader(), 0
    with closing(_lines(path)) as pieces:
        for lines in pieces:
            known, batch = reader.unknown, []
            for line in lines:
                line_number += 1
                try:
                    batch.append(reader.read(line))
                except LineError as error:
                    surroundings.warn(_warning(line_number, line, error))
            if reader.unknown != known:
                surroundings.warn(
                    'level=WARN msg="Some fields or names are of a later version than this and '
                    f'are left out" error={quoted(reader.unknown)}\n'
                )
            yield batch


def _warning(line_number: int, line: bytes, error: LineError) -> str:
    text = line[:_LINE_SHOWN_BYTES].decode("utf-8", "surrogateescape")
    told = f"line_number={line_number} error={quoted(str(error))} line={quoted(text)}"
    return f'level=WARN msg="A line is no flow and is left out" {told}\n'


def _lines(path: str) -> Generator[list[bytes]]:
    """Read whole lines, without their ends, as many as are there; raises CliError."""
    descriptor = _STDIN if path == "-" else _opened(path)
    rest: list[bytes] = []
    try:
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            *lines, tail = chunk.split(b"\n")
            if lines:
                lines[0] = b"".join((*rest, lines[0]))
                rest.clear()
                yield lines
            rest.append(tail)
        if last := b"".join(rest):
            yield [last]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CliError(f"read {path}: {reason}") from None
    finally:
        if descriptor != _STDIN:
            os.close(descriptor)


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CliError(f"open {path}: {(reason or '').lower()}") from None
