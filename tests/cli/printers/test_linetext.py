"""Lines from kept texts against lines by way of messages, in all orders of fields."""

import random

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from cli.commands.tree import FLOWS
from cli.flags.arguments import Arguments
from cli.flags.scan import flags_of
from cli.printers.choice import flow_printer
from cli.printers.compact import CompactPrinter
from tests.cli.conftest import Screen
from tests.cli.wireorders import ORDERS, encoded, ordinary, shuffled

WORDS = (
    (),
    ("--color", "always", "--print-node-name", "--print-policy-names"),
    ("--numeric", "--time-format", "RFC3339Nano"),
    ("--ip-translation=false", "--time-format", "RFC3339Milli"),
)


def printer(words: tuple[str, ...]) -> CompactPrinter:
    arguments = Arguments(list(words), flags_of(FLOWS))
    arguments.read()
    made = flow_printer("compact", arguments, Screen().surroundings())
    assert isinstance(made, CompactPrinter)
    return made


def usual(which: CompactPrinter, data: bytes) -> str:
    """Write the line of a response the short way; nothing where that is for others."""
    return "".join(which.usual.lines([data], lambda _: ""))


# Texts kept from one example must not leak into the next.
PRINTERS = tuple(printer(words) for words in WORDS)


@given(seed=st.integers(0, 1 << 32), which=st.sampled_from(PRINTERS))
def test_says_the_same_to_the_letter_in_any_order(seed: int, which: CompactPrinter) -> None:
    rng = random.Random(seed)
    response = ordinary(rng)
    expected = which.line(response.SerializeToString())
    for data in [*(encoded(response, order) for order in ORDERS), shuffled(response, rng)]:
        assert usual(which, data) in ("", expected)
        assert which.line(data) == expected


@given(seed=st.integers(0, 1 << 32), at=st.floats(0, 1), flip=st.integers(1, 255))
def test_changed_bytes_say_what_protobuf_says_unless_it_refuses(
    seed: int, at: float, flip: int
) -> None:
    data = bytearray(encoded(ordinary(random.Random(seed)), "ours"))
    data[int(at * (len(data) - 1))] ^= flip
    try:
        expected = PRINTERS[0].line(bytes(data))
        text = usual(PRINTERS[0], bytes(data))
    except DecodeError:
        return
    assert text in ("", expected)


@pytest.mark.parametrize("order", ["ours", "go"])
def test_ordinary_flows_take_the_short_way(order: str) -> None:
    rng = random.Random(7)
    flows = [ordinary(rng) for _ in range(300)]
    taken = [flow for flow in flows if usual(PRINTERS[0], encoded(flow, order))]
    plain = [
        flow
        for flow in flows
        if flow.flow.Summary == "TCP Flags: SYN"
        and flow.flow.time.nanos > 1 << 28
        and flow.flow.l4.ByteSize()
    ]
    assert plain
    assert all(flow in taken for flow in plain)


def test_kept_texts_are_bounded() -> None:
    kept = PRINTERS[0].usual
    rng = random.Random(3)
    for number in range(9_000):
        response = ordinary(rng)
        response.flow.source.ID = number
        response.flow.proxy_port = number
        usual(PRINTERS[0], encoded(response, "ours"))
    assert 0 < len(kept._ends) <= 8192
    assert 0 < len(kept._rests) <= 8192


@given(seed=st.integers(0, 1 << 32), which=st.sampled_from(PRINTERS))
def test_a_batch_says_what_its_responses_say(seed: int, which: CompactPrinter) -> None:
    rng = random.Random(seed)
    flows = [ordinary(rng) for _ in range(6)]
    batch = [encoded(flow, rng.choice(ORDERS)) for flow in flows * 2]
    assert which.usual.lines(batch, which.line) == [which.line(each) for each in batch]
