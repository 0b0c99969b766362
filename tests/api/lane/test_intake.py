import itertools
import struct
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lane.guard import PeerRefusedError, Refusal
from api.lane.intake import Intake, Kind
from api.lane.limits import Limits
from api.lane.wire import PREFACE, frame, frame_head

Event = tuple[object, ...]


@dataclass
class Recorder:
    """Writes down what the intake hands on; runs of DATA of one stream are joined."""

    events: list[Event] = field(default_factory=list)
    pings: int = 0

    def on_data(self, stream_id: int, payloads: list[bytes]) -> None:
        self.events.append(("data", stream_id, b"".join(payloads)))

    def on_window(self, stream_id: int, increment: int) -> None:
        self.events.append(("window", stream_id, increment))

    def on_goaway(self, last_stream_id: int, error_code: int, debug: bytes) -> None:
        self.events.append(("goaway", last_stream_id, error_code, debug))

    def on_ping(self) -> None:
        self.pings += 1

    def on_frames(self, data: bytes) -> None:
        while data:
            size = 9 + int.from_bytes(data[:3], "big")
            self.events.append(("other", data[:size]))
            data = data[size:]

    def joined(self) -> list[Event]:
        events: list[Event] = []
        for event in self.events:
            last = events[-1] if events else ()
            if event[0] == "data" and last[:2] == event[:2]:
                assert isinstance(last[2], bytes)
                assert isinstance(event[2], bytes)
                events[-1] = (*event[:2], last[2] + event[2])
            else:
                events.append(event)
        return events


def http2(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return frame_head(len(payload), kind, flags, stream_id) + payload


def intake(sink: Recorder, *, preface: bytes = b"", **limits: int) -> Intake:
    return Intake(
        sink,
        preface=preface,
        limits=Limits(**dict[str, Any](limits)),
        clock=lambda: 7.0,
        turn_clock=lambda: 0.0,
    )


DATA = st.builds(
    lambda stream_id, payload: (http2(0, 0, stream_id, payload), [("data", stream_id, payload)]),
    st.sampled_from([1, 3]),
    st.binary(min_size=1, max_size=300),
)
WINDOW = st.builds(
    lambda stream_id, size: (
        http2(8, 0, stream_id, struct.pack(">I", size)),
        [("window", stream_id, size)],
    ),
    st.sampled_from([0, 1, 3]),
    st.integers(0, 2**31 - 1),
)
GOAWAY = st.builds(
    lambda last, code, debug: (
        http2(7, 0, 0, struct.pack(">II", last, code) + debug),
        [("goaway", last, code, debug)],
    ),
    st.integers(0, 2**31 - 1),
    st.integers(0, 20),
    st.binary(max_size=9),
)
NOTHING: list[Event] = []
UNKNOWN = st.builds(lambda kind: (http2(kind, 0, 1, b"grease"), NOTHING), st.integers(10, 255))
OTHER = st.builds(
    lambda kind, flags, payload: (
        (wire := http2(kind, flags, 1, payload)),
        [("other", wire)],
    ),
    st.sampled_from([Kind.PRIORITY, Kind.RST_STREAM, Kind.SETTINGS, Kind.PING]),
    st.integers(0, 255),
    st.binary(max_size=50),
)
PADDED = st.builds(
    lambda flags: ((wire := http2(0, flags, 1, b"\x02abc")), [("other", wire)]),
    st.sampled_from([0x1, 0x8, 0x9]),
)
BLOCK = st.builds(
    lambda parts, inner: (
        (wires := [http2(1, 0, 1, b"h"), *[http2(9, 0, 1, b"c")] * parts, *inner,
                   http2(9, 4, 1, b"e")]) and b"".join(wires),
        [("other", wire) for wire in wires],
    ),
    st.integers(0, 3),
    # Within a header block nothing may be dealt with here: h2 must see and refuse it.
    st.lists(st.sampled_from([http2(0, 0, 1, b"x"), http2(8, 0, 0, b"\0\0\0\1"), http2(77, 0, 0)])),
)  # fmt: skip
STEPS = st.lists(st.one_of(DATA, WINDOW, GOAWAY, UNKNOWN, OTHER, PADDED, BLOCK), max_size=12)


@given(STEPS, st.data())
def test_any_cut_gives_the_frames_in_order(
    steps: list[tuple[bytes, list[Event]]], data: st.DataObject
) -> None:
    wire = PREFACE + b"".join(step[0] for step in steps)
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=20))
    edges = [0, *sorted(cuts), len(wire)]
    sink = Recorder()
    reader = intake(sink, preface=PREFACE)
    for start, stop in itertools.pairwise(edges):
        reader.feed(wire[start:stop])
    expected = Recorder([event for step in steps for event in step[1]])
    assert without_windows(sink.joined()) == without_windows(expected.joined())
    assert windows(sink.events) == windows(expected.events)


def without_windows(events: list[Event]) -> list[Event]:
    """Leave out what may be dealt with before the DATA around it, and join that DATA."""
    return Recorder([event for event in events if event[0] != "window"]).joined()


def windows(events: list[Event]) -> list[Event]:
    return [event for event in events if event[0] == "window"]


