"""One line of JSON to one GetFlowsResponse.

A line in the usual spelling (proto field names, enums by name) is built by protobuf's own
constructor, which costs 10 µs; times, 64-bit numbers and optional switches are brought into the
form that it takes. Any other line goes through protobuf's JSON parser (150 µs), which knows all
spellings and says what is wrong. Beyond what that parser takes, a field that is named twice
counts as it was named last.

After the first unknown field or enum name such are left out, for the rest of the input.
"""

from functools import lru_cache
from typing import Any, Final

import orjson
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from api.proto.observer.observer_pb2 import GetFlowsResponse

_SECOND_CHARS: Final = 19  # 2006-01-02T15:04:05
_NANO_DIGITS: Final = 9
_KINDS: Final = frozenset(("flow", "node_status", "lost_events"))

# What orjson makes of an object: its values are of any JSON type, also where it should not be.
Object = dict[str, Any]


class LineError(ValueError):
    """A line that is no response; the text says why."""


class ResponseReader:
    """Reads the lines of one input."""

    def __init__(self) -> None:
        self.unknown = ""
        """What was first met that this version does not know; empty as long as nothing was."""

    def read(self, line: bytes) -> GetFlowsResponse:
        """Read a line, with or without its end.

        Raises:
            LineError: it is not UTF-8, not JSON, or not a response.
        """
        try:
            return _usual(orjson.loads(line))
        except orjson.JSONDecodeError as error:
            raise LineError(f"syntax error ({error})") from None
        except (AttributeError, KeyError, TypeError, ValueError):
            return self._careful(orjson.loads(line))

    def _careful(self, value: object) -> GetFlowsResponse:
        if not isinstance(value, dict):
            raise LineError("syntax error (not an object)")
        try:
            return _parse(value, ignore_unknown=bool(self.unknown))
        except LineError as error:
            if self.unknown:
                raise
            # Raises again if something else is wrong, too.
            response = _parse(value, ignore_unknown=True)
            self.unknown = str(error)
            return response


def _parse(value: Object, *, ignore_unknown: bool) -> GetFlowsResponse:
    try:
        return json_format.ParseDict(
            value, GetFlowsResponse(), ignore_unknown_fields=ignore_unknown
        )
    except (json_format.ParseError, DecodeError, ValueError, TypeError, RecursionError) as error:
        raise LineError(" ".join(str(error).split())) from None


def _usual(value: Object) -> GetFlowsResponse:
    """Build a response in the usual spelling; raises various errors for any other."""
    if len(_KINDS & value.keys()) != 1:
        raise ValueError("none or several kinds at once")
    _convert_time(value)
    flow = value.get("flow")
    if flow:
        _convert_flow(flow)
    return GetFlowsResponse(**value)


def _convert_flow(flow: Object) -> None:
    _convert_time(flow)
    if (is_reply := flow.get("is_reply")) is not None:
        flow["is_reply"] = {"value": is_reply}
    for name in ("socket_cookie", "cgroup_id"):
        if name in flow:
            flow[name] = _long(flow[name])
    if (trace := flow.get("ip_trace_id")) and "trace_id" in trace:
        trace["trace_id"] = _long(trace["trace_id"])
    if (l7 := flow.get("l7")) and "latency_ns" in l7:
        l7["latency_ns"] = _long(l7["latency_ns"])
    for name in ("source_names", "destination_names", "node_labels"):
        # The constructor would take a text for a list of letters.
        if isinstance(flow.get(name), str):
            raise TypeError(name)
    if (l4 := flow.get("l4")) and len(l4) > 1:
        raise ValueError("several protocols at once")


def _convert_time(owner: Object) -> None:
    text = owner.get("time")
    if text is not None:
        owner["time"] = _time(text)


def _time(text: str) -> dict[str, int]:
    """Read a time in UTC; raises ValueError or TypeError for any other."""
    fraction = text[_SECOND_CHARS:-1]
    if text[-1:] != "Z":
        raise ValueError(text)
    if not fraction:
        return {"seconds": _seconds(text[:_SECOND_CHARS])}
    digits = fraction[1:]
    if (
        fraction[0] != "."
        or len(digits) > _NANO_DIGITS
        or not (digits.isascii() and digits.isdigit())
    ):
        raise ValueError(text)
    return {
        "seconds": _seconds(text[:_SECOND_CHARS]),
        "nanos": int(digits.ljust(_NANO_DIGITS, "0")),
    }


@lru_cache(maxsize=256)
def _seconds(text: str) -> int:
    """Read date and time of a second; neighbouring flows share it."""
    moment = Timestamp()
    moment.FromJsonString(f"{text}Z")
    return moment.seconds


def _long(value: object) -> int:
    """Read a 64-bit number, which JSON has as a text; raises ValueError or TypeError."""
    if isinstance(value, str) and value.isascii() and value.lstrip("-").isdigit():
        return int(value)
    raise TypeError(value)
