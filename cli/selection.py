"""Which events to ask for: --last, --first, --all, --since, --until and --follow as a request."""

from google.protobuf.timestamp_pb2 import Timestamp

from api.proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetDebugEventsRequest,
    GetFlowsRequest,
)
from cli.errors import UsageError
from cli.flags.arguments import Arguments
from cli.times import parse_time_ns

_DEFAULT_LAST = 20
_EVERYTHING = (1 << 64) - 1

SelectRequest = GetFlowsRequest | GetAgentEventsRequest | GetDebugEventsRequest
"""Requests that say which events of a kind, in the same fields."""


def select(
    request: SelectRequest, arguments: Arguments, now_ns: int, *, of_file: bool = False
) -> None:
    """Fill number, order and time range; raises UsageError where flags contradict each other.

    Following begins with nothing of flows, but with the last 20 of rarer events. Of a file
    everything is shown if nothing else is said.
    """
    first, last = arguments.number("first"), arguments.number("last")
    everything, follow = arguments.on("all"), arguments.on("follow")
    for one, other, both in (
        ("first", "last", first and last),
        ("first", "all", first and everything),
        ("first", "follow", first and follow),
        ("last", "all", last and everything),
    ):
        if both:
            raise UsageError(f"cannot set both --{one} and --{other}")
    if arguments.on("retry") and not follow:
        raise UsageError("cannot set --retry without --follow")
    request.follow = follow
    ranged = _range(request, arguments, now_ns)
    request.first = bool(first)
    if everything:
        request.number = 0 if of_file else _EVERYTHING
    elif first or last:
        request.number = first or last
    elif not of_file and not ranged and not (follow and isinstance(request, GetFlowsRequest)):
        request.number = _DEFAULT_LAST


def _range(request: SelectRequest, arguments: Arguments, now_ns: int) -> bool:
    """Fill the time range; tell whether there is one."""
    since, until = arguments.text("since"), arguments.text("until")
    if since:
        request.since.CopyFrom(_timestamp("since", since, now_ns))
    if until and not request.follow:
        request.until.CopyFrom(_timestamp("until", until, now_ns))
    return bool(since or until)


def _timestamp(name: str, text: str, now_ns: int) -> Timestamp:
    try:
        seconds, nanos = divmod(parse_time_ns(text, now_ns), 1_000_000_000)
        return Timestamp(seconds=seconds, nanos=nanos)
    except ValueError as error:
        raise UsageError(f"failed to parse the {name} time: {error}") from None
