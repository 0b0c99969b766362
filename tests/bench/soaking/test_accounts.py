from dataclasses import replace

import pytest

from bench.errors import WrongAnswerError
from bench.soaking import accounts
from bench.soaking.accounts import Balance, settle
from bench.soaking.readers import Read

READ = Read(flows=60, reported=8, missed=32, lost_events=11, blind=0)
RIGHT = Balance(written=600, told=600, seen=89, read=READ)
BIRTH = Balance.at_birth(500)


def test_what_adds_up_has_no_faults() -> None:
    assert RIGHT.faults(BIRTH) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (replace(RIGHT, told=599), "600 events written in all, 599 told"),
        (replace(RIGHT, seen=88), "100 written, 88 flows + 11 lost are 99"),
        (replace(RIGHT, read=replace(READ, flows=59)), "100 written, 59 flows read"),
        (replace(RIGHT, read=replace(READ, missed=33)), "33 missed as told are 101"),
        (replace(RIGHT, read=replace(READ, blind=7)), "the reader of losses missed 7 events"),
    ],
    ids=["not told", "not a row", "not read", "missed twice", "blind"],
)
def test_one_event_too_few_or_too_many_is_a_fault(wrong: Balance, says: str) -> None:
    assert says in "; ".join(wrong.faults(BIRTH))


def test_settles_when_the_last_one_has_arrived() -> None:
    looks = iter([replace(RIGHT, told=599), RIGHT])
    assert settle(lambda: next(looks), BIRTH) == RIGHT


def test_what_never_adds_up_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_SETTLE_S", 0.0)
    with pytest.raises(WrongAnswerError, match="ledger: 600 events written in all, 599 told"):
        settle(lambda: replace(RIGHT, told=599), BIRTH)
