"""Numbers, switches, durations and lists as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.flags.values import (
    duration_text,
    parse_decimal,
    parse_duration_ns,
    parse_list,
    parse_switch,
    parse_uint,
)

S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("20", 20),
        ("0x1F", 31),
        ("0b101", 5),
        ("0o17", 15),
        ("017", 15),
        ("1_000", 1000),
        ("0x_f", 15),
        ("0_7", 7),
        ("18446744073709551615", (1 << 64) - 1),
    ],
)
def test_uint(text: str, value: int) -> None:
    assert parse_uint(text) == value


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "+1", "1.5", "08", "1__0", "1_", "0x", " 1", "\uff11"]
)
def test_uint_of_bad_syntax(text: str) -> None:
    with pytest.raises(ValueError, match=r'strconv.ParseUint: parsing ".*": invalid syntax'):
        parse_uint(text)


def test_uint_out_of_range() -> None:
    with pytest.raises(ValueError, match='parsing "65536": value out of range'):
        parse_uint("65536", 16)


@pytest.mark.parametrize("text", ["", "0x4", "1_0", "-1", "\u0661"])
def test_decimal_of_bad_syntax(text: str) -> None:
    with pytest.raises(ValueError, match="invalid syntax"):
        parse_decimal(text, 32)


@pytest.mark.parametrize("text", ["4294967296", "9" * 5000])
def test_decimal_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match="value out of range"):
        parse_decimal(text, 32)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("T", True), ("False", False)])
def test_switch(text: str, value: bool) -> None:
    assert parse_switch(text) is value


def test_switch_of_bad_syntax() -> None:
    with pytest.raises(ValueError, match=r'strconv.ParseBool: parsing "yes": invalid syntax'):
        parse_switch("yes")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("3s", 3 * S),
        ("1h43m", 103 * 60 * S),
        ("1.5s", 1_500_000_000),
        (".5s", S // 2),
        ("-5m", -300 * S),
        ("+2us", 2_000),
        ("2µs", 2_000),
        ("7ns", 7),
        ("1h2m3.5s", 3_723_500_000_000),
    ],
)
def test_duration(text: str, value: int) -> None:
    assert parse_duration_ns(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("x", 'time: invalid duration "x"'),
        ("5", 'time: missing unit in duration "5"'),
        ("5d", 'time: unknown unit "d" in duration "5d"'),
        (".", 'time: invalid duration "."'),
        ("1s ", 'time: unknown unit "s " in duration "1s "'),
        ("3000000h", 'time: invalid duration "3000000h"'),
    ],
)
def test_duration_of_bad_syntax(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"time: ") as caught:
        parse_duration_ns(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (350_000_000, "350ms"),
        (12 * S, "12s"),
        (100 * S, "1m40s"),
        (3_723 * S + 250_000_000, "1h2m3.25s"),
        (-90 * S, "-1m30s"),
    ],
)
def test_duration_text(duration_ns: int, text: str) -> None:
    assert duration_text(duration_ns) == text


@given(st.integers(-(1 << 62), 1 << 62))
def test_durations_survive_the_round_trip(duration_ns: int) -> None:
    assert parse_duration_ns(duration_text(duration_ns)) == duration_ns


@pytest.mark.parametrize(
    ("text", "values"),
    [("", []), ("a,b", ["a", "b"]), ('"a,b",c', ["a,b", "c"]), ("a,", ["a", ""])],
)
def test_list(text: str, values: list[str]) -> None:
    assert parse_list(text) == values
