import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from observer import hash_index
from observer.hash_index import _PART, HashIndex
from observer.hash_slots import HashSlots, Key

WORDS = st.one_of(st.integers(0, 3), st.integers(0, (1 << 64) - 1))
KEYS = st.tuples(WORDS, WORDS)


def find(index: HashIndex, keys: list[tuple[int, int]]) -> list[int]:
    columns = np.array(keys, np.uint64).reshape(-1, 2).T.copy()
    found: list[int] = index.find(columns[0], columns[1]).tolist()
    return found


@settings(deadline=None)
@given(
    st.lists(st.tuples(KEYS, st.one_of(st.none(), st.integers(1, (1 << 31) - 1))), max_size=300),
    st.lists(KEYS, max_size=20),
)
def test_an_index_is_a_dict(
    changes: list[tuple[tuple[int, int], int | None]], others: list[tuple[int, int]]
) -> None:
    index, model = HashIndex(), dict[tuple[int, int], int]()
    for key, value in changes:
        if value is None:
            index.remove(key)
            model.pop(key, None)
        else:
            index.set(key, value)
            model[key] = value
    keys = [key for key, _ in changes] + others
    assert find(index, keys) == [model.get(key, 0) for key in keys]
    assert [index.get(key) for key in keys] == [model.get(key, 0) for key in keys]
    assert len(index) == len(model)


@pytest.mark.parametrize("step", [1, 1 << 16, 1 << 32, 0x9E3779B97F4A7C15])
def test_regular_keys_find_their_place(step: int) -> None:
    index = HashIndex()
    keys = [(0, (number * step) % (1 << 64)) for number in range(20_000)]
    for value, key in enumerate(keys, 1):
        index.set(key, value)
    assert find(index, keys) == list(range(1, 20_001))
    absent = [(1, low) for _, low in keys[:1000]]
    assert find(index, absent) == [0] * 1000


def test_keys_that_come_and_go_do_not_fill_it() -> None:
    index = HashIndex()
    chooser = random.Random(4)
    live: list[tuple[int, int]] = []
    for value in range(1, 5000):
        key = (chooser.getrandbits(64), chooser.getrandbits(64))
        index.set(key, value)
        live.append(key)
        if len(live) > 20:
            index.remove(live.pop(0))
    assert len(index) == 20
    assert index._slots.count <= 256
    assert find(index, live) == list(range(4980, 5000))


def test_an_empty_index_finds_nothing() -> None:
    assert find(HashIndex(), [(0, 0), (1, 2)]) == [0, 0]
    assert find(HashIndex(), []) == []


def test_factors_that_do_not_do_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals, put = [3], HashSlots.put

    def refuse_thrice(slots: HashSlots, key: Key, value: int) -> tuple[Key, int] | None:
        refusals[0] -= 1
        return (key, value) if refusals[0] >= 0 else put(slots, key, value)

    index = HashIndex(seed=5)
    keys = [(number << 40, number) for number in range(1, 100)]
    for number, key in enumerate(keys, start=1):
        if number == 20:
            monkeypatch.setattr(HashSlots, "put", refuse_thrice)
        index.set(key, number)
    assert refusals[0] < 0
    assert find(index, keys) == list(range(1, 100))


def test_one_change_moves_one_part_and_all_keys_are_found_meanwhile() -> None:
    index = HashIndex(seed=3)
    keys = [(7, number * 4096) for number in range(30_000)]
    meanwhile, moved = 0, 0
    for number, key in enumerate(keys, start=1):
        index.set(key, number)
        if index._elder is None:
            moved = 0
            continue
        assert index._moved - moved <= _PART
        moved = index._moved
        meanwhile += 1
        if not meanwhile % 8:
            assert (
                find(index, keys[: number + 5]) == [*range(1, number + 1), *[0] * 5][: number + 5]
            )
    assert meanwhile > 50
    assert index._elder is None


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 99), st.integers(1, 40))
def test_what_changes_while_keys_move_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch, seed: int, part: int
) -> None:
    monkeypatch.setattr(hash_index, "_PART", part)
    chooser, index, model = random.Random(seed), HashIndex(seed=seed), dict[Key, int]()
    keys = [(number, number * 8) for number in range(400)]
    for value in range(1, 1_200):
        key = chooser.choice(keys)
        if chooser.random() < 0.2:
            index.remove(key)
            model.pop(key, None)
        else:
            index.set(key, value)
            model[key] = value
    assert find(index, keys) == [model.get(key, 0) for key in keys]


@pytest.mark.parametrize("count", [1, 25, 26, 27, 5000, 30_000])
def test_each_key_stands_in_one_slot_however_often_the_index_grew(count: int) -> None:
    index = HashIndex(seed=count)
    keys = [(7, number * 4096) for number in range(count)]
    for number, key in enumerate(keys, start=1):
        index.set(key, number)
    assert find(index, keys) == list(range(1, count + 1))
    standing = [index._slots, *([] if index._elder is None else [index._elder])]
    assert sum(np.count_nonzero(each._values) for each in standing) == count
    assert 5 * count <= 2 * index._slots.count
    for key in keys[::2]:
        index.remove(key)
    assert find(index, keys[::2]) == [0] * len(keys[::2])
    assert find(index, keys[1::2]) == list(range(2, count + 1, 2))
