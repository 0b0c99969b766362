import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.odd_packets import FOREIGN_KINDS, ODD_KINDS, ethernet, ipv4, ipv6, trace
from bench.workload import Mix, SyntheticNode
from observer.decode.decoder import Decoder
from observer.ledger import Ledger, Stage
from observer.samples import SAMPLE_BYTES
from tests.observer.decode.batches import check_against_reference, make_batch
from tests.observer.decode.damage import damaged

TCP = bytes.fromhex("a028 01bb 00000001 00000001 5010 0200 0000 0000")
PLAIN = trace(ethernet(0x0800, ipv4(6, TCP)))

_NODE = SyntheticNode(7, Mix(odd_share=0.0))
VALID = [
    *(sample.tobytes() for sample in _NODE.batch(60).samples),
    *(kind() for kind in ODD_KINDS),
    *(kind() for kind in FOREIGN_KINDS),
    struct.pack("=BBHIIII", 2, 48, 77, 0xABCD, 0x0100007F, 0xFFFFFFFF, 4000 << 16 | 80),
]


@pytest.mark.parametrize("size", [1, 2, 300, 4096])
def test_recorded_mix_is_what_the_reference_reads(size: int) -> None:
    node = SyntheticNode(size)
    check_against_reference(node.batch(size))


@pytest.mark.parametrize("seed", range(4))
def test_mostly_odd_and_foreign_samples_are_what_the_reference_reads(seed: int) -> None:
    node = SyntheticNode(seed, Mix(odd_share=0.6, foreign_share=0.3))
    check_against_reference(node.batch(400))


@pytest.mark.parametrize("make", [*ODD_KINDS, *FOREIGN_KINDS])
def test_each_odd_kind_alone(make: Callable[[], bytes]) -> None:
    check_against_reference(make_batch([make()]))


def test_one_decoder_keeps_nothing_of_the_batch_before() -> None:
    decoder = Decoder(Ledger())
    node = SyntheticNode(3, Mix(odd_share=0.5, foreign_share=0.2))
    for size in (50, 400, 30, 1):
        batch = node.batch(size)
        expected = Decoder(Ledger()).decode(batch)
        rows = decoder.decode(batch)
        for name, column in rows.columns.items():
            np.testing.assert_array_equal(column, expected.columns[name], err_msg=name)
        assert rows.details == expected.details


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=SAMPLE_BYTES), min_size=1, max_size=20))
@example([b""])
@example([b"\xff" * SAMPLE_BYTES])
@example([bytes((7,)) + b"\xff" * 215])
def test_any_bytes_are_a_row_or_are_counted(samples: list[bytes]) -> None:
    check_against_reference(make_batch(samples))


@settings(max_examples=400, deadline=None)
@given(st.lists(damaged(VALID), min_size=1, max_size=12))
def test_damaged_samples_are_what_the_reference_reads(samples: list[bytes]) -> None:
    check_against_reference(make_batch(samples))


@pytest.mark.parametrize("sample", VALID[::7] + VALID[60:])
def test_every_truncation_is_a_row_or_is_counted(sample: bytes) -> None:
    check_against_reference(make_batch([sample[:size] for size in range(len(sample))]))


