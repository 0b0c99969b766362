"""Filters as JSON: read from --allowlist and --denylist, shown by --print-raw-filters.

A value of --allowlist is one FlowFilter or several behind each other. What is shown is YAML that
serves as a configuration file: quoted JSON, one filter a line.
"""

import json
import re
from collections.abc import Sequence

from api.proto.flow.flow_pb2 import FlowFilter
from cli.errors import UsageError

_SPACE = re.compile(r"\s*")
# What YAML may not hold as it stands, besides line ends, which JSON has escaped.
_NOT_PLAIN = re.compile(
    "[\x00-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]|[\U00010000-\U0010ffff]"
)


def parse_filters(flag: str, texts: Sequence[str]) -> list[FlowFilter]:
    """Read the filters of all values of a flag; raises UsageError naming flag and value."""
    filters: list[FlowFilter] = []
    for text in texts:
        try:
            filters.extend(_parse(text))
        except ValueError as error:
            raise UsageError(f"invalid --{flag} flag: failed to decode '{text}': {error}") from None
    return filters


def _parse(text: str) -> list[FlowFilter]:
    # Not loaded before it is needed, which it hardly ever is.
    from google.protobuf.json_format import ParseDict, ParseError

    filters, decoder = [], json.JSONDecoder()
    position = _skip_space(text, 0)
    while position < len(text):
        value, position = decoder.raw_decode(text, position)
        if not isinstance(value, dict):
            raise ValueError(f"expected an object, got {json.dumps(value)}")
        try:
            filters.append(ParseDict(value, FlowFilter()))
        except ParseError as error:
            # Behind an unknown name the package lists all that it knows.
            raise ValueError(str(error).partition("\n")[0]) from None
        position = _skip_space(text, position)
    return filters


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def raw_filters_yaml(allow: Sequence[str], deny: Sequence[str]) -> str:
    """Write the JSON texts of both lists as YAML; `{}` when there are none."""
    lines = []
    for name, filters in (("allowlist", allow), ("denylist", deny)):
        if filters:
            lines.append(f"{name}:")
            lines.extend(f"    - {_yaml_string(text)}" for text in filters)
    return "\n".join(lines or ["{}"]) + "\n"


def _yaml_string(text: str) -> str:
    if _NOT_PLAIN.search(text) is None:
        return "'" + text.replace("'", "''") + "'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _NOT_PLAIN.sub(_yaml_escape, escaped) + '"'


def _yaml_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
