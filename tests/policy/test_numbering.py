"""Numbers follow from the set of names alone."""

import random
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.numbering import PART_LENGTH, assign_numbers, numbering

NAMES = st.sets(st.text(max_size=8), max_size=48)


@given(NAMES, st.randoms(use_true_random=False))
def test_order_of_arrival_does_not_matter(names: set[str], shuffle: random.Random) -> None:
    shuffled = sorted(names)
    shuffle.shuffle(shuffled)
    # 64 numbers for up to 48 names: nearly every draw collides.
    numbers = assign_numbers(shuffled, first=256, last=319)
    assert numbers == assign_numbers(names, first=256, last=319)
    assert set(numbers) == names
    assert len(set(numbers.values())) == len(names)
    assert all(256 <= number <= 319 for number in numbers.values())


def test_a_name_alone_keeps_its_number_beside_most_others() -> None:
    names = [f"app={index}" for index in range(1000)]
    alone = {name: assign_numbers([name], first=256, last=65535)[name] for name in names}
    together = assign_numbers(names, first=256, last=65535)
    moved = [name for name in names if alone[name] != together[name]]
    # 1,000 names in 65,280 numbers: n²/2m = 7.7 collisions are expected, each moves one name.
    assert len(moved) < 25


def test_numbers_do_not_change_between_releases() -> None:
    assert assign_numbers(["a", "b"], first=256, last=65535) == {"a": 58386, "b": 19222}


def test_too_many_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"assign numbers 1\.\.4: too few for 4 names"):
        assign_numbers("abcd", first=1, last=4)


@pytest.mark.parametrize("count", [0, 1, PART_LENGTH - 1, PART_LENGTH, 1_000])
def test_step_by_step_comes_to_the_same(count: int) -> None:
    names = [f"app={index}" for index in range(count)]
    found: list[dict[str, int]] = []

    def steps() -> Generator[None, None, None]:
        found.append((yield from numbering(names, first=256, last=65_535)))

    step_count = sum(1 for _ in steps())
    assert found == [assign_numbers(names, first=256, last=65_535)]
    assert step_count >= count // PART_LENGTH
