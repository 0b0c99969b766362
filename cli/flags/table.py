"""What a flag and a command are: the rows that parsing, help and environment are driven by.

A new flag is a new row in the table of its set, nothing else. Rows hold text and parsers only:
to show a help page nothing of protobuf or the network is loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cli.flags.values import parse_duration_ns, parse_list, parse_switch, parse_uint

Kind = Literal["string", "bool", "uint", "uint16", "duration", "strings", "array", "filter"]
Value = str | bool | int | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag of the command line."""

    name: str
    """Long name, without dashes."""
    kind: Kind
    """Which values it takes; `strings` splits at commas, `array` and `filter` do not."""
    help: str
    """What it does; lines after the first are indented below it."""
    short: str = ""
    """One letter, or none."""
    default: str = ""
    """Value when nobody sets it, in the words of the command line; empty for unset."""
    bare: str | None = None
    """Value of the flag when written without one; None when a value must follow."""
    choices: tuple[str, ...] = ()
    """Values that shells offer; others may be valid, too."""
    is_file: bool = False
    """Whether shells offer files for the value."""
    from_environment: bool = False
    """Whether HUBBLE_<NAME> and the configuration file set it."""

    @property
    def label(self) -> str:
        """How messages name it: `-f, --follow` or `--last`."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"

    @property
    def variable(self) -> str:
        """Name of the environment variable that sets it."""
        return "HUBBLE_" + self.name.upper().replace("-", "_")

    def parse(self, text: str) -> Value:
        """Read a value from the command line; raises ValueError."""
        return _PARSERS[self.kind](text)

    @property
    def default_value(self) -> Value:
        """Value when nobody sets the flag."""
        if not self.default:
            return _UNSET[self.kind]
        return self.parse(self.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagSet:
    """A named group of flags: one section of a help page."""

    title: str
    flags: tuple[Flag, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command: its words, its help and its flags; what it does is found by name."""

    name: str
    summary: str
    """One line, for the list of commands."""
    help: str
    """What the help page begins with."""
    sets: Callable[[], tuple[FlagSet, ...]]
    """Makes the flags that it takes, in the order of the help page."""
    words: str = ""
    """What it takes besides flags, for the usage line."""
    examples: str = ""
    aliases: tuple[str, ...] = ()
    children: "tuple[Command, ...]" = ()
    choices: tuple[str, ...] = ()
    """Words besides flags that shells offer."""
    hidden: bool = False
    """Whether help pages and shells keep silent about it."""
    run: str = ""
    """`module:function` that runs it; empty when it only groups others."""

    def child(self, word: str) -> "Command | None":
        """Find the sub-command of that name or alias."""
        for command in self.children:
            if word == command.name or word in command.aliases:
                return command
        return None


HELP_FLAG = Flag(
    name="help", short="h", kind="bool", bare="true", help="Help for any command or subcommand"
)


def switch(name: str, help_text: str, *, short: str = "", from_environment: bool = False) -> Flag:
    """Make a flag that is on when it is written and off otherwise."""
    return Flag(
        name=name,
        short=short,
        kind="bool",
        bare="true",
        help=help_text,
        from_environment=from_environment,
    )


def _uint16(text: str) -> int:
    return parse_uint(text, 16)


def _texts(text: str) -> tuple[str, ...]:
    return tuple(parse_list(text))


def _one(text: str) -> tuple[str, ...]:
    return (text,)


_PARSERS: dict[Kind, Callable[[str], Value]] = {
    "string": str,
    "bool": parse_switch,
    "uint": parse_uint,
    "uint16": _uint16,
    "duration": parse_duration_ns,
    "strings": _texts,
    "array": _one,
    "filter": str,
}
_UNSET: dict[Kind, Value] = {
    "string": "",
    "bool": False,
    "uint": 0,
    "uint16": 0,
    "duration": 0,
    "strings": (),
    "array": (),
    "filter": "",
}
