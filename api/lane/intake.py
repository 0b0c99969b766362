"""Received bytes become frames: the lane's way around h2 for what is frequent.

In come the bytes of one connection as the socket gave them; out go, in the order of the wire:

    DATA, plain           -> sink.on_data     payloads of a run of frames
    WINDOW_UPDATE         -> sink.on_window
    GOAWAY                -> sink.on_goaway   (h2 would close the connection on any GOAWAY)
    PING that asks        -> sink.on_ping     to be judged, and then to h2, which answers
    unknown types         -> nothing, but counted
    all else, untouched   -> sink.on_frames   for h2: HEADERS, SETTINGS, RST_STREAM, ...

Within a header block everything goes to h2, which refuses what may not stand there. DATA with
padding or END_STREAM is h2's too: there is one of it per call. Sizes and rates are checked here,
so that a hostile peer is gone before h2 spends time on it. What a read brings is worked on in
turns: a quarter of a megabyte can hold 25,000 frames, and others wait meanwhile.
"""

from __future__ import annotations

import struct
import time
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from api.lane.guard import (
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    PeerRefusedError,
    RateGuard,
    Refusal,
)
from api.lane.wire import FRAME_HEAD, FRAME_HEAD_BYTES, MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.lane.limits import Limits

ACK, END_STREAM, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
_STREAM_ID_MASK = 0x7FFF_FFFF
_U32 = struct.Struct(">I")
_TWO_U32 = struct.Struct(">II")
# The clock is looked at after so much work: 32 frames that are dealt with here, fewer of h2's.
_LOOK_COST = 32


