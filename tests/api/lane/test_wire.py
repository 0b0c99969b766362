import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lane.status import Code, RpcError
from api.lane.wire import Deframer, data_frames, frame

SIZES = st.one_of(st.integers(0, 40), st.integers(900, 1100), st.integers(16_000, 40_000))


@st.composite
def cut_messages(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Return messages, and their wire bytes cut anywhere into payloads, tiny ones included."""
    sizes = draw(st.lists(SIZES, max_size=12))
    messages = [bytes([number]) * size for number, size in enumerate(sizes)]
    wire = b"".join(map(frame, messages))
    cuts = draw(st.lists(st.integers(0, len(wire)), max_size=12))
    edges = [0, *sorted(cuts), len(wire)]
    return messages, [wire[a:b] for a, b in itertools.pairwise(edges)]


@given(cut_messages(), st.sampled_from(["messages", "framed", "one_message"]), st.booleans())
def test_messages_come_out_whole_and_in_order(
    case: tuple[list[bytes], list[bytes]], way: str, eager: bool
) -> None:
    messages, payloads = case
    deframer = Deframer(1 << 20)
    taken: list[bytes] = []
    for number, payload in enumerate(payloads):
        deframer.push(payload)
        if eager or number == len(payloads) - 1:
            take_all(deframer, way, taken)
    assert taken == messages
    assert deframer.size_bytes == 0


def take_all(deframer: Deframer, way: str, into: list[bytes]) -> None:
    while deframer.ready:
        match way:
            case "messages":
                found = deframer.messages()
                assert found
                into += found
            case "one_message":
                into.append(deframer.one_message())
            case _:
                batch = deframer.framed()
                again = Deframer(1 << 20)
                again.push(batch.data)
                found = again.messages() if batch.count else []
                assert len(found) == batch.count > 0
                into += found


def test_a_framed_batch_is_bounded() -> None:
    deframer = Deframer(1 << 20)
    for _ in range(64):
        deframer.push(frame(bytes(8000)) * 2)
    assert len(deframer.framed().data) < 100_000


def test_tiny_payloads_are_gathered() -> None:
    deframer = Deframer(1 << 20)
    for byte in frame(bytes(50_000)):
        deframer.push(bytes([byte]))
    assert len(deframer._pieces) <= 4
    assert deframer.messages() == [bytes(50_000)]


@pytest.mark.parametrize("way", ["messages", "framed", "one_message"])
@pytest.mark.parametrize(
    ("prefix", "encoding", "code", "text"),
    [
        (b"\0\0\0\0\x0b", "identity", Code.RESOURCE_EXHAUSTED, r"larger than max \(11 vs. 10\)"),
        (b"\0\xff\xff\xff\xff", "identity", Code.RESOURCE_EXHAUSTED, "larger than max"),
        (b"\1\0\0\0\1", "gzip", Code.UNIMPLEMENTED, 'grpc-encoding "gzip"'),
        (b"\1\0\0\0\1", "identity", Code.INTERNAL, "compressed flag 1"),
        (b"\7\0\0\0\1", "gzip", Code.INTERNAL, "compressed flag 7"),
    ],
)
def test_a_bad_prefix_is_refused_after_the_good_messages(
    way: str, prefix: bytes, encoding: str, code: Code, text: str
) -> None:
    deframer = Deframer(10)
    deframer.encoding = encoding
    deframer.push(frame(b"good") + prefix)
    taken: list[bytes] = []
    with pytest.raises(RpcError, match=text) as caught:
        take_all(deframer, way, taken)
    assert taken == [b"good"]
    assert caught.value.code is code


@given(st.binary(max_size=100), st.integers(1, 40))
def test_data_frames_are_what_h2_reads(data: bytes, max_frame_bytes: int) -> None:
    from hyperframe.frame import Frame

    wire = b"".join(data_frames(7, memoryview(data), max_frame_bytes))
    read = b""
    while wire:
        parsed, size = Frame.parse_frame_header(memoryview(wire[:9]))
        parsed.parse_body(memoryview(wire[9 : 9 + size]))
        assert (parsed.type, parsed.stream_id, size <= max_frame_bytes) == (0, 7, True)
        read += wire[9 : 9 + size]
        wire = wire[9 + size :]
    assert read == data
