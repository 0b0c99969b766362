"""The flags of a program's commands, made from the settings that they take.

In: a schema and names of settings. Out: a parser whose namespace holds an `Origin` for each flag
that was given, and nothing for the others. What the texts mean is decided in `configure`.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.process.parse import switch
from api.process.setting import Schema, Setting, dashed
from api.version import STATUS_VERSION

CONFIG: Final = "config"
"""The flag that names a file of settings: itself none."""
_WIDTH: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the text of a setting was found."""

    text: str
    place: str
    """Such as `flag --node-name`."""


def setting_parser(
    schema: Schema[Any],
    command: str,
    *,
    usage: str,
    description: str,
    keys: Iterable[str] | None = None,
) -> argparse.ArgumentParser:
    """Make the parser of a command that takes these settings; `--help` and `--version` exit.

    Args:
        schema: The program's settings.
        command: Such as `hubble-server check`.
        usage: The line of usage.
        description: What the command does.
        keys: The settings that it takes; all if not given.
    """
    example = next(iter(schema.groups.values()))[0]
    parser = argparse.ArgumentParser(
        prog=command,
        usage=usage,
        description=description,
        epilog=f"Each flag is also an environment variable ({schema.environment}{example.upper()}) "
        f"and a key in the configuration file ({dashed(example)}). Flags win over the environment, "
        "that over the file.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=_Help,
    )
    parser.add_argument("--version", action="version", version=STATUS_VERSION)
    file = "" if schema.default_file is None else f"; default {schema.default_file}, if it is there"
    parser.add_argument(
        "--config", metavar="FILE", action=_Keep, help=f"YAML file of settings{file}"
    )
    settings, defaults = schema.known, schema.defaults
    wanted = frozenset(settings if keys is None else keys)
    for title, group_keys in schema.groups.items():
        here = [key for key in group_keys if key in wanted]
        group = parser.add_argument_group(title) if here else parser
        for key in here:
            _add(group, key, settings[key], defaults[key])
    _add_hidden(parser, schema, wanted)
    return parser


def _add(group: argparse._ActionsContainer, key: str, setting: Setting, default: object) -> None:
    is_switch = setting.parse is switch
    known = "" if default in (None, ()) else f"; default {setting.show(default)}"
    group.add_argument(
        "--" + dashed(key),
        action=_Collect if setting.is_list else _Keep,
        nargs="?" if is_switch else None,
        const="true" if is_switch else None,
        metavar="BOOL" if is_switch else key.rpartition("_")[2].upper(),
        help=setting.meaning + known,
    )


def _add_hidden(
    parser: argparse.ArgumentParser, schema: Schema[Any], wanted: frozenset[str]
) -> None:
    """Take older names, and what is of no use here; neither is in `--help`."""
    hidden = [old for old, new in schema.aliases.items() if new in wanted]
    for key in (*hidden, *schema.ignored):
        # a switch may come without a value, and nobody knows which of them is one
        parser.add_argument(
            "--" + dashed(key), action=_Keep, nargs="?", const="true", help=argparse.SUPPRESS
        )


class _Help(argparse.HelpFormatter):
    """The same text on every terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=_WIDTH)


class _Keep(argparse.Action):
    """Keeps the text with the flag it came from."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, Origin(text=str(values), place=f"flag {option_string}"))


class _Collect(_Keep):
    """Keeps the texts of a flag that may be repeated, as one list."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        before: Origin | None = getattr(namespace, self.dest, None)
        text = str(values) if before is None else f"{before.text},{values}"
        super().__call__(parser, namespace, text, option_string)
