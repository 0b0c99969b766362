"""Times of the command line: what --since takes, and how --time-format prints.

Text is read as a duration before now, or as a date with more or less of a time behind it.
Printed times are UTC. Timestamps are (seconds, nanoseconds) since 1970, as the API has them;
formatters keep the texts of the last moments, since neighbouring flows share them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from cli.flags.values import parse_duration_ns

SECOND_NS = 1_000_000_000
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?(?:(Z)|([+-])(\d\d):(\d\d)))?",
    re.ASCII,
)
_MAIL_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) (\w{3}) (\d{4}) "
    r"(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)",
    re.ASCII,
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_KEPT = 1024

MISSING = "N/A"
"""What stands for a time that is not there, or cannot be."""

TimeText = Callable[[int, int], str]
"""(seconds, nanoseconds) to text."""


def parse_time_ns(text: str, now_ns: int) -> int:
    """Read a time, in nanoseconds since 1970; raises ValueError."""
    try:
        return now_ns - parse_duration_ns(text)
    except ValueError:
        pass
    try:
        if (match := _DATE.fullmatch(text)) is not None:
            return _date_ns(match)
        if (match := _MAIL_DATE.fullmatch(text)) is not None:
            return _mail_date_ns(match)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"failed to convert {text} to time")


def _date_ns(match: re.Match[str]) -> int:
    year, month, day, hour, minute, second, fraction = (int(x or 0) for x in match.groups()[:7])
    zone = _zone(match[9], match[10], match[11]) if match[9] else UTC
    moment = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    fraction_ns = int((match[7] or "0")[:9].ljust(9, "0")) if fraction else 0
    return _seconds(moment) * SECOND_NS + fraction_ns


def _mail_date_ns(match: re.Match[str]) -> int:
    day, month, year, hour, minute, second = match.groups()[:6]
    if month not in MONTHS:
        raise ValueError(month)
    moment = datetime(
        int(year),
        MONTHS.index(month) + 1,
        int(day),
        int(hour),
        int(minute),
        int(second),
        tzinfo=_zone(match[7], match[8], match[9]),
    )
    return _seconds(moment) * SECOND_NS


def _zone(sign: str, hours: str, minutes: str) -> timezone:
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset)


def _seconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


def utc(seconds: int) -> datetime:
    """Make a UTC time of seconds since 1970; raises OverflowError outside the years 1 to 9999."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _day(moment: datetime) -> str:
    return f"{moment.year:04}-{moment.month:02}-{moment.day:02}"


def _stamp(moment: datetime) -> str:
    return f"{MONTHS[moment.month - 1]} {moment.day:2} {moment:%H:%M:%S}"


def _second(moment: datetime) -> str:
    return f"{_day(moment)}T{moment:%H:%M:%S}"


def _mail(moment: datetime) -> str:
    month = MONTHS[moment.month - 1]
    day = f"{_DAYS[moment.weekday()]}, {moment.day:02} {month} {moment.year:04}"
    return f"{day} {moment:%H:%M:%S}"


def _no_fraction(_: int) -> str:
    return ""


# Looked up rather than formatted: it is done for each line.
_MILLIS = tuple(f".{number:03}" for number in range(1000))


def _millis(nanos: int) -> str:
    return _MILLIS[nanos // 1_000_000]


def _trimmed(digits: int) -> Callable[[int], str]:
    def write(nanos: int) -> str:
        fraction = f"{nanos:09}"[:digits].rstrip("0")
        return f".{fraction}" if fraction else ""

    return write


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeFormat:
    """How a time is printed: what is the same within a second, the fraction, the zone."""

    layout: str
    """The usual notation, for the help page."""
    second: Callable[[datetime], str]
    fraction: Callable[[int], str] = _no_fraction
    zone: str = "Z"


FORMATS: dict[str, TimeFormat] = {
    "StampMilli": TimeFormat(
        layout="Jan _2 15:04:05.000", second=_stamp, fraction=_millis, zone=""
    ),
    "YearMonthDay": TimeFormat(layout="2006-01-02", second=_day, zone=""),
    "YearMonthDayHour": TimeFormat(
        layout="2006-01-02T15Z07:00", second=lambda moment: f"{_day(moment)}T{moment:%H}"
    ),
    "YearMonthDayHourMinute": TimeFormat(
        layout="2006-01-02T15:04Z07:00", second=lambda moment: f"{_day(moment)}T{moment:%H:%M}"
    ),
    "RFC3339": TimeFormat(layout="2006-01-02T15:04:05Z07:00", second=_second),
    "RFC3339Milli": TimeFormat(
        layout="2006-01-02T15:04:05.999Z07:00", second=_second, fraction=_trimmed(3)
    ),
    "RFC3339Micro": TimeFormat(
        layout="2006-01-02T15:04:05.999999Z07:00", second=_second, fraction=_trimmed(6)
    ),
    "RFC3339Nano": TimeFormat(
        layout="2006-01-02T15:04:05.999999999Z07:00", second=_second, fraction=_trimmed(9)
    ),
    "RFC1123Z": TimeFormat(layout="Mon, 02 Jan 2006 15:04:05 -0700", second=_mail, zone=" +0000"),
}
_BY_LOWER_NAME = {name.lower(): form for name, form in FORMATS.items()}


def time_text(format_name: str) -> TimeText:
    """Make the formatter of a name; names are compared without case, others are StampMilli."""
    form = _BY_LOWER_NAME.get(format_name.lower(), FORMATS["StampMilli"])
    fraction, zone = form.fraction, form.zone
    kept: dict[int, str] = {}

    def text(seconds: int, nanos: int) -> str:
        second = kept.get(seconds)
        if second is None:
            if len(kept) >= _KEPT:
                kept.clear()
            second = kept[seconds] = _second_text(form, seconds)
        if not second or not 0 <= nanos < SECOND_NS:
            return MISSING
        return f"{second}{fraction(nanos)}{zone}"

    return text


def _second_text(form: TimeFormat, seconds: int) -> str:
    """Write the second; empty outside the years 1 to 9999."""
    try:
        return form.second(utc(seconds))
    except OverflowError:
        return ""