@given(st.binary(max_size=200), st.booleans())
def test_garbage_is_refused_or_understood_never_worse(data: bytes, with_preface: bool) -> None:
    reader = intake(Recorder(), preface=PREFACE if with_preface else b"")
    try:
        for byte in data:
            reader.feed(bytes([byte]))
    except PeerRefusedError:
        return


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"PRI * HTTP/2.1"])
def test_another_protocol_is_refused(data: bytes) -> None:
    with pytest.raises(PeerRefusedError) as caught:
        intake(Recorder(), preface=PREFACE).feed(data)
    assert caught.value.reason is Refusal.PREFACE


@pytest.mark.parametrize("cut", [3, 9, 12])
def test_a_frame_too_large_is_refused_by_its_head(cut: int) -> None:
    reader = intake(Recorder())
    reader.feed(http2(0, 0, 1, b"z" * 16_384))
    with pytest.raises(PeerRefusedError) as caught:
        feed_cut(reader, http2(0, 0, 1, b"z" * 16_385)[:20], cut)
    assert caught.value.reason is Refusal.FRAME_SIZE


def feed_cut(reader: Intake, data: bytes, cut: int) -> None:
    reader.feed(data[:cut])
    reader.feed(data[cut:])


@pytest.mark.parametrize(
    ("wire", "limit", "reason"),
    [
        (http2(6, 0, 0, bytes(8)), "control_frames_per_s", Refusal.CONTROL_FLOOD),
        (http2(4, 0, 0), "control_frames_per_s", Refusal.CONTROL_FLOOD),
        (http2(9, 0, 1, b"x"), "control_frames_per_s", Refusal.CONTROL_FLOOD),
        (http2(0, 0, 1, b""), "control_frames_per_s", Refusal.CONTROL_FLOOD),
        (http2(99, 0, 1, b""), "control_frames_per_s", Refusal.CONTROL_FLOOD),
        (http2(8, 0, 0, b"\0\0\0\1"), "window_updates_per_s", Refusal.WINDOW_FLOOD),
        (http2(3, 0, 1, bytes(4)), "resets_per_s", Refusal.RESET_FLOOD),
        (http2(0, 0, 1, b"x"), "small_data_frames_per_s", Refusal.SMALL_DATA_FLOOD),
    ],
    ids=["ping", "settings", "continuation", "empty-data", "unknown", "window", "reset", "small"],
)
def test_floods_are_refused(wire: bytes, limit: str, reason: Refusal) -> None:
    now = 0.0
    limits = Limits(**dict[str, Any]({limit: 50}))
    reader = Intake(
        Recorder(), preface=PREFACE, limits=limits, clock=lambda: now, turn_clock=lambda: 0.0
    )
    reader.feed(PREFACE)
    for _ in range(5):
        now += 1.0
        reader.feed(wire * 50)
    with pytest.raises(PeerRefusedError) as caught:
        reader.feed(wire)
    assert caught.value.reason is reason


def test_resets_of_a_server_count_as_control() -> None:
    reader = intake(Recorder(), resets_per_s=50, control_frames_per_s=100)
    reader.feed(http2(3, 0, 1, bytes(4)) * 100)
    with pytest.raises(PeerRefusedError) as caught:
        reader.feed(http2(3, 0, 1, bytes(4)))
    assert caught.value.reason is Refusal.CONTROL_FLOOD


@pytest.mark.parametrize("payload", [b"z" * 16, frame(b"eleven bytes")])
def test_small_messages_are_no_flood(payload: bytes) -> None:
    reader = intake(Recorder(), preface=PREFACE, small_data_frames_per_s=50)
    reader.feed(PREFACE + http2(0, 0, 1, payload) * 1000)


def test_a_server_may_send_small_data() -> None:
    intake(Recorder(), small_data_frames_per_s=50).feed(http2(0, 0, 1, b"x") * 1000)


@given(STEPS, st.lists(st.integers(0, 2000), max_size=5))
def test_turns_give_the_frames_in_order(
    steps: list[tuple[bytes, list[Event]]], cuts: list[int]
) -> None:
    """Each look at the clock ends a turn; new bytes come while some are left, or not."""
    wire = b"".join(step[0] for step in steps) * 5
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    sink = Recorder()
    now = itertools.count()
    reader = Intake(
        sink, preface=b"", limits=Limits(), clock=lambda: 7.0, turn_clock=lambda: float(next(now))
    )
    for start, stop in itertools.pairwise(edges):
        reader.feed(wire[start:stop])
    while not reader.feed(b""):
        pass
    expected = Recorder([event for step in steps * 5 for event in step[1]])
    assert without_windows(sink.joined()) == without_windows(expected.joined())
    assert windows(sink.events) == windows(expected.events)


def test_a_turn_ends_when_its_time_is_over() -> None:
    now = 0.0
    sink = Recorder()

    def clock() -> float:
        return now

    def slow(stream_id: int, payloads: list[bytes]) -> None:
        nonlocal now
        now += len(payloads)
        sink.events.append(("data", stream_id, b"".join(payloads)))

    sink.on_data = slow  # type: ignore[method-assign]
    reader = Intake(sink, preface=b"", limits=Limits(turn_s=100), clock=clock, turn_clock=clock)
    turns = [reader.feed(http2(0, 0, 1, b"x") * 300)]
    while not turns[-1]:
        turns.append(reader.feed(b""))
    # 32 frames between two looks at the clock: 128 of them take the first hundred seconds.
    assert turns == [False, False, True]
    assert now == 300
