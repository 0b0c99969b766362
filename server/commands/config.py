"""`hubble-server config`: the settings that a server would run with, and where they came from.

In: the flags and the environment of a server. Out: YAML on standard output that is itself a file
for `--config`, with the origin of each value as a comment. Touches nothing else.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import yaml

from api.version import STATUS_VERSION
from server.configure import Resolved, resolve_flags, text_of
from server.flags import SETTINGS, dashed, setting_parser
from server.settings import GROUPS

_COMMENT_COLUMN: Final = 40


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the settings; 0. Raises SettingError if one cannot be used."""
    parser = setting_parser(
        "hubble-server config",
        usage="hubble-server config [flags]",
        description="Print the settings that hubble-server would run with, given the same flags "
        "and environment: a file for --config, with the origin of each value.",
    )
    print(written(resolve_flags(vars(parser.parse_args(argv)), environ)), end="")
    return 0


def written(resolved: Resolved) -> str:
    """Write settings as YAML, each line with its origin; those not given are commented out."""
    lines = [f"# {STATUS_VERSION}: settings of hubble-server"]
    for title, keys in GROUPS.items():
        lines += ["", f"# {title}"]
        lines += [_line(key, resolved) for key in keys]
    return "\n".join(lines) + "\n"


def _line(key: str, resolved: Resolved) -> str:
    value, place = getattr(resolved.settings, key), resolved.places[key]
    if value in (None, ()) and place == "default":
        return f"# {dashed(key)}:".ljust(_COMMENT_COLUMN) + "  # not given"
    # a file's name may hold anything, a line break too
    place = place if place.isprintable() else ascii(place)
    return f"{dashed(key)}: {_scalar(SETTINGS[key].show(value))}".ljust(_COMMENT_COLUMN) + (
        f"  # {place}"
    )


def _scalar(text: str) -> str:
    """Write a text so that the file's reader finds just this: plain if it can be."""
    try:
        is_plain = text.isprintable() and text_of(yaml.safe_load(text)) == text
    except yaml.YAMLError:
        is_plain = False
    if is_plain and text == text.strip():
        return text
    quoted = yaml.safe_dump(text, default_style='"', width=float("inf"), allow_unicode=False)
    return str(quoted).rstrip("\n")
