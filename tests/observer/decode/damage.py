"""Hypothesis strategy: valid samples with a few bytes changed, often to extremes."""

from collections.abc import Sequence

from hypothesis import strategies as st

from observer.samples import SAMPLE_BYTES

CHANGES = st.one_of(
    st.binary(min_size=1, max_size=1),
    st.sampled_from([b"\xff\xff", b"\0\0", b"\xff\xff\xff\xff", b"\x08\x00", b"\x86\xdd"]),
)


@st.composite
def damaged(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    sample = bytearray(draw(st.sampled_from(valid)).ljust(SAMPLE_BYTES, b"\0"))
    for _ in range(draw(st.integers(1, 4))):
        change = draw(CHANGES)
        at = draw(st.integers(0, SAMPLE_BYTES - len(change)))
        sample[at : at + len(change)] = change
    return bytes(sample)
