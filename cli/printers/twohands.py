"""A long answer written by two processes: each makes the text of its share, one puts it in order.

    messages ──┬──► this process: text ────────────────────────┐
               └──► pipe ──► second process: text ──► pipe ────┴──► text, in the order of messages

The second process is a fork, made once an answer proves to be long; it knows all texts kept so
far. It gets a share whenever it has none. What this process writes meanwhile waits for it, 16 MiB
at most. If it dies, its share is written here. Only for printers whose texts do not depend on what
came before, and for answers that end: a share is not written before it is full.
"""

import os
import signal
import struct
from collections.abc import Sequence
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl
from select import select
from typing import Final
from warnings import catch_warnings, simplefilter

from google.protobuf.message import DecodeError

from cli.printers.choice import Printer

_LONG: Final = 4_096
"""Messages after which an answer is long: a fork costs as much as writing a thousand."""
_SHARE: Final = 1_024
_WAITING_BYTES: Final = 16 << 20
_PIPE_BYTES: Final = 1 << 20
_HEAD: Final = struct.Struct("=?Q")
"""Whether it went well, and the size of what follows."""


class TwoHands:
    """Prints as another printer does, from two processes once that is worth it."""

    def __init__(self, printer: Printer) -> None:
        """Take the printer that makes the texts."""
        self._printer = printer
        self._seen = 0
        self._second: _SecondHand | None = None
        self._has_tried = False
        self._share: list[bytes] = []
        """Collected for the second hand, or in its work."""
        self._waiting: list[bytes] = []
        """Texts behind that share."""
        self._waiting_bytes = 0

    def batch(self, messages: Sequence[bytes]) -> str | bytes:
        """Write what can be written in order; raises DecodeError."""
        self._seen += len(messages)
        if self._seen > _LONG and not self._has_tried:
            self._has_tried = True
            self._second = _second_hand(self._printer)
        second = self._second
        if second is None:
            return self._printer.batch(messages)
        if not second.is_busy:
            self._share += messages
            if len(self._share) >= _SHARE:
                second.take(self._share)
            return b""
        text = _encoded(self._printer.batch(messages))
        self._waiting.append(text)
        self._waiting_bytes += len(text)
        if self._waiting_bytes < _WAITING_BYTES and not second.is_ready():
            return b""
        return self._in_order(second)

    def finish(self) -> str | bytes:
        """Write what is left; raises DecodeError."""
        second = self._second
        if second is None:
            return self._printer.finish()
        try:
            if second.is_busy:
                text = self._in_order(second)
            else:
                text = _encoded(self._printer.batch(self._share))
        finally:
            if self._second is not None:
                self._second = None
                second.close()
        return text + _encoded(self._printer.finish())

    def _in_order(self, second: "_SecondHand") -> bytes:
        """Wait for the share of the second hand and put what waits behind it."""
        share, waiting = self._share, self._waiting
        # In any case: who asks for the rest after an error is not to meet it once more.
        self._share, self._waiting, self._waiting_bytes = [], [], 0
        text: bytes | bytearray | None = second.text()
        if text is None:
            self._second = None
            second.close()
            text = _encoded(self._printer.batch(share))
        return b"".join((text, *waiting))


def _second_hand(printer: Printer) -> "_SecondHand | None":
    """Fork where there is a second processor for it, and nothing against it."""
    if len(os.sched_getaffinity(0)) < 2:
        return None
    with suppress(OSError), catch_warnings():
        # Python warns of threads, which a fork leaves out. The only one here has looked up the
        # server's name and waits for more, holding nothing that the second hand needs.
        simplefilter("ignore", DeprecationWarning)
        return _SecondHand(printer)
    return None  # no more processes or files: one hand will do


class _SecondHand:
    """The other process, seen from this one."""

    def __init__(self, printer: Printer) -> None:
        """Start it; raises OSError."""
        from_here, to_there = os.pipe()
        from_there, to_here = os.pipe()
        for end in (to_there, to_here):
            with suppress(OSError):  # more than we may have: then it takes more turns
                fcntl(end, F_SETPIPE_SZ, _PIPE_BYTES)
        self._to_there, self._from_there = to_there, from_there
        self.is_busy = False
        try:
            self._pid = os.fork()
        except OSError:
            for end in (from_here, to_there, from_there, to_here):
                os.close(end)
            raise
        if self._pid == 0:
            os.close(to_there)
            os.close(from_there)
            _work(printer, from_here, to_here)
        os.close(from_here)
        os.close(to_here)

    def take(self, messages: Sequence[bytes]) -> None:
        """Give it a share."""
        self.is_busy = True
        sizes = struct.pack(f"={len(messages)}I", *map(len, messages))
        with suppress(BrokenPipeError):  # found out when its text is wanted
            _write(self._to_there, _HEAD.pack(True, len(messages)), sizes, b"".join(messages))

    def is_ready(self) -> bool:
        """Tell whether its text can be had without waiting long."""
        return bool(select([self._from_there], [], [], 0)[0])

    def text(self) -> bytearray | None:
        """Wait for the text of its share; None if it has died. Raises DecodeError."""
        self.is_busy = False
        try:
            went_well, size_bytes = _HEAD.unpack(_read(self._from_there, _HEAD.size))
            text = _read(self._from_there, size_bytes)
        except EOFError:
            return None
        if not went_well:
            raise DecodeError(text.decode())
        return text

    def close(self) -> None:
        """Let it end, and wait for that."""
        os.close(self._to_there)
        os.close(self._from_there)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _work(printer: Printer, source: int, target: int) -> None:
    """Be the second hand until there is no more work; does not return."""
    # Ctrl-C is for the first hand; with its end the work ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = 1
    try:
        while True:
            _, count = _HEAD.unpack(_read(source, _HEAD.size))
            sizes = struct.unpack(f"={count}I", _read(source, 4 * count))
            joined, messages, start = bytes(_read(source, sum(sizes))), [], 0
            for size_bytes in sizes:
                messages.append(joined[start : start + size_bytes])
                start += size_bytes
            try:
                went_well, text = True, _encoded(printer.batch(messages))
            except DecodeError as error:
                went_well, text = False, str(error).encode()
            _write(target, _HEAD.pack(went_well, len(text)), text)
    except (EOFError, BrokenPipeError):
        status = 0
    finally:
        # Whatever went wrong: this is a copy of the program, which must not go on as a second one.
        os._exit(status)


def _write(target: int, *pieces: bytes) -> None:
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(target, rest) :]


def _read(source: int, size_bytes: int) -> bytearray:
    """Read so many bytes; raises EOFError if there are not so many."""
    data = bytearray(size_bytes)
    rest = memoryview(data)
    while rest:
        got_bytes = os.readv(source, [rest])
        if not got_bytes:
            raise EOFError
        rest = rest[got_bytes:]
    return data


def _encoded(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
