r"""Settings as YAML text, in the form that Hubble's configuration files have.

    server: localhost:4245
    tls-ca-cert-files:
        - ca.pem

Keys are sorted, indentation is four spaces. A text that YAML would take for something else (a
number, a switch, a date) is put in double quotes.
"""

import json
from collections.abc import Mapping

import yaml

_INDENT = "    "
# Switches of older YAML, which other programs may still take them for.
_OLD_SWITCHES = frozenset({"y", "Y", "n", "N"})


def mapping_text(values: Mapping[str, object]) -> str:
    """Write a mapping, one key a line at least."""
    return "".join(f"{value_text(key)}:{_behind(values[key])}" for key in sorted(values))


def value_text(value: object) -> str:
    """Write a value that stands on one line: a scalar, an empty list or mapping."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return value if _is_plain(value) else json.dumps(value, ensure_ascii=False)
        case int() | float():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)


def block_text(value: object) -> str:
    """Write any value as a document of its own."""
    match value:
        case list() if value:
            return "".join(f"- {value_text(each)}\n" for each in value)
        case dict() if value:
            return mapping_text({str(key): each for key, each in value.items()})
        case _:
            return value_text(value) + "\n"


def _behind(value: object) -> str:
    """Write what stands behind the colon of a key."""
    text = block_text(value)
    if not isinstance(value, list | dict) or not value:
        return f" {text}"
    return "\n" + "".join(f"{_INDENT}{line}\n" for line in text.splitlines())


def _is_plain(text: str) -> bool:
    """Tell whether a text reads back as itself without quotes, also behind a key."""
    if not text.isprintable() or text in _OLD_SWITCHES:
        return False
    try:
        read = yaml.safe_load(f"- {text}")
    except yaml.YAMLError:
        return False
    return bool(read == [text])
