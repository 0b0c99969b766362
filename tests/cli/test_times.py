"""What --since takes, and how times are printed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.times import FORMATS, parse_time_ns, time_text

S = 1_000_000_000
NOW_NS = 1_772_600_767 * S
DAY = 1_709_510_400  # 2024-03-04T00:00:00Z


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("3s", NOW_NS - 3 * S),
        ("-5m", NOW_NS + 300 * S),
        ("0", NOW_NS),
        ("2024-03-04", DAY * S),
        ("2024-03-04T15Z", (DAY + 15 * 3600) * S),
        ("2024-03-04T15:04+02:00", (DAY + 13 * 3600 + 240) * S),
        ("2024-03-04T15:04:05-01:30", (DAY + 16 * 3600 + 34 * 60 + 5) * S),
        ("2024-03-04T00:00:00.123456789Z", DAY * S + 123_456_789),
        ("2024-03-04T00:00:00.5Z", DAY * S + S // 2),
        ("Mon, 04 Mar 2024 01:00:00 +0100", DAY * S),
        ("Fri, 04 Mar 2024 01:00:00 +0100", DAY * S),
        ("1969-12-31T23:59:59.5Z", -S // 2),
    ],
)
def test_parse(text: str, time_ns: int) -> None:
    assert parse_time_ns(text, NOW_NS) == time_ns


@pytest.mark.parametrize(
    "text",
    ["", "bogus", "5", "3d", "2024", "2024-13-01", "2024-02-30", "2024-03-04T15", "2024-03-04T25Z",
     "2024-03-04T15:04", "Mar  4 05:06:07.089", "Mon, 04 Foo 2024 01:00:00 +0100",
     "2024-03-04T15:04+25:00", "0000-01-01", "\uff12024-03-04"],
)  # fmt: skip
def test_parse_of_other_texts(text: str) -> None:
    with pytest.raises(ValueError, match=f"failed to convert {text} to time".replace("+", r"\+")):
        parse_time_ns(text, NOW_NS)


@pytest.mark.parametrize(
    ("name", "nanos", "text"),
    [
        ("StampMilli", 89_999_999, "Mar  4 00:00:00.089"),
        ("bogus", 0, "Mar  4 00:00:00.000"),
        ("YearMonthDay", 5, "2024-03-04"),
        ("YearMonthDayHour", 5, "2024-03-04T00Z"),
        ("YearMonthDayHourMinute", 5, "2024-03-04T00:00Z"),
        ("RFC3339", 5, "2024-03-04T00:00:00Z"),
        ("rfc3339milli", 120_000_000, "2024-03-04T00:00:00.12Z"),
        ("RFC3339Micro", 120_000, "2024-03-04T00:00:00.00012Z"),
        ("RFC3339Nano", 1, "2024-03-04T00:00:00.000000001Z"),
        ("RFC3339Nano", 0, "2024-03-04T00:00:00Z"),
        ("RFC1123Z", 5, "Mon, 04 Mar 2024 00:00:00 +0000"),
    ],
)
def test_format(name: str, nanos: int, text: str) -> None:
    assert time_text(name)(DAY, nanos) == text


@pytest.mark.parametrize(("seconds", "nanos"), [(DAY, -1), (DAY, S), (1 << 62, 0), (-(1 << 62), 0)])
def test_a_time_that_cannot_be(seconds: int, nanos: int) -> None:
    assert time_text("RFC3339")(seconds, nanos) == "N/A"


@given(st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, S - 1))
def test_nanoseconds_survive_the_round_trip(seconds: int, nanos: int) -> None:
    assert parse_time_ns(time_text("RFC3339Nano")(seconds, nanos), 0) == seconds * S + nanos


def test_every_format_has_a_layout() -> None:
    assert all(form.layout for form in FORMATS.values())
