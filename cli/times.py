"""Times of the command line: what --since takes, and how --time-format prints.

Text is read as a duration before now, or as a date with more or less of a time behind it.
Printed times are UTC. Timestamps are (seconds, nanoseconds) since 1970, as the API has them;
formatters keep the texts of the last moments, since neighbouring flows share them.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

from cli.flags.values import parse_duration_ns

SECOND_NS = 1_000_000_000
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?(?:(Z)|([+-])(\d\d):(\d\d)))?",
    re.ASCII,
)
_MAIL_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)",
    re.ASCII,
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_KEPT = 4096

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


def _stamp_milli(moment: datetime, nanos: int) -> str:
    month = MONTHS[moment.month - 1]
    return f"{month} {moment.day:2} {moment:%H:%M:%S}.{nanos // 1_000_000:03}"


def _day(moment: datetime) -> str:
    return f"{moment.year:04}-{moment.month:02}-{moment.day:02}"


def _rfc3339(digits: int) -> Callable[[datetime, int], str]:
    def write(moment: datetime, nanos: int) -> str:
        fraction = f"{nanos:09}"[:digits].rstrip("0")
        return f"{_day(moment)}T{moment:%H:%M:%S}{'.' if fraction else ''}{fraction}Z"

    return write


def _mail(moment: datetime, _: int) -> str:
    month = MONTHS[moment.month - 1]
    day = f"{_DAYS[moment.weekday()]}, {moment.day:02} {month} {moment.year:04}"
    return f"{day} {moment:%H:%M:%S} +0000"


# The layout, for the help page, and what writes it.
FORMATS: dict[str, tuple[str, Callable[[datetime, int], str]]] = {
    "StampMilli": ("Jan _2 15:04:05.000", _stamp_milli),
    "YearMonthDay": ("2006-01-02", lambda moment, _: _day(moment)),
    "YearMonthDayHour": ("2006-01-02T15Z07:00", lambda moment, _: f"{_day(moment)}T{moment:%H}Z"),
    "YearMonthDayHourMinute": (
        "2006-01-02T15:04Z07:00",
        lambda moment, _: f"{_day(moment)}T{moment:%H:%M}Z",
    ),
    "RFC3339": ("2006-01-02T15:04:05Z07:00", _rfc3339(0)),
    "RFC3339Milli": ("2006-01-02T15:04:05.999Z07:00", _rfc3339(3)),
    "RFC3339Micro": ("2006-01-02T15:04:05.999999Z07:00", _rfc3339(6)),
    "RFC3339Nano": ("2006-01-02T15:04:05.999999999Z07:00", _rfc3339(9)),
    "RFC1123Z": ("Mon, 02 Jan 2006 15:04:05 -0700", _mail),
}
_BY_LOWER_NAME = {name.lower(): write for name, (_, write) in FORMATS.items()}


def time_text(format_name: str) -> TimeText:
    """Make the formatter of a name; names are compared without case, others are StampMilli."""
    write = _BY_LOWER_NAME.get(format_name.lower(), _stamp_milli)
    fine = write is not _stamp_milli
    kept: dict[int, str] = {}

    def text(seconds: int, nanos: int) -> str:
        # StampMilli has one text a millisecond; the others are kept by the nanosecond.
        key = seconds * SECOND_NS + nanos if fine else seconds * 1000 + nanos // 1_000_000
        known = kept.get(key)
        if known is None:
            if len(kept) >= _KEPT:
                kept.clear()
            known = kept[key] = _write(write, seconds, nanos)
        return known

    return text


def _write(write: Callable[[datetime, int], str], seconds: int, nanos: int) -> str:
    if not 0 <= nanos < SECOND_NS:
        return "N/A"
    try:
        return write(utc(seconds), nanos)
    except OverflowError:
        return "N/A"
