"""Two processes that write one text: the same as one writes, in order, whatever happens."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from google.protobuf.message import DecodeError

from cli.printers import twohands
from cli.printers.twohands import TwoHands

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FLOWS = [b"%d" % number for number in range(30_000)]


class Numbers:
    """Writes a number a line, and refuses what is none."""

    def batch(self, messages: Sequence[bytes]) -> str:
        if b"x" in messages:
            raise DecodeError("x is no number")
        return "".join(f"{message.decode()}\n" for message in messages)

    def finish(self) -> str:
        return "end\n"


class Pids(Numbers):
    """Writes which process wrote it."""

    def batch(self, messages: Sequence[bytes]) -> str:
        return f"{os.getpid()}\n" * len(messages)


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.fixture
def nobody_is_left() -> Iterator[None]:
    """Other tests of the same process may have children of their own, which stay."""
    before = _children()
    yield
    assert _children() <= before


def _children() -> set[str]:
    return {
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    }


def written(hands: TwoHands, messages: Sequence[bytes], size: int) -> bytes:
    """Write messages in batches of a size."""
    texts = [hands.batch(messages[at : at + size]) for at in range(0, len(messages), size)]
    return b"".join(
        text if isinstance(text, bytes) else text.encode() for text in [*texts, hands.finish()]
    )


@pytest.mark.usefixtures("nobody_is_left")
@pytest.mark.parametrize("size", [1, 241, 5_000])
@pytest.mark.parametrize("count", [0, 4_096, 4_097, 5_200, 30_000])
def test_writes_what_one_hand_writes(count: int, size: int) -> None:
    expected = b"".join(b"%d\n" % number for number in range(count)) + b"end\n"
    assert written(TwoHands(Numbers()), FLOWS[:count], size) == expected


@pytest.mark.usefixtures("nobody_is_left")
def test_both_have_their_share_of_a_long_answer() -> None:
    pids = written(TwoHands(Pids()), FLOWS, 241).split()[:-1]
    assert len(pids) == len(FLOWS)
    assert len(set(pids)) == 2
    assert pids.count(b"%d" % os.getpid()) < len(FLOWS)


def test_a_short_answer_is_written_by_one() -> None:
    pids = written(TwoHands(Pids()), FLOWS[:4_000], 241).split()[:-1]
    assert set(pids) == {b"%d" % os.getpid()}


def test_with_one_processor_one_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    pids = written(TwoHands(Pids()), FLOWS, 241).split()[:-1]
    assert set(pids) == {b"%d" % os.getpid()}


@pytest.mark.usefixtures("nobody_is_left")
def test_without_another_process_one_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", fork)
    before = len(os.listdir("/proc/self/fd"))
    assert written(TwoHands(Numbers()), FLOWS, 241).count(b"\n") == len(FLOWS) + 1
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("nobody_is_left")
@pytest.mark.parametrize("after", [5_000, 12_000])
def test_the_second_one_may_die(after: int) -> None:
    hands = TwoHands(Numbers())
    first = [hands.batch(FLOWS[at : at + 100]) for at in range(0, after, 100)]
    assert hands._second is not None
    os.kill(hands._second._pid, signal.SIGKILL)
    rest = written(hands, FLOWS[after:], 100)
    text = b"".join(t if isinstance(t, bytes) else t.encode() for t in first) + rest
    assert text == b"".join(b"%d\n" % number for number in range(30_000)) + b"end\n"


@pytest.mark.usefixtures("nobody_is_left")
@pytest.mark.parametrize("at", [4_500, 6_000, 20_000, 29_999])
def test_what_cannot_be_read_is_refused_whoever_reads_it(at: int) -> None:
    hands = TwoHands(Numbers())
    flows = [*FLOWS[:at], b"x", *FLOWS[at + 1 :]]
    with pytest.raises(DecodeError, match="x is no number"):
        written(hands, flows, 241)
    hands.finish()  # says it not again


@pytest.mark.usefixtures("nobody_is_left")
def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twohands._SecondHand, "is_ready", lambda _: False)
    monkeypatch.setattr(twohands, "_WAITING_BYTES", 1_000)
    hands = TwoHands(Numbers())
    for at in range(0, 30_000, 100):
        hands.batch(FLOWS[at : at + 100])
        assert hands._waiting_bytes < 1_700
    hands.finish()
