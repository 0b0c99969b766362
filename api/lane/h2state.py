"""HTTP/2 state of one connection: h2, and the lane's shortcuts past it.

h2 keeps streams, HPACK, SETTINGS and the state machines. It also costs 9 microseconds for each
DATA frame and about as much for a WINDOW_UPDATE, so these two only change h2's counters here, with
the checks that h2 would make. This is the one file that touches h2's insides: the dependency is
pinned to 4.4 for it, and tests/api/lane/test_h2state.py holds it against h2's own paths.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import FlowControlError, ProtocolError, StreamClosedError
from h2.settings import SettingCodes, Settings
from h2.stream import StreamClosedBy, StreamState

from api.lane.wire import PREFACE

if TYPE_CHECKING:
    from api.lane.limits import Limits

MAX_WINDOW = 2**31 - 1
_DEFAULT_WINDOW = 65_535
# States in which the peer, and in which we, may send DATA.
_RECEIVING = frozenset({StreamState.OPEN, StreamState.HALF_CLOSED_LOCAL})
_SENDING = frozenset({StreamState.OPEN, StreamState.HALF_CLOSED_REMOTE})


class H2State(H2Connection):
    """An h2 connection that speaks the lane's limits and counts DATA without parsing it."""

    # h2's own 65,536 remembered streams are 6 MB per connection; late frames come within a few.
    MAX_CLOSED_STREAMS = 1024

    def __init__(self, *, client_side: bool, limits: Limits) -> None:
        super().__init__(
            H2Configuration(
                client_side=client_side,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._max_streams = limits.max_streams
        self.local_settings = Settings(
            client=client_side,
            initial_values={
                SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.max_streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.max_header_list_bytes,
                SettingCodes.ENABLE_PUSH: 0,
            },
        )
        self.decoder.max_header_list_size = limits.max_header_list_bytes
        self.initiate_connection()
        if not client_side:
            # Intake has checked the client's preface; h2 wants to see one too.
            self.receive_data(PREFACE)
        if limits.connection_window_bytes > _DEFAULT_WINDOW:
            self.increment_flow_control_window(limits.connection_window_bytes - _DEFAULT_WINDOW)

    @property
    def open_inbound_streams(self) -> int:
        """Open streams of the peer, capped: the server refuses one stream too many by itself.

        h2 would end the whole connection at the first stream above the advertised limit.
        """
        return min(super().open_inbound_streams, self._max_streams - 1)

    @property
    def has_free_stream(self) -> bool:
        """Whether the peer's limit lets us open one more stream."""
        return self.open_outbound_streams < self.remote_settings.max_concurrent_streams

    def take_data(self, stream_id: int, size_bytes: int) -> bool:
        """Count received DATA; False if the stream is not in a state for it (h2 must judge).

        Raises:
            FlowControlError: the peer sent more than its window.
            ProtocolError: more bytes than its content-length said.
        """
        stream = self.streams.get(stream_id)
        if stream is None:
            return False
        machine = stream.state_machine
        if machine.state not in _RECEIVING or not machine.headers_received:
            return False
        self._inbound_flow_control_window_manager.window_consumed(size_bytes)
        stream._inbound_window_manager.window_consumed(size_bytes)
        stream._track_content_length(size_bytes, end_stream=False)
        return True

    def drop_data(self, stream_id: int, size_bytes: int) -> bool:
        """Count DATA of a stream that we have reset, which was on its way; False if it is not one.

        h2 would answer each such frame with one more RST_STREAM: hundreds after one cancelled call,
        which a server must take for an attack.

        Raises:
            FlowControlError: the peer sent more than its window.
        """
        if self._stream_closed_by(stream_id) is not StreamClosedBy.SEND_RST_STREAM:
            return False
        self._inbound_flow_control_window_manager.window_consumed(size_bytes)
        self.try_acknowledge(stream_id, size_bytes)
        return True

    def take_window(self, stream_id: int, increment: int) -> bool:
        """Count a received WINDOW_UPDATE; False if h2 must judge it.

        Raises:
            FlowControlError: the connection's window would pass 2^31 - 1.
        """
        if not increment:
            return False
        if not stream_id:
            self.outbound_flow_control_window += increment
            if self.outbound_flow_control_window > MAX_WINDOW:
                raise FlowControlError("raise connection window: more than 2^31 - 1")
            return True
        stream = self.streams.get(stream_id)
        if stream is None or stream.closed:
            return False
        if stream.outbound_flow_control_window + increment > MAX_WINDOW:
            return False
        stream.outbound_flow_control_window += increment
        return True

    def send_window(self, stream_id: int) -> int:
        """Return how many bytes of DATA the peer takes now, zero or less for none.

        Raises:
            StreamClosedError: the stream is not open for sending.
        """
        stream = self.streams.get(stream_id)
        if stream is None or stream.state_machine.state not in _SENDING:
            raise StreamClosedError(stream_id)
        return min(stream.outbound_flow_control_window, self.outbound_flow_control_window)

    def spend_window(self, stream_id: int, size_bytes: int) -> None:
        """Count DATA that is about to be written; at most :meth:`send_window`."""
        self.streams[stream_id].outbound_flow_control_window -= size_bytes
        self.outbound_flow_control_window -= size_bytes

    def try_reset(self, stream_id: int, error_code: int) -> None:
        """Queue RST_STREAM, unless the stream is over anyway."""
        stream = self.streams.get(stream_id)
        if stream is not None and not stream.closed:
            self.reset_stream(stream_id, error_code)

    def try_acknowledge(self, stream_id: int, size_bytes: int) -> None:
        """Give window back for consumed bytes, unless the connection is over."""
        try:
            self.acknowledge_received_data(size_bytes, stream_id)
        except ProtocolError:
            return
