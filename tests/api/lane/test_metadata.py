import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lane.metadata import (
    Metadata,
    decode_details,
    decode_metadata,
    decode_timeout,
    encode_metadata,
    encode_timeout,
)
from api.lane.status import Code, RpcError

KEYS = st.from_regex(r"x[0-9a-z_.-]{0,8}", fullmatch=True).filter(lambda key: key[-4:] != "-bin")
TEXTS = st.tuples(KEYS, st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
BYTES = st.tuples(KEYS.map(lambda key: key + "-bin"), st.binary())


@given(st.lists(TEXTS | BYTES).map(tuple))
def test_round_trip_keeps_order_and_repeats(metadata: Metadata) -> None:
    assert decode_metadata(encode_metadata(metadata)) == metadata


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Upper", "x"), ("", "x"), (":path", "x"), ("grpc-status", "0"), ("te", "x"),
        ("sp ace", "x"), ("nö", "x"), ("k", "nö"), ("k", "a\nb"), ("k", b"x"), ("k-bin", "x"),
    ],
)  # fmt: skip
def test_what_cannot_travel_is_refused(key: str, value: str | bytes) -> None:
    with pytest.raises(ValueError, match="encode metadata"):
        encode_metadata(((key, value),))


def test_headers_of_the_protocol_are_not_metadata() -> None:
    headers = [(b":path", b"/a"), (b"grpc-timeout", b"1S"), (b"te", b"trailers"), (b"k", b"\xff")]
    assert decode_metadata(headers) == (("k", "\xff"),)


def test_binary_values_may_be_joined_and_unpadded() -> None:
    assert decode_metadata([(b"k-bin", b"AQ,Ag==, ")]) == (
        ("k-bin", b"\1"), ("k-bin", b"\2"), ("k-bin", b""),
    )  # fmt: skip


@pytest.mark.parametrize("value", [b"!!!", b"A", b"\xff\xff"])
def test_malformed_binary_is_an_rpc_error(value: bytes) -> None:
    with pytest.raises(RpcError, match="malformed binary metadata") as caught:
        decode_metadata([(b"k-bin", value)])
    assert caught.value.code is Code.INTERNAL
    assert decode_details({b"grpc-status-details-bin": value}) == b""


@pytest.mark.parametrize(
    ("value", "timeout_s"),
    [(b"1S", 1), (b"250m", 0.25), (b"3u", 3e-6), (b"7n", 7e-9), (b"2M", 120), (b"1H", 3600)],
)
def test_timeout_units(value: bytes, timeout_s: float) -> None:
    assert decode_timeout(value) == pytest.approx(timeout_s)


@pytest.mark.parametrize("value", [b"", b"S", b"1", b"1s", b"123456789S", b"-1S", b"\xd9\xa1S"])
def test_malformed_timeout(value: bytes) -> None:
    with pytest.raises(RpcError, match="malformed grpc-timeout"):
        decode_timeout(value)


@given(st.floats(min_value=1e-6, max_value=1e11))
def test_timeout_round_trip(timeout_s: float) -> None:
    encoded = encode_timeout(timeout_s)
    assert len(encoded) <= 9
    assert math.isclose(decode_timeout(encoded), timeout_s, rel_tol=1e-3)


def test_timeouts_beyond_the_format() -> None:
    assert encode_timeout(-1) == b"1n"
    assert encode_timeout(1e13) == b"99999999H"
