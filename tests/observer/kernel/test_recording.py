"""Recordings: what was written is read back; anything else is refused with its offset."""

import re
import struct
import threading
import zlib
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from observer.kernel import recording
from observer.kernel.backlog import Backlog
from observer.kernel.errors import RecordingError
from observer.kernel.recording import RecordedChange, Recorder, Recording
from observer.samples import SAMPLE_BYTES, LostSamples, SampleBatch

GAP = LostSamples(cpu=3, count=17, first_mono_ns=40, last_mono_ns=99)
CHANGE = RecordedChange(change="ADDED", object={"kind": "Pod", "metadata": {"name": "xwing"}})


def batch(rows: int, lost: tuple[LostSamples, ...] = ()) -> SampleBatch:
    generator = np.random.default_rng(rows)
    return SampleBatch(
        samples=generator.integers(0, 256, (rows, SAMPLE_BYTES), np.uint8),
        mono_ns=np.arange(rows, dtype=np.int64) + 1_000,
        cpus=(np.arange(rows) % 4).astype(np.uint16),
        wall_offset_ns=123_456_789,
        lost=lost,
    )


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "node.rec"
    recorder = Recorder(path)
    recorder.change(CHANGE)
    recorder.batch(batch(5))
    recorder.batch(batch(3, lost=(GAP,)))
    recorder.close()
    return path


def test_reads_back_what_was_written_in_order(recorded: Path) -> None:
    recording = Recording(recorded)
    change, first, gap, second = recording.items()

    assert change == CHANGE
    assert isinstance(gap, SampleBatch)
    assert gap.lost == (GAP,)
    assert (len(gap), gap.wall_offset_ns) == (0, 123_456_789)
    for found, expected in ((first, batch(5)), (second, batch(3))):
        assert isinstance(found, SampleBatch)
        np.testing.assert_array_equal(found.samples, expected.samples)
        np.testing.assert_array_equal(found.mono_ns, expected.mono_ns)
        np.testing.assert_array_equal(found.cpus, expected.cpus)
        assert found.wall_offset_ns == expected.wall_offset_ns
    assert recording.sample_count == 8


def test_every_truncation_is_refused_with_an_offset(recorded: Path, tmp_path: Path) -> None:
    whole = recorded.read_bytes()
    cut = tmp_path / "cut.rec"
    for size in range(0, len(whole) - 1, 7):
        cut.write_bytes(whole[:size])
        with pytest.raises(RecordingError, match=r"truncated.*at offset \d+$") as raised:
            Recording(cut)
        offset = re.search(r"offset (\d+)$", str(raised.value))
        assert offset is not None
        assert int(offset[1]) <= size


@settings(max_examples=50)
@given(st.data())
def test_a_flipped_byte_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    recorder = Recorder(folder / "a.rec")
    recorder.change(CHANGE)
    recorder.batch(batch(2))
    recorder.close()
    content = bytearray((folder / "a.rec").read_bytes())
    at = data.draw(st.integers(24, len(content) - 1))
    content[at] ^= 0x40
    (folder / "b.rec").write_bytes(content)
    try:
        items = list(Recording(folder / "b.rec").items())
    except RecordingError:
        return
    # only the padding of a frame's header and the count of the end mark are not data
    assert items[0] == CHANGE


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated header: 0 bytes, need 24, at offset 0"),
        (b"PCAP" + bytes(40), "not a recording"),
        (b"LEAVITT\n" + b"\x09" + bytes(40), "version 9, this program reads 1, at offset 8"),
        (b"LEAVITT\n\x01\0\0\0\x10\0\0\0" + bytes(40), "samples of 16 bytes, need 216"),
    ],
    ids=["empty", "foreign", "newer", "other-samples"],
)
def test_foreign_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.rec"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=message):
        Recording(path)


def test_names_the_file_that_cannot_be_opened_or_created(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"open recording: No such file.*missing\.rec"):
        Recording(tmp_path / "missing.rec")
    with pytest.raises(RecordingError, match=r"create recording: File exists.*node\.rec"):
        Recorder(recorded)


