import numpy as np
import pytest
from numpy.typing import DTypeLike

from observer.encode.varint import varint, write_varints


def _read(data: bytes) -> int:
    assert all(byte & 0x80 for byte in data[:-1])
    assert not data[-1] & 0x80
    return sum((byte & 0x7F) << (7 * index) for index, byte in enumerate(data))


@pytest.mark.parametrize(
    ("dtype", "width"),
    [
        pytest.param(np.uint16, 3, id="ports"),
        pytest.param(np.uint32, 4, id="lengths"),
        pytest.param(np.uint32, 5, id="uint32"),
        pytest.param(np.uint64, 5, id="seconds"),
        pytest.param(np.uint64, 10, id="uint64"),
    ],
)
def test_writes_varints_of_one_width_between_other_bytes(dtype: DTypeLike, width: int) -> None:
    bits = min(7 * width, 8 * np.dtype(dtype).itemsize)
    values = [0, 1, 127, 128, 300, (1 << bits) - 1, 1 << (bits - 1)]
    matrix = np.full((len(values), width + 4), 0xEE, np.uint8)
    write_varints(matrix[:, 3 : 3 + width], np.array(values, dtype))
    assert [_read(row[3:-1].tobytes()) for row in matrix] == values
    assert (matrix[:, :3] == 0xEE).all()
    assert (matrix[:, -1] == 0xEE).all()


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16_384, (1 << 64) - 1])
def test_the_shortest_varint_says_the_same(value: int) -> None:
    data = varint(value)
    assert _read(data) == value
    assert len(data) == max(1, -(-value.bit_length() // 7))
