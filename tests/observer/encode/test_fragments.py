import random

import numpy as np
import pytest
from numpy.typing import NDArray

from observer.encode.fragments import KeyFragments

Keys = NDArray[np.uint64]


class Builder:
    """Builds a fragment that tells its key, and remembers what was asked."""

    def __init__(self) -> None:
        self.built: list[bytes] = []

    def __call__(self, keys: list[bytes]) -> list[bytes]:
        self.built += keys
        return [_fragment(key) for key in keys]


def _fragment(key: bytes) -> bytes:
    return key + bytes(key[0] % 7)


def _addresses(count: int, *, seed: int) -> Keys:
    """Keys as IPv4 and IPv6 addresses make them: bytes in network order, most of them alike."""
    numbers = random.Random(seed).sample(range(1 << 16), count)
    heads = (bytes(10) + b"\xff\xff\x0a\x00", bytes.fromhex("fd00") + bytes(12))
    texts = [heads[number % 2] + number.to_bytes(2, "big") for number in numbers]
    return np.frombuffer(b"".join(texts), np.uint64).reshape(-1, 2)


def _expect(cache: KeyFragments, keys: Keys) -> None:
    fragments, lengths = cache.take(keys)
    wanted = [_fragment(key.tobytes()) for key in keys]
    assert fragments.tolist() == wanted
    assert lengths.tolist() == [len(fragment) for fragment in wanted]


@pytest.mark.parametrize("slot_bits", [2, 5, 10])
def test_gives_each_key_its_fragment_however_many_drive_each_other_out(slot_bits: int) -> None:
    cache = KeyFragments(slot_bits=slot_bits, build=Builder())
    known = np.concatenate((np.zeros((1, 2), np.uint64), _addresses(500, seed=1)))
    choice = np.random.default_rng(2)
    for _ in range(50):
        _expect(cache, known[choice.integers(0, len(known), 64)])


def test_builds_keys_once_while_there_is_room_though_some_want_one_slot() -> None:
    builder = Builder()
    cache = KeyFragments(slot_bits=12, build=builder)
    keys = _addresses(1_000, seed=3)
    for part in np.array_split(keys, 10):
        _expect(cache, part)
    # Some came at once and wanted one slot; they are built a second time, and then stay.
    _expect(cache, keys)
    built = len(builder.built)
    for part in np.array_split(keys, 7):
        _expect(cache, part)
    assert len(builder.built) - built < len(keys) // 100


def test_the_key_of_zeros_is_told_from_slots_that_are_empty() -> None:
    cache = KeyFragments(slot_bits=4, build=Builder())
    zeros = np.zeros((3, 2), np.uint64)
    _expect(cache, zeros)
    _expect(cache, _addresses(200, seed=4))
    _expect(cache, zeros)
