"""Devices of one index, told apart by the notices of deletions alone."""

from server.incarnations import Incarnations


def test_only_a_deletion_makes_another_device() -> None:
    numbers = Incarnations()
    first = numbers.of(5), numbers.of(6)
    assert numbers.of(5) == first[0]
    numbers.deleted(5)
    second = numbers.of(5)
    assert second != first[0]
    assert numbers.of(6) == first[1]
    numbers.deleted(5)
    assert numbers.of(5) not in (first[0], second)


def test_lost_notices_make_all_devices_others() -> None:
    numbers = Incarnations()
    numbers.deleted(5)
    before = numbers.of(5), numbers.of(6)
    numbers.missed()
    assert numbers.of(5) not in before
    assert numbers.of(6) not in before


def test_a_copy_does_not_learn() -> None:
    numbers = Incarnations()
    copy = numbers.copy()
    numbers.deleted(5)
    assert copy.of(5) != numbers.of(5)


def test_what_no_device_has_is_forgotten() -> None:
    numbers = Incarnations()
    for index in range(1000):
        numbers.deleted(index)
    kept = numbers.of(7)
    numbers.forget(but={7})
    assert numbers.of(7) == kept
    assert len(numbers._numbers) == 1
