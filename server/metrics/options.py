"""`--metrics`: names with their options, as Hubble spells them.

    drop:sourceContext=pod;destinationContext=pod tcp port-distribution

Names stand apart by spaces, options behind a colon with semicolons between. Which options there are
is the family's affair, but for the contexts, which all have.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from server.metrics.errors import MetricsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One name of the list."""

    name: str
    options: Mapping[str, str]
    """By lower-cased key; empty where none was given."""


def choices(text: str) -> tuple[Choice, ...]:
    """Read a list.

    Raises:
        MetricsError: a name stands twice.
    """
    found: dict[str, Choice] = {}
    for word in text.split():
        name, _, rest = word.partition(":")
        if name in found:
            raise MetricsError(f"set metrics: {name} stands twice in the list")
        pairs = (option.partition("=") for option in rest.split(";") if option)
        found[name] = Choice(name=name, options={key.lower(): value for key, _, value in pairs})
    return tuple(found.values())