def test_a_full_disk_is_reported_at_close(monkeypatch: pytest.MonkeyPatch) -> None:
    create = Path.open
    # the recorder creates its file exclusively, and /dev/full is there already
    monkeypatch.setattr(Path, "open", lambda path, _mode: create(path, "wb"))
    recorder = Recorder(Path("/dev/full"))
    recorder.batch(batch(4000))
    with pytest.raises(RecordingError, match="No space left on device"):
        recorder.close()


def test_a_burst_of_small_batches_is_kept_while_the_disk_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is dropped is told by its number of bytes, not of batches; and told in the file."""
    may_write = threading.Event()
    take = Backlog.take

    def slowly(self: Backlog) -> bytes | None:
        may_write.wait()
        return take(self)

    monkeypatch.setattr(Backlog, "take", slowly)
    small, large = batch(1), batch(1_000)
    room = 2_000 * (len(small.samples.tobytes()) + 100)
    monkeypatch.setattr(recording, "_MOST_WAITING_BYTES", room)
    recorder = Recorder(tmp_path / "burst.rec")
    for _ in range(1_000):
        recorder.batch(small)
    assert recorder.dropped == 0
    while not recorder.dropped:
        recorder.batch(large)
    recorder.batch(small)  # a gap, once begun, ends only when it can be told
    dropped = recorder.dropped
    may_write.set()
    recorder.close()

    items = list(Recording(tmp_path / "burst.rec").items())
    kept = sum(len(item) for item in items if isinstance(item, SampleBatch))
    gaps = [gap for item in items if isinstance(item, SampleBatch) for gap in item.lost]
    assert sum(gap.count for gap in gaps) == dropped
    assert kept + dropped >= 2_001
    assert {gap.cpu for gap in gaps} == {-1}


def test_keys_that_json_lacks_are_left_out(tmp_path: Path) -> None:
    content = {"kind": "Node", date(2001, 1, 1): "x", "at": date(2001, 1, 2)}
    recorder = Recorder(tmp_path / "keys.rec")
    recorder.change(RecordedChange(change="ADDED", object=content))  # type: ignore[arg-type] # YAML
    recorder.close()
    [change] = Recording(tmp_path / "keys.rec").items()
    assert isinstance(change, RecordedChange)
    assert change.object == {"kind": "Node", "at": "2001-01-02"}


TIMES_BACKWARDS = struct.pack("<IIq2q2H", 2, 0, 0, 9, 8, 0, 0) + bytes(2 * SAMPLE_BYTES)
TIME_TOO_LATE = struct.pack("<IIqqH", 1, 0, 1 << 62, 1 << 62, 0) + bytes(SAMPLE_BYTES)


@pytest.mark.parametrize(
    ("kind", "payload", "message"),
    [
        (1, TIMES_BACKWARDS, "times of a batch are not ascending, at offset 24"),
        (1, TIME_TOO_LATE, f"time {1 << 63} ns, need 0.*, at offset 24"),
        (2, struct.pack("<iIQqqq", 0, 0, 1, 5, -7, 0), "time -7 ns, need 0.*, at offset 24"),
        (2, struct.pack("<iIQqqq", 1 << 16, 0, 1, 5, 6, 0), "cpu 65536, need -1..65535"),
        (3, b"\xff", "frame of kind 3 is no change: .*, at offset 36"),
        (3, b"[]", "frame of kind 3 is no change: .*, at offset 36"),
        (3, b'{"change": 1, "object": {}}', "frame of kind 3 is no change of an object"),
        (3, b"[" * 100_000, "frame of kind 3 is no change: maximum recursion"),
        (9, b"", "unknown frame of kind 9, 0 bytes, at offset 24"),
    ],
    ids=["backwards", "late", "gap", "cpu", "bytes", "list", "number", "nested", "kind"],
)
def test_what_no_recorder_wrote_is_refused_though_its_checksum_fits(
    tmp_path: Path, kind: int, payload: bytes, message: str
) -> None:
    path = tmp_path / "x.rec"
    with path.open("wb") as file:
        file.write(struct.pack("<8sIIq", b"LEAVITT\n", 1, SAMPLE_BYTES, 0))
        for each, content in ((kind, payload), (4, struct.pack("<Q", 1))):
            file.write(struct.pack("<B3xII", each, len(content), zlib.crc32(content)) + content)
    with pytest.raises(RecordingError, match=message):
        list(Recording(path).items())