@pytest.mark.parametrize("make", ODD_KINDS)
def test_every_capture_length(make: Callable[[], bytes]) -> None:
    sample = make()
    samples = []
    for captured in range(140):
        cut = bytearray(sample)
        cut[12:14] = captured.to_bytes(2, "little")
        samples.append(bytes(cut))
    check_against_reference(make_batch(samples))


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (b"\0" * 216, "unknown event type"),
        (b"\x06", "unknown event type"),
        (b"\x81", "unknown event type"),
        (PLAIN[:14] + b"\x03" + PLAIN[15:], "unknown header version"),
        (PLAIN[:15] + b"\x02" + PLAIN[16:], "unknown extension version"),
        (trace(ethernet(0x0800, b""), captured=13), "ethernet header cut short"),
        (trace(ethernet(0x8100, b"\0\0\0")), "vlan tag cut short"),
        (trace(ethernet(0x0800, ipv4(6, TCP)[:19])), "ipv4 header cut short"),
        (trace(ethernet(0x0800, b"\x46" + ipv4(6, b"")[1:])), "ipv4 header cut short"),
        (trace(ethernet(0x0800, b"\x44" + ipv4(6, TCP)[1:])), "ipv4 header invalid"),
        (trace(ethernet(0x0800, b"\x65" + ipv4(6, TCP)[1:])), "ipv4 header invalid"),
        (trace(ethernet(0x86DD, ipv6(6, TCP)[:39])), "ipv6 header cut short"),
        (trace(ethernet(0x86DD, b"\x45" + ipv6(6, TCP)[1:])), "ipv6 header invalid"),
        (trace(ethernet(0x86DD, ipv6(0, b"\x06\x00"))), "ipv6 extension header cut short"),
        (trace(ethernet(0x86DD, ipv6(0, b"\x06\x09" + TCP))), "ipv6 extension header cut short"),
        (trace(ethernet(0x0800, ipv4(6, TCP[:19]))), "transport header cut short"),
        (trace(ethernet(0x0800, ipv4(6, TCP)), captured=53), "transport header cut short"),
        (trace(ethernet(0x0800, ipv4(17, bytes(7)))), "transport header cut short"),
        (trace(ethernet(0x0800, ipv4(6, TCP[:12] + b"\x40" + TCP[13:]))), "tcp header invalid"),
    ],
)
def test_what_cannot_be_read_is_counted_by_its_reason(sample: bytes, reason: str) -> None:
    ledger = Ledger()
    rows = Decoder(ledger).decode(make_batch([PLAIN, sample, PLAIN]))
    assert rows.count == 2
    assert ledger.snapshot() == ((Stage.DECODE, reason, 1),)


def test_the_longest_lengths_that_can_be_claimed() -> None:
    packet = bytearray(ipv4(50, TCP))
    packet[2:4] = b"\xff\xff"
    rows = check_against_reference(
        make_batch([trace(ethernet(0x0800, bytes(packet)), captured=0xFFFF)])
    )
    assert rows.columns["source_port"][0] == 0


def test_debug_messages_keep_their_numbers_and_nothing_else() -> None:
    message = VALID[-1]
    rows = check_against_reference(make_batch([PLAIN, message, PLAIN, message]))
    found = rows.columns["macs"][[1, 3]].view(np.uint32).tolist()
    assert found == [[0x0100007F, 0xFFFFFFFF, 4000 << 16 | 80]] * 2
    assert rows.columns["ip_trace_id"][1] == 0xABCD
    assert rows.columns["kind"].tolist() == [4, 2, 4, 2]


def test_an_empty_batch_gives_no_rows() -> None:
    assert Decoder(Ledger()).decode(make_batch([])).count == 0


def test_read_only_samples_will_do() -> None:
    batch = make_batch([PLAIN] * 3)
    assert not batch.samples.flags.writeable
    assert Decoder(Ledger()).decode(batch).count == 3


@pytest.mark.parametrize("shift", [1, 4])
def test_samples_need_not_be_aligned(shift: int) -> None:
    batch = SyntheticNode(2, Mix(odd_share=0.2, foreign_share=0.1)).batch(100)
    memory = np.zeros(batch.samples.size + 8, np.uint8)
    start = -memory.ctypes.data % 8 + shift
    moved = memory[start : start + batch.samples.size].reshape(batch.samples.shape)
    moved[:] = batch.samples
    check_against_reference(replace(batch, samples=moved))


def test_more_extension_headers_than_we_follow_have_no_transport() -> None:
    chain = bytes((60, 0, 0, 0, 0, 0, 0, 0)) * 9
    rows = check_against_reference(make_batch([trace(ethernet(0x86DD, ipv6(60, chain)))]))
    assert rows.columns["l4_kind"][0] == 0
