"""Values of all flags of one command, whoever set them: flag over environment over default.

Between the command line and the default stand layers, asked in order: the environment, then the
configuration file. A layer is asked for a flag's value and answers None when it has none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from cli.errors import UsageError
from cli.flags.scan import Given, Names, scan
from cli.flags.table import HELP_FLAG, Flag, Value
from cli.quoting import quoted

Layer = Callable[[Flag], Value | None]
"""Where values come from beside the command line; None where it says nothing."""
TakeFilter = Callable[[str, str], None]
"""Takes a filter flag's name and text, in the order typed; raises ValueError."""
V = TypeVar("V", str, bool, int, tuple[str, ...])


class HelpWanted(Exception):  # noqa: N818  (a wish, not an error)
    """--help was among the flags."""


class Arguments:
    """Look values up by flag name, each as the type that its row says."""

    def __init__(self, typed: Sequence[str], names: Names, layers: Sequence[Layer] = ()) -> None:
        """Take what was typed behind the command, unread; `layers` are asked in order."""
        self.words: list[str] = []
        """Words that are no flags; known once read."""
        self._typed_words = typed
        self._names = names
        self._layers = layers
        self._given: dict[str, Value] = {}

    def read(self, take_filter: TakeFilter | None = None) -> None:
        """Read what was typed; filter flags go to `take_filter`.

        Raises:
            UsageError: at the first mistake, left to right.
            HelpWanted: there is no mistake, and --help.
        """
        for given in scan(self._typed_words, self._names):
            if isinstance(given, str):
                self.words.append(given)
            else:
                self._take(given, take_filter)
        if self.on(HELP_FLAG.name):
            raise HelpWanted

    def given(self, name: str) -> bool:
        """Tell whether the flag was typed."""
        return name in self._given

    def text(self, name: str) -> str:
        """Value of a string flag."""
        return self._typed(name, str)

    def on(self, name: str) -> bool:
        """Value of a switch."""
        return self._typed(name, bool)

    def number(self, name: str) -> int:
        """Value of a number flag; of a duration, in nanoseconds."""
        return self._typed(name, int)

    def texts(self, name: str) -> tuple[str, ...]:
        """Values of a list flag."""
        return self._typed(name, tuple)

    def _take(self, given: Given, take_filter: TakeFilter | None) -> None:
        flag, text = given
        try:
            if flag.kind != "filter":
                self._set(flag, flag.parse(text))
            elif take_filter is not None:
                take_filter(flag.name, text)
        except ValueError as error:
            reason = "not valid UTF-8" if isinstance(error, UnicodeError) else error
            raise UsageError(
                f"invalid argument {quoted(text)} for {quoted(flag.label)} flag: {reason}"
            ) from None

    def value(self, flag: Flag) -> Value:
        """Value of any flag, whoever set it."""
        if flag.name in self._given:
            return self._given[flag.name]
        for layer in self._layers:
            value = layer(flag)
            if value is not None:
                return value
        return flag.default_value

    def _typed(self, name: str, kind: type[V]) -> V:
        value = self.value(self._names.long[name])
        if not isinstance(value, kind):
            raise TypeError(f"read flag --{name} as {kind.__name__}: it holds {value!r}")
        return value

    def _set(self, flag: Flag, value: Value) -> None:
        earlier = self._given.get(flag.name)
        if isinstance(value, tuple) and isinstance(earlier, tuple):
            value = (*earlier, *value)
        self._given[flag.name] = value


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Make the layer of HUBBLE_* variables.

    A list is split at white space. A switch with a word that is no boolean is off, as Hubble
    reads it; any other bad value raises UsageError with the name of the variable.
    """

    def look_up(flag: Flag) -> Value | None:
        text = environ.get(flag.variable, "") if flag.from_environment else ""
        if not text:
            return None
        if flag.kind in ("strings", "array"):
            return tuple(text.split())
        try:
            return flag.parse(text)
        except ValueError as error:
            if flag.kind == "bool":
                return False
            raise UsageError(f"invalid value {quoted(text)} of {flag.variable}: {error}") from None

    return look_up
