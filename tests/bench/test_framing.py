import pytest

from api.lane.wire import frame
from bench.errors import WrongAnswerError
from bench.framing import MessageCutter, messages


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x00\x00\x00\x00\x05four", id="cut-message"),
        pytest.param(b"\x00\x00\x00", id="cut-prefix"),
        pytest.param(b"\x01\x00\x00\x00\x01x", id="compressed"),
    ],
)
def test_messages_refuses(data: bytes) -> None:
    with pytest.raises(WrongAnswerError, match="cut messages"):
        list(messages(data))


@pytest.mark.parametrize("step", [1, 3, 7, 64, 10_000])
def test_cutter_counts_across_any_boundary(step: int) -> None:
    texts = [b"%d" % i * (i % 40) for i in range(200)]
    data = memoryview(b"".join(map(frame, texts)))
    cutter = MessageCutter(keep_below_bytes=10)
    parts = (data[start : start + step] for start in range(0, len(data), step))
    assert sum(map(cutter.feed, parts)) == len(texts)
    assert cutter.take_kept() == [text for text in texts if len(text) < 10]
    assert cutter.take_kept() == []
