"""Settings → YAML that is itself a configuration file; the origin of each value is a comment."""

from typing import Any, Final

import yaml

from api.process.configure import DEFAULT, Resolved, text_of
from api.process.setting import Schema, Setting, dashed
from api.version import STATUS_VERSION

_COMMENT_COLUMN: Final = 40


def written(schema: Schema[Any], resolved: Resolved[Any]) -> str:
    """Write settings as YAML, each line with its origin; those not given are commented out."""
    lines = [f"# {STATUS_VERSION}: settings of {schema.program}"]
    settings = schema.known
    for title, keys in schema.groups.items():
        lines += ["", f"# {title}"]
        lines += [_line(key, settings[key], resolved) for key in keys]
    return "\n".join(lines) + "\n"


def _line(key: str, setting: Setting, resolved: Resolved[Any]) -> str:
    value, place = getattr(resolved.settings, key), resolved.places[key]
    if value in (None, ()) and place == DEFAULT:
        return f"# {dashed(key)}:".ljust(_COMMENT_COLUMN) + "  # not given"
    # a file's name may hold anything, a line break too
    place = place if place.isprintable() else ascii(place)
    text = _scalar(setting.show(value))
    return f"{dashed(key)}: {text}".ljust(_COMMENT_COLUMN) + f"  # {place}"


def _scalar(text: str) -> str:
    """Write a text so that the file's reader finds just this: plain if it can be."""
    try:
        is_plain = text.isprintable() and text_of(yaml.safe_load(text)) == text
        # an empty one would be read as not given
        is_plain = is_plain and yaml.safe_load(text) is not None
    except yaml.YAMLError:
        is_plain = False
    if is_plain and text == text.strip():
        return text
    quoted = yaml.safe_dump(text, default_style='"', width=float("inf"), allow_unicode=False)
    return str(quoted).rstrip("\n")
