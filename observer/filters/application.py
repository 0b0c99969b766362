"""Filters by application record: DNS query, HTTP status, method, path, URL and headers.

Rows without an L7 record never match them, and no row has one yet. They are checked as Hubble
checks them, so that a client's mistake is told and not answered with nothing.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from api.proto.flow.flow_pb2 import FlowFilter
from observer.filters.condition import Condition, constant
from observer.filters.context import Context
from observer.filters.errors import FilterError
from observer.table.columns import EventKind

_STATUS: Final = re.compile(r"[1-5][0-9]{2}|[1-5][0-9]?\+")
# Python knows these, RE2 (the language of the API) does not.
_NOT_RE2: Final = re.compile(r"(?<!\\)(?:\\\\)*(\\[1-9]|\(\?(?:<?[=!]|>|\()|[*+?}]\+)")

_MAX_PATTERN_CHARS: Final = 4_096
"""To compile a longer one would hold the loop."""

_RE2_WORDS: Final = {
    "unterminated subpattern": "missing closing )",
    "unbalanced parenthesis": "unexpected )",
    "unterminated character set": "missing closing ]",
    "nothing to repeat": "missing argument to repetition operator",
    "multiple repeat": "invalid nested repetition operator",
}


def dns_queries(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile dns_query: regular expressions.

    Raises:
        FilterError: an expression cannot be compiled.
    """
    if flow_filter.dns_query:
        for pattern in flow_filter.dns_query:
            reason = _regexp_error(pattern)
            if reason:
                text = f"failed to compile regexp: {reason}"
                raise FilterError(f"invalid DNS query filter: {text}")
        yield constant(False)


def http(flow_filter: FlowFilter, _: Context) -> Iterator[Condition]:
    """Compile the http_* fields.

    Raises:
        FilterError: a value is malformed, or the event types leave out L7 records.
    """
    fields: tuple[tuple[str, Sequence[object]], ...] = (
        ("status code", flow_filter.http_status_code),
        ("method", flow_filter.http_method),
        ("path", flow_filter.http_path),
        ("url", flow_filter.http_url),
        ("headers", flow_filter.http_header),
    )
    types = [entry.type for entry in flow_filter.event_type]
    for name, values in fields:
        if not values:
            continue
        if types and EventKind.L7 not in types:
            raise FilterError(
                f"filtering by http {name} requires the event type filter to only match 'l7' events"
            )
        _check(name, values)
        yield constant(False)


def _check(name: str, values: Sequence[object]) -> None:
    for value in values:
        if name == "status code" and not _STATUS.fullmatch(str(value)):
            raise FilterError(
                f'invalid http status code filter: invalid status code prefix: "{value}"'
            )
        if name in ("path", "url") and (reason := _regexp_error(str(value))):
            raise FilterError(f"invalid http {name} filter: {value}: {reason}")


def _regexp_error(pattern: str) -> str:
    """Return why a pattern is not of the RE2 language; empty if it is."""
    if len(pattern) > _MAX_PATTERN_CHARS:
        return "error parsing regexp: expression too large"
    foreign = _NOT_RE2.search(pattern)
    if foreign:
        return f"error parsing regexp: {_foreign_error(foreign[1])}: `{foreign[1]}`"
    try:
        re.compile(pattern)
    except re.error as error:
        words = (theirs for ours, theirs in _RE2_WORDS.items() if ours in error.msg)
        return f"error parsing regexp: {next(words, error)}: `{pattern}`"
    return ""


def _foreign_error(syntax: str) -> str:
    if syntax.startswith("\\"):
        return "invalid escape sequence"
    if syntax.startswith("("):
        return "invalid or unsupported Perl syntax"
    return "invalid nested repetition operator"
