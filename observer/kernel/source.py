"""The C sources as one text, and the names that user space reads from them.

BCC rewrites map accesses only in the file that it is given, not in what that includes: so our own
includes are put in place here, each once. `#line` keeps the line numbers of compiler messages and
of drop events those of the files. Enums of the headers are read as text, so that a counter or a
drop reason has its name in one place.
"""

import re
from collections.abc import Sequence
from pathlib import Path

_INCLUDE = re.compile(r'#include "(.+)"\s*$')
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def one_text(paths: Sequence[Path]) -> str:
    """Return the files one after the other, own includes in place."""
    lines: list[str] = []
    seen: set[Path] = set()
    for path in paths:
        _add(path.resolve(), lines, seen)
    return "\n".join(lines) + "\n"


def _add(path: Path, lines: list[str], seen: set[Path]) -> None:
    if path in seen:
        return
    seen.add(path)
    lines.append(f'#line 1 "{path.name}"')
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        included = _INCLUDE.match(line)
        if included:
            _add((path.parent / included[1]).resolve(), lines, seen)
            lines.append(f'#line {number + 1} "{path.name}"')
        else:
            lines.append(line)


def enum_names(header: Path, enum: str, prefix: str) -> dict[str, int]:
    """Read an enum of a header: lower-case names without the prefix, `*_MAX` left out.

    Raises:
        ValueError: The header has no such enum, or a value that is no number.
    """
    text = _COMMENT.sub("", header.read_text())
    body = re.search(rf"enum {enum} \{{(.*?)\}}", text, re.DOTALL)
    if body is None:
        raise ValueError(f"read {header.name}: no enum {enum}")
    names: dict[str, int] = {}
    value = -1
    for item in filter(None, (part.strip() for part in body[1].split(","))):
        name, _, number = (part.strip() for part in item.partition("="))
        value = int(number, 0) if number else value + 1
        if not name.endswith("_MAX"):
            names[name.removeprefix(prefix).lower()] = value
    return names
