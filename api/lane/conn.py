"""One HTTP/2 connection, either side: what frames mean to its streams, and what streams send.

    bytes -> Link -> Intake -> plain DATA, WINDOW_UPDATE, GOAWAY -> here
                            -> all other frames -> H2State -> events -> here
    here -> Stream (push, end, fail) -> the task of the call
    Stream.send -> write_data -> Link -> transport

Whatever ends a connection (the peer, abuse, ``close``) goes through ``Link.finish`` once: each
stream fails with UNAVAILABLE. What is buffered for a peer who does not read is bounded: DATA waits
in the handlers. Reading stops for no longer than what was read is worked on, so two sides that both
wait for the other's window cannot lock.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar

from h2 import events
from h2.exceptions import ProtocolError

from api.lane.guard import (
    CANCEL,
    REFUSED_STREAM,
    PeerRefusedError,
    Refusal,
    error_code_name,
)
from api.lane.h2state import H2State
from api.lane.intake import Intake, Kind
from api.lane.keepalive import Keepalive
from api.lane.link import Link
from api.lane.status import Code, RpcError, UnprocessedError, code_of_reset
from api.lane.wire import PREFACE, data_frames, frame_head

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.lane.limits import Limits
    from api.lane.metadata import Header
    from api.lane.stream import Stream
    from api.lane.turns import Turns

_GOAWAY = struct.Struct(">II")
_DEAD = "keepalive ping failed to receive ACK within timeout"


class Connection(Link):
    """What both sides share; ``ServerConnection`` and ``ClientConnection`` add their half."""

    peer_role: ClassVar[str]

    def __init__(self, limits: Limits, turns: Turns) -> None:
        super().__init__(limits, turns)
        self.streams: dict[int, Stream] = {}
        self.draining = False
        self._is_greeted = False
        self._keepalive: Keepalive | None = None
        self._h2 = H2State(client_side=self.client_side, limits=limits)
        preface = b"" if self.client_side else PREFACE
        self._intake = Intake(self, preface=preface, limits=limits, clock=self._loop.time)

    # Link: what the socket brings.

    def on_open(self) -> None:
        """Send our preface and SETTINGS."""
        self._flush()

    def receive(self, data: bytes) -> bool:
        """Take bytes for one turn; errors of the peer end the connection here."""
        try:
            is_done = self._intake.feed(data)
        except PeerRefusedError as refused:
            self.on_refused(refused.reason)
            self._end_with_goaway(refused.error_code, str(refused.reason))
        except ProtocolError as error:
            self.on_refused(Refusal.PROTOCOL)
            self._end_with_goaway(int(error.error_code), str(error))
        else:
            self._flush()
            return is_done or self.closed
        return True

    def on_writable(self) -> None:
        """Let the handlers go on."""
        for stream in self.streams.values():
            stream.may_write()

    def on_end(self, error: RpcError | None) -> None:
        """Fail all streams."""
        if self._keepalive is not None:
            self._keepalive.stop()
        text = f"error reading from {self.peer_role}: {self.end_reason}"
        for stream in list(self.streams.values()):
            self._fail(stream, error or RpcError(Code.UNAVAILABLE, text))

    # What the sides add.

    def on_request(self, event: events.RequestReceived) -> None:
        """Take a new call (servers only)."""

    def on_ready(self) -> None:
        """Note that the peer's first SETTINGS came."""

    def on_ping_ack(self, payload: bytes) -> None:
        """Note that the peer has seen all that we sent before the PING with these 8 bytes."""

    def wants_keepalive(self) -> bool:
        """Return whether a silent peer shall be asked for life."""
        return True

    def on_ping(self) -> None:
        """Judge a PING of the peer (servers do)."""

    # FrameSink: what Intake found.

    def on_data(self, stream_id: int, payloads: list[bytes]) -> None:
        """Give DATA to its stream; what belongs to none is h2's to judge."""
        size_bytes = sum(map(len, payloads))
        if self._h2.take_data(stream_id, size_bytes):
            self._push(stream_id, payloads, size_bytes)
            return
        if self._h2.drop_data(stream_id, size_bytes):
            return
        for payload in payloads:
            self.on_frames(frame_head(len(payload), Kind.DATA, 0, stream_id) + payload)

    def on_window(self, stream_id: int, increment: int) -> None:
        """Let writers go on that waited for the peer's window."""
        if not self._h2.take_window(stream_id, increment):
            frame = frame_head(4, Kind.WINDOW_UPDATE, 0, stream_id) + increment.to_bytes(4, "big")
            self.on_frames(frame)
        self._window_grew(stream_id)

    def on_goaway(self, last_stream_id: int, error_code: int, debug: bytes) -> None:
        """Open no more streams here; those the peer has not seen fail, the others end well."""
        self.draining = True
        reason = f"received GOAWAY {error_code_name(error_code)} {debug.decode('latin-1')!r}"
        for stream in list(self.streams.values()):
            if self.client_side and stream.stream_id > last_stream_id:
                self._fail(stream, UnprocessedError(Code.UNAVAILABLE, reason))
        self.close_if_drained()

    def on_frames(self, data: bytes) -> None:
        """Let h2 handle frames, and handle its events."""
        for event in self._h2.receive_data(data):
            self._on_event(event)

    def _on_event(self, event: events.Event) -> None:
        match event:
            case events.RequestReceived():
                self.on_request(event)
            case events.DataReceived(stream_id=int(stream_id), data=bytes(data)):
                self._push(stream_id, [data], event.flow_controlled_length or 0)
            case events.StreamReset(stream_id=int(stream_id)):
                self._reset_received(stream_id, int(event.error_code or 0))
            case events.WindowUpdated(stream_id=int(stream_id)):
                self._window_grew(stream_id)
            case events.RemoteSettingsChanged():
                self._settings_received()
            case events.PingAckReceived(ping_data=bytes(payload)):
                self.on_ping_ack(payload)
            case (
                events.ResponseReceived(stream_id=int(stream_id))
                | events.TrailersReceived(stream_id=int(stream_id))
                | events.StreamEnded(stream_id=int(stream_id))
            ) if stream_id in self.streams:
                self._part_received(self.streams[stream_id], event)
            case _:
                pass

    def _part_received(self, stream: Stream, event: events.Event) -> None:
        match event:
            case events.ResponseReceived():
                stream.headers_received(list(event.headers or ()))
            case events.TrailersReceived():
                stream.trailers_received(list(event.headers or ()))
            case _:
                stream.end()

    def _push(self, stream_id: int, payloads: list[bytes], size_bytes: int) -> None:
        """Give bytes to their stream; padding, and what nobody reads any more, is freed at once."""
        stream = self.streams.get(stream_id)
        pushed_bytes = 0
        if stream is not None and stream.error is None:
            pushed_bytes = stream.push(payloads)
        if size_bytes > pushed_bytes:
            self.acknowledge(stream_id, size_bytes - pushed_bytes)

    def _reset_received(self, stream_id: int, error_code: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            return
        name = error_code_name(error_code)
        text = f"stream terminated by RST_STREAM with error code: {name}"
        kind = UnprocessedError if error_code == REFUSED_STREAM else RpcError
        self._fail(stream, kind(code_of_reset(error_code), text))

    def _fail(self, stream: Stream, error: RpcError) -> None:
        """End a call with an error, unless its whole answer is here.

        NO_ERROR after it says only: do not send the rest of your request.
        """
        if not (self.client_side and stream.ended):
            stream.fail(error)

    def _window_grew(self, stream_id: int) -> None:
        if not stream_id:
            self.on_writable()
        elif stream_id in self.streams:
            self.streams[stream_id].may_write()

    def _settings_received(self) -> None:
        if not self._is_greeted:
            self._is_greeted = True
            self._stop_timer()
            self._start_keepalive()
        self._window_grew(0)
        self.on_ready()

    def _start_keepalive(self) -> None:
        if self.limits.keepalive_s is not None:
            self._keepalive = Keepalive(
                self,
                silence_s=self.limits.keepalive_s,
                timeout_s=self.limits.keepalive_timeout_s,
                loop=self._loop,
            )
            self._keepalive.start()

    # StreamOwner: what streams need.

    def send_room(self, stream_id: int) -> int:
        """Return how many bytes of DATA may be written now."""
        if self._paused:
            return 0
        return min(self._h2.send_window(stream_id), self.limits.write_chunk_bytes)

    def write_data(self, stream_id: int, data: memoryview) -> None:
        """Write DATA frames in one go."""
        self._h2.spend_window(stream_id, len(data))
        self._flush()
        self.write_parts(data_frames(stream_id, data, self._h2.max_outbound_frame_size))

    def acknowledge(self, stream_id: int, size_bytes: int) -> None:
        """Give window back for bytes that were consumed."""
        if not self.closed:
            self._h2.try_acknowledge(stream_id, size_bytes)
            self._flush()

    # Sending, and the end.

    def send_headers(self, stream_id: int, headers: Iterable[Header], *, end: bool = False) -> None:
        """Write a header block."""
        self._h2.send_headers(stream_id, headers, end_stream=end)
        self._flush()

    def end_stream(self, stream_id: int) -> None:
        """Tell the peer that no more DATA comes."""
        self._h2.end_stream(stream_id)
        self._flush()

    def reset(self, stream_id: int, error_code: int = CANCEL) -> None:
        """End a stream at once, unless it is over."""
        if not self.closed:
            self._h2.try_reset(stream_id, error_code)
            self._flush()

    def forget(self, stream: Stream) -> None:
        """Drop a stream whose call is over; unread bytes no longer count against the window."""
        self.streams.pop(stream.stream_id, None)
        stream.discard()
        self.close_if_drained()

    def close_if_drained(self) -> None:
        """Close a draining connection whose last call has ended."""
        if self.draining and not self.streams:
            self.close("drained")

    def close(self, reason: str) -> None:
        """End all calls with UNAVAILABLE and close; a server lets the client read to the end."""
        self.finish(reason, linger=not self.client_side)

    def ping(self, payload: bytes) -> None:
        """Send a PING with 8 bytes."""
        if not self.closed:
            self._h2.ping(payload)
            self._flush()

    def on_dead(self) -> None:
        """End a connection whose peer is gone; there is nobody to flush anything for."""
        self.on_refused(Refusal.KEEPALIVE)
        self.finish(_DEAD, error=RpcError(Code.UNAVAILABLE, _DEAD))
        self._transport.abort()

    def write_goaway(self, last_stream_id: int, error_code: int, debug: bytes = b"") -> None:
        """Write GOAWAY past h2, for which the connection would end with it."""
        payload = _GOAWAY.pack(last_stream_id, error_code) + debug
        self.write(frame_head(len(payload), Kind.GOAWAY, 0, 0) + payload)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self.closed:
            self.write_control(data)

    def _end_with_goaway(self, error_code: int, reason: str) -> None:
        if not self.closed:
            # h2 queued a GOAWAY of its own for some of the errors: one is enough.
            self._h2.clear_outbound_data_buffer()
            self.write_goaway(self._h2.highest_inbound_stream_id, error_code, reason.encode()[:128])
            self.finish(reason)
