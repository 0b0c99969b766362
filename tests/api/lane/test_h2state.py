"""The shortcuts of H2State against h2's own way of handling the same frames."""

import struct

import h2.config
import h2.connection
import h2.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lane.h2state import H2State
from api.lane.limits import Limits
from api.lane.wire import frame_head

REQUEST = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a.B/C"),
    (b":authority", b"x"),
]
LIMITS = Limits(stream_window_bytes=100_000, connection_window_bytes=150_000)


def client(window: int = 65_535) -> h2.connection.H2Connection:
    peer = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    peer.local_settings.initial_window_size = window
    peer.initiate_connection()
    return peer


def pair(*extra: tuple[bytes, bytes], end: bool = False) -> tuple[H2State, H2State]:
    """Return two equal server states with stream 1 open: one for shortcuts, one for h2's way."""
    states = (H2State(client_side=False, limits=LIMITS), H2State(client_side=False, limits=LIMITS))
    for state in states:
        peer = client()
        peer.send_headers(1, [*REQUEST, *extra], end_stream=end)
        # The preface was given by H2State itself.
        state.receive_data(peer.data_to_send()[24:])
        state.data_to_send()
    return states


def windows(state: H2State) -> tuple[int, int, int, int]:
    stream = state.streams[1]
    return (
        state.outbound_flow_control_window,
        stream.outbound_flow_control_window,
        state.inbound_flow_control_window,
        stream.inbound_flow_control_window,
    )


def http2(kind: int, stream_id: int, payload: bytes) -> bytes:
    return frame_head(len(payload), kind, 0, stream_id) + payload


STEP = st.one_of(
    st.tuples(st.just("data"), st.integers(1, 16_384)),
    st.tuples(st.sampled_from(["window", "connection"]), st.integers(1, 2**30)),
    st.tuples(st.just("acknowledge"), st.integers(1, 20_000)),
)


@given(st.lists(STEP, max_size=30))
def test_windows_stay_equal_to_h2s(steps: list[tuple[str, int]]) -> None:
    short, long = pair()
    unread = 0
    for step, size in steps:
        outcomes = []
        # Nobody acknowledges what was not received.
        unread, given_back = (
            (unread - min(unread, size), min(unread, size))
            if step == "acknowledge"
            else (unread + (size if step == "data" else 0), 0)
        )
        for state, by_h2 in ((short, False), (long, True)):
            outcomes.append(play(state, step, given_back or size, by_h2=by_h2))
        assert outcomes[0] == outcomes[1]
        if outcomes[0] != "ok":
            return
        assert windows(short) == windows(long)
        assert short.data_to_send() == long.data_to_send()


def play(state: H2State, step: str, size: int, *, by_h2: bool) -> str:
    stream_id = 0 if step == "connection" else 1
    try:
        match step:
            case "acknowledge":
                state.try_acknowledge(1, size)
            case "data" if by_h2 or not state.take_data(1, size):
                state.receive_data(http2(0, 1, bytes(size)))
            case "window" | "connection" if by_h2 or not state.take_window(stream_id, size):
                state.receive_data(http2(8, stream_id, struct.pack(">I", size)))
            case _:
                pass
    except h2.exceptions.ProtocolError as error:
        return type(error).__name__
    return "ok"


def test_the_shortcuts_are_taken() -> None:
    short, _ = pair()
    assert short.take_data(1, 5)
    assert short.take_window(1, 5)
    assert short.take_window(0, 5)


def test_content_length_is_held_against_data() -> None:
    short, _ = pair((b"content-length", b"10"))
    assert short.take_data(1, 10)
    with pytest.raises(h2.exceptions.InvalidBodyLengthError):
        short.take_data(1, 1)


def test_content_length_is_right_at_the_end() -> None:
    short, _ = pair((b"content-length", b"10"))
    assert short.take_data(1, 10)
    short.receive_data(frame_head(0, 0, 1, 1))


@pytest.mark.parametrize("stream_id", [0, 3, 2])
def test_data_on_another_stream_is_left_to_h2(stream_id: int) -> None:
    short, _ = pair()
    assert not short.take_data(stream_id, 5)


def test_data_after_the_end_is_left_to_h2() -> None:
    short, _ = pair(end=True)
    assert not short.take_data(1, 5)


def test_data_of_a_stream_we_reset_is_counted_and_not_answered() -> None:
    short, _ = pair()
    assert not short.drop_data(1, 10)
    short.try_reset(1, 8)
    short.data_to_send()
    sent = 0
    for _ in range(100):
        assert not short.take_data(1, 10_000)
        assert short.drop_data(1, 10_000)
        wire = short.data_to_send()
        # Nothing but WINDOW_UPDATE of the connection.
        assert wire[3:4] in (b"", b"\x08")
        assert wire[5:9] in (b"", bytes(4))
        sent += len(wire)
    assert 0 < sent < 13 * 30
    with pytest.raises(h2.exceptions.FlowControlError):
        short.drop_data(1, 150_001)


def test_data_of_a_stream_the_peer_reset_is_left_to_h2() -> None:
    short, _ = pair()
    short.receive_data(http2(3, 1, struct.pack(">I", 8)))
    assert not short.drop_data(1, 10)


def test_zero_window_update_is_left_to_h2() -> None:
    short, _ = pair()
    assert not short.take_window(1, 0)
    assert not short.take_window(0, 0)


def test_sending_needs_an_open_stream() -> None:
    short, _ = pair()
    assert short.send_window(1) == 65_535
    short.spend_window(1, 65_000)
    assert (short.send_window(1), short.outbound_flow_control_window) == (535, 535)
    short.try_reset(1, 8)
    short.try_reset(1, 8)
    with pytest.raises(h2.exceptions.StreamClosedError):
        short.send_window(1)


def test_streams_past_the_limit_reach_the_server() -> None:
    state = H2State(client_side=False, limits=Limits(max_streams=2))
    peer = client()
    for stream_id in (1, 3, 5):
        peer.send_headers(stream_id, REQUEST)
    events = state.receive_data(peer.data_to_send()[24:])
    assert sum(type(event).__name__ == "RequestReceived" for event in events) == 3
