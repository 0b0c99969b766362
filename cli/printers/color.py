"""Colours of text lines: plain SGR codes around the pieces that the eye looks for."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Paint = Callable[[str], str]
_RESET = "\x1b[0m"
_RED, _GREEN, _YELLOW, _MAGENTA, _CYAN = 31, 32, 33, 35, 36
# An escape that begins none of our own codes.
_FOREIGN_ESCAPE = re.compile(r"\x1b(?!\[(?:0|31|32|33|35|36)m)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """How each kind of piece is painted."""

    colored: bool
    host: Paint
    port: Paint
    identity: Paint
    good: Paint
    bad: Paint
    notable: Paint
    neutralise: Paint
    """Makes escapes and carriage returns in finished text visible instead of effective."""


def palette(*, colored: bool) -> Palette:
    """Make the palette: with colours, or leaving text as it is."""
    if not colored:
        return Palette(
            colored=False,
            host=str,
            port=str,
            identity=str,
            good=str,
            bad=str,
            notable=str,
            neutralise=_neutralise_all,
        )
    return Palette(
        colored=True,
        host=_painter(_CYAN),
        port=_painter(_YELLOW),
        identity=_painter(_MAGENTA),
        good=_painter(_GREEN),
        bad=_painter(_RED),
        notable=_painter(_YELLOW),
        neutralise=_neutralise_foreign,
    )


def wants_color(word: str, *, terminal: bool, environ: Mapping[str, str]) -> bool:
    """Read the value of --color; any other word than always and never is auto."""
    match word.lower():
        case "always":
            return True
        case "never":
            return False
        case _:
            plain = "NO_COLOR" in environ or environ.get("TERM") == "dumb"
            return terminal and not plain


def _painter(code: int) -> Paint:
    start = f"\x1b[{code}m"

    def paint(text: str) -> str:
        return f"{start}{text}{_RESET}"

    return paint


def _neutralise_all(text: str) -> str:
    if "\x1b" in text or "\r" in text:
        return text.replace("\x1b", "^[").replace("\r", "\\r")
    return text


def _neutralise_foreign(text: str) -> str:
    return _FOREIGN_ESCAPE.sub("^[", text).replace("\r", "\\r")
