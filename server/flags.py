"""The flags of `hubble-server`'s commands, made from the settings that they take.

In: names of settings. Out: a parser whose namespace holds an `Origin` for each flag that was given,
and nothing for the others. What the texts mean is decided in `server.configure`.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, get_type_hints

from api.version import STATUS_VERSION
from server.parse import switch
from server.settings import GROUPS, Setting, Settings

CONFIG: Final = "config"
"""The flag that names a file of settings: itself none."""
_WIDTH: Final = 100

SETTINGS: Final[dict[str, Setting]] = {
    key: hint.__metadata__[0] for key, hint in get_type_hints(Settings, include_extras=True).items()
}
DEFAULTS: Final[dict[str, Any]] = {one.name: one.default for one in fields(Settings)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the text of a setting was found."""

    text: str
    place: str
    """Such as `flag --node-name`."""


def setting_parser(
    command: str, *, usage: str, description: str, keys: Iterable[str] = tuple(SETTINGS)
) -> argparse.ArgumentParser:
    """Make the parser of a command that takes these settings; `--help` and `--version` exit."""
    parser = argparse.ArgumentParser(
        prog=command,
        usage=usage,
        description=description,
        epilog="Each flag is also an environment variable (HUBBLE_SERVER_NODE_NAME) and a key in "
        "the configuration file (node-name). Flags win over the environment, that over the file.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=_Help,
    )
    parser.add_argument("--version", action="version", version=STATUS_VERSION)
    parser.add_argument("--config", metavar="FILE", action=_Keep, help="YAML file of settings")
    wanted = frozenset(keys)
    for title, group_keys in GROUPS.items():
        here = [key for key in group_keys if key in wanted]
        group = parser.add_argument_group(title) if here else parser
        for key in here:
            _add(group, key)
    return parser


def dashed(key: str) -> str:
    """Name a setting as users write it."""
    return key.replace("_", "-")


def _add(group: argparse._ActionsContainer, key: str) -> None:
    setting = SETTINGS[key]
    is_switch = setting.parse is switch
    default = DEFAULTS[key]
    known = "" if default in (None, ()) else f"; default {setting.show(default)}"
    group.add_argument(
        "--" + dashed(key),
        action=_Collect if setting.is_list else _Keep,
        nargs="?" if is_switch else None,
        const="true" if is_switch else None,
        metavar="BOOL" if is_switch else key.rpartition("_")[2].upper(),
        help=setting.meaning + known,
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
