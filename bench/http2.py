"""A raw HTTP/2 reader: the fastest honest client, so that the server is what is measured.

One blocking socket, one call at a time, windows as wide as HTTP/2 allows and refilled as data is
read. Payloads are kept as views into what was received; `bench.framing` cuts messages out of them
when the clock has stopped. It shares no code with `api.lane`: frames are RFC 9113 section 4,
header blocks come from the `hpack` package.
"""

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from hpack import Decoder, Encoder

from bench.errors import WrongAnswerError
from bench.framing import PREFIX

_FRAME: Final = struct.Struct(">HBBBI")  # length (16 + 8 bits), type, flags, stream
_U32: Final = struct.Struct(">I")
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_CONTINUATION: Final = 9
_ACK: Final = 0x1
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4
_SETTING_WINDOW: Final = 4
_WIDEST: Final = (1 << 31) - 1
_FIRST_WINDOW: Final = 65_535
_REFILL_BYTES: Final = 64 << 20
_READ_BYTES: Final = 1 << 20

Sink = Callable[[list[memoryview]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A call that has ended with status OK."""

    seconds: float
    """From before the request was sent until the trailers had been read."""
    payloads: list[memoryview]
    """What the DATA frames held, in order; empty if a sink took it."""

    def data(self) -> bytes:
        """Join the payloads; costs a copy."""
        return b"".join(self.payloads)


class RawConnection:
    """A plaintext HTTP/2 connection for one call after the other."""

    def __init__(self, target: str, *, timeout_s: float = 60.0) -> None:
        """Connect to `host:port`; the timeout also bounds each wait for data.

        Raises:
            WrongAnswerError: nobody listens there.
        """
        host, _, port = target.rpartition(":")
        try:
            self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout_s)
        except OSError as error:
            raise WrongAnswerError(f"connect to {target}: {error}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._authority = target
        self._encoder, self._decoder = Encoder(), Decoder()
        self._next_stream = 1
        self._rest = b""
        settings = struct.pack(">HI", _SETTING_WINDOW, _WIDEST)
        self._socket.sendall(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, settings)
            + _frame(_WINDOW, 0, 0, _U32.pack(_WIDEST - _FIRST_WINDOW))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, path: str, request: bytes, *, sink: Sink | None = None) -> Answer:
        """Send a request and read the answer to its end.

        With a sink, payloads go to it as they come and are not kept; the sink may raise to leave
        the call, the connection is of no more use then.

        Raises:
            WrongAnswerError: any status but OK, or the connection ended.
        """
        stream, message = self._request(path, request)
        answer = _Reading(stream=stream, path=path, decoder=self._decoder)
        kept: list[memoryview] = []
        take = kept.extend if sink is None else sink
        refilled_bytes = 0
        started = time.perf_counter()
        self._socket.sendall(message)
        while not answer.ended:
            take(self._receive(answer))
            if answer.data_bytes - refilled_bytes > _REFILL_BYTES:
                self._refill(stream, answer.data_bytes - refilled_bytes)
                refilled_bytes = answer.data_bytes
        seconds = time.perf_counter() - started
        self._refill(0, answer.data_bytes - refilled_bytes)
        return Answer(seconds=seconds, payloads=kept)

    def _request(self, path: str, request: bytes) -> tuple[int, bytes]:
        """The next stream and the frames that start a call on it."""
        stream = self._next_stream
        self._next_stream += 2
        head = self._encoder.encode(_request_headers(path, self._authority))
        body = PREFIX.pack(0, len(request)) + request
        message = _frame(_HEADERS, _END_HEADERS, stream, head)
        return stream, message + _frame(_DATA, _END_STREAM, stream, body)

    def close(self) -> None:
        """Close without a word, as a client that was killed does."""
        self._socket.close()

    def _receive(self, answer: "_Reading") -> list[memoryview]:
        """Read once and walk the whole frames of it."""
        try:
            received = self._socket.recv(_READ_BYTES)
        except OSError as error:  # a timeout is one too
            raise WrongAnswerError(f"call {answer.path}: read: {error}") from error
        if not received:
            raise WrongAnswerError(f"call {answer.path}: the server closed the connection")
        if self._rest:
            received = self._rest + received
        view = memoryview(received)
        size, offset = len(received), 0
        payloads: list[memoryview] = []
        while size - offset >= _FRAME.size:
            high, low, kind, flags, stream = _FRAME.unpack_from(received, offset)
            end = offset + _FRAME.size + (high << 8 | low)
            if end > size:
                break
            payload = view[offset + _FRAME.size : end]
            offset = end
            if kind == _DATA and stream == answer.stream:
                payloads.append(payload)
                answer.data_bytes += len(payload)
            reply = answer.take(kind, flags, stream, payload)
            if reply:
                self._socket.sendall(reply)
        self._rest = received[offset:]
        return payloads

    def _refill(self, stream: int, count: int) -> None:
        """Give back window: of the connection, and of a stream that is still open (not 0)."""
        if count:
            update = _U32.pack(count)
            frames = _frame(_WINDOW, 0, 0, update)
            self._socket.sendall(frames + (_frame(_WINDOW, 0, stream, update) if stream else b""))


class _Reading:
    """What one call has received so far, apart from its payloads."""

    def __init__(self, *, stream: int, path: str, decoder: Decoder) -> None:
        self.stream = stream
        self.path = path
        self.data_bytes = 0
        self.ended = False
        self._decoder = decoder
        self._block = b""
        self._last = False

    def take(self, kind: int, flags: int, stream: int, payload: memoryview) -> bytes:
        """Follow the call's state; what must be sent back at once.

        Raises:
            WrongAnswerError: the call or the connection failed.
        """
        if kind in (_SETTINGS, _PING):
            if flags & _ACK:
                return b""
            return _frame(kind, _ACK, 0, bytes(payload) if kind == _PING else b"")
        if kind in (_HEADERS, _CONTINUATION):
            self._headers(kind, flags, payload)
        elif kind == _RESET and stream == self.stream:
            raise WrongAnswerError(f"call {self.path}: reset with {_U32.unpack(payload)[0]}")
        elif kind == _GOAWAY and not self.ended:
            raise WrongAnswerError(f"call {self.path}: the server says goodbye")
        return b""

    def _headers(self, kind: int, flags: int, payload: memoryview) -> None:
        if kind == _HEADERS:
            self._last = bool(flags & _END_STREAM)
        self._block += payload
        if not flags & _END_HEADERS:
            return
        fields = {str(name): str(value) for name, value in self._decoder.decode(self._block)}
        self._block = b""
        if self._last:
            self.ended = True
            if fields.get("grpc-status") != "0":
                raise WrongAnswerError(f"call {self.path}: {fields}")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    length = len(payload)
    return _FRAME.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


def _request_headers(path: str, authority: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "leavitt-bench"),
    ]