class Kind(IntEnum):
    """HTTP/2 frame types (RFC 9113, section 6)."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


_HEADER_KINDS = (Kind.HEADERS, Kind.PUSH_PROMISE, Kind.CONTINUATION)
_CHEAP_KINDS = frozenset({Kind.DATA, Kind.WINDOW_UPDATE, *range(Kind.CONTINUATION + 1, 256)})
# What a frame of each type costs, in frames of DATA; a new call costs fifty microseconds and more.
_COSTS = bytes(
    1 if kind in _CHEAP_KINDS else 16 if kind in _HEADER_KINDS else 4 for kind in range(256)
)


class FrameSink(Protocol):
    """Where frames go; each method may be called many times per read."""

    def on_data(self, stream_id: int, payloads: list[bytes]) -> None:
        """Take the payloads of DATA frames."""

    def on_window(self, stream_id: int, increment: int) -> None:
        """Take a WINDOW_UPDATE; stream 0 is the connection."""

    def on_goaway(self, last_stream_id: int, error_code: int, debug: bytes) -> None:
        """Take a GOAWAY."""

    def on_ping(self) -> None:
        """Judge a PING before h2 answers it; PeerRefusedError ends the connection."""

    def on_frames(self, data: bytes) -> None:
        """Take whole frames that h2 shall handle."""


class Intake:
    """Splits the byte stream of one connection; sans-I/O.

    Buffers at most one incomplete frame, and what a turn leaves of a read. After an error the
    intake must not be used again. ``clock`` counts seconds for rates; ``turn_clock`` is a finer
    one for turns.
    """

    def __init__(
        self,
        sink: FrameSink,
        *,
        preface: bytes,
        limits: Limits,
        clock: Callable[[], float],
        turn_clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._sink = sink
        self._preface = preface
        self._is_server = bool(preface)
        self._turn_s = limits.turn_s
        self._turn_clock = turn_clock
        self._rest = b""  # of a frame that the last read cut
        self._left = b""  # of the last read, whole frames first, for the next turn
        self._left_at = 0
        self._data = b""  # what is scanned now
        self._run: list[bytes] = []  # payloads of neighbouring DATA frames of one stream
        self._run_stream_id = 0
        self._pending = 0  # offset of the first frame not handed on yet, after the run
        self._block_open = False  # HEADERS without END_HEADERS came
        self._block_bytes = 0  # of the header block that is open, as received
        self._most_block_bytes = limits.max_header_list_bytes
        self._control = RateGuard(Refusal.CONTROL_FLOOD, limits.control_frames_per_s, clock)
        self._windows = RateGuard(Refusal.WINDOW_FLOOD, limits.window_updates_per_s, clock)
        self._small = RateGuard(Refusal.SMALL_DATA_FLOOD, limits.small_data_frames_per_s, clock)
        self._small_bytes = limits.small_data_bytes
        self.resets = RateGuard(Refusal.RESET_FLOOD, limits.resets_per_s, clock)

    def feed(self, data: bytes) -> bool:
        """Take bytes as received and hand on the frames that are complete, for one turn.

        Returns False if the turn ended before all was handed on: give others their turn, then
        feed nothing (``b""``) to go on. What is fed before that waits behind what is left.

        Raises:
            PeerRefusedError: not HTTP/2, a frame too large, or a flood. What the sink raises
                passes through.
        """
        start = 0
        if self._left:
            data = self._left[self._left_at :] + data if data else self._left
            start = 0 if data is not self._left else self._left_at
            self._left = b""
        elif self._preface:
            start = self._skip_preface(data)
        if self._rest:
            start = self._complete_rest(data, start)
            if self._rest:
                return True
        start, is_done = self._scan(data, start)
        if is_done:
            self._rest = data[start:]
        else:
            self._left, self._left_at = data, start
        return is_done

    def _complete_rest(self, data: bytes, start: int) -> int:
        """Finish the frame that the last read cut; return the offset of what follows it.

        Only this one frame is joined: joining the whole read would copy a quarter of a megabyte.
        """
        rest = self._rest
        if len(rest) < FRAME_HEAD_BYTES:
            stop = start + FRAME_HEAD_BYTES - len(rest)
            rest += data[start:stop]
            start = min(stop, len(data))
        if len(rest) >= FRAME_HEAD_BYTES:
            stop = start + FRAME_HEAD_BYTES + int.from_bytes(rest[:3], "big") - len(rest)
            rest += data[start:stop]
            start = min(stop, len(data))
        # At most one frame: no turn ends in it.
        stop, _ = self._scan(rest, 0)
        self._rest = rest[stop:]
        return start

    def _scan(self, data: bytes, start: int) -> tuple[int, bool]:
        """Hand on the whole frames from an offset until the turn is over.

        Returns the offset of what follows them, and whether that is no whole frame.
        """
        self._data, self._pending = data, start
        end, cost, is_done = len(data), 0, True
        turn_end = self._turn_clock() + self._turn_s
        while end - start >= FRAME_HEAD_BYTES:
            high, low, kind, flags, stream_id = FRAME_HEAD.unpack_from(data, start)
            size = high << 16 | low
            if size > MAX_FRAME_BYTES:
                raise PeerRefusedError(Refusal.FRAME_SIZE, FRAME_SIZE_ERROR)
            stop = start + FRAME_HEAD_BYTES + size
            if stop > end:
                break
            self._take(kind, flags, stream_id & _STREAM_ID_MASK, start, stop)
            start = stop
            cost += _COSTS[kind]
            if cost >= _LOOK_COST:
                cost = 0
                self._hand_on(start)
                if self._turn_clock() >= turn_end:
                    is_done = False
                    break
        self._hand_on(start)
        self._data = b""
        return start, is_done

    def _skip_preface(self, data: bytes) -> int:
        """Return the offset of the first frame; keeps an incomplete preface for the next read."""
        size = min(len(self._preface), len(data))
        if data[:size] != self._preface[:size]:
            raise PeerRefusedError(Refusal.PREFACE, PROTOCOL_ERROR)
        self._preface = self._preface[size:]
        return size

    def _take(self, kind: int, flags: int, stream_id: int, start: int, stop: int) -> None:
        payload = start + FRAME_HEAD_BYTES
        if self._block_open:
            self._take_other(kind, flags, stop - payload)
        elif kind == Kind.DATA and stop > payload and not flags & (END_STREAM | PADDED):
            if self._pending < start or stream_id != self._run_stream_id:
                self._hand_on(start)
                self._run_stream_id = stream_id
            self._run.append(self._data[payload:stop])
            self._pending = stop
        elif kind == Kind.WINDOW_UPDATE and stop - payload == _U32.size:
            self._windows.count()
            self._hand_on_others(start, stop)
            (increment,) = _U32.unpack_from(self._data, payload)
            self._sink.on_window(stream_id, increment & _STREAM_ID_MASK)
        elif kind == Kind.GOAWAY and stop - payload >= _TWO_U32.size:
            self._hand_on(start)
            self._pending = stop
            last, error_code = _TWO_U32.unpack_from(self._data, payload)
            debug = self._data[payload + _TWO_U32.size : stop]
            self._sink.on_goaway(last & _STREAM_ID_MASK, error_code, debug)
        elif kind > Kind.CONTINUATION:
            self._control.count()
            self._hand_on_others(start, stop)
        else:
            self._take_other(kind, flags, stop - payload)

    def _take_other(self, kind: int, flags: int, size: int) -> None:
        """Leave a frame for h2: count it by kind, and follow where header blocks begin and end."""
        if kind in _HEADER_KINDS:
            self._follow_block(kind, flags, size)
        if kind == Kind.PING and not flags & ACK:
            self._sink.on_ping()
        if kind == Kind.RST_STREAM:
            # From a server they are as many as our calls: it may end each before our request does.
            (self.resets if self._is_server else self._control).count()
        elif kind != Kind.HEADERS and not (kind == Kind.DATA and flags & END_STREAM):
            self._control.count()

    def _follow_block(self, kind: int, flags: int, size: int) -> None:
        """Bound what h2 keeps of a block that does not end: it would take 64 frames of 16 KiB."""
        self._block_bytes = size + (self._block_bytes if kind == Kind.CONTINUATION else 0)
        if self._block_bytes > self._most_block_bytes:
            raise PeerRefusedError(Refusal.PROTOCOL, ENHANCE_YOUR_CALM)
        self._block_open = not flags & END_HEADERS

    def _hand_on_others(self, start: int, stop: int) -> None:
        """Hand on what stands before a frame that is dealt with here, unless it is a DATA run."""
        if self._pending < start:
            self._hand_on(start)
        self._pending = stop

    def _hand_on(self, stop: int) -> None:
        """Hand on the DATA run, then the frames between it and ``stop``."""
        if self._run:
            run, self._run = self._run, []
            if self._is_server and sum(map(len, run)) < len(run) * self._small_bytes:
                self._small.count(len(run))
            self._sink.on_data(self._run_stream_id, run)
        if self._pending < stop:
            frames = self._data[self._pending : stop]
            self._pending = stop
            self._sink.on_frames(frames)
