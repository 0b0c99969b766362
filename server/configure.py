"""Flags, environment, file and defaults → `Settings`, with where each value came from.

The only place that decides precedence. Everything wrong is a SettingError that names the setting,
its origin and the value; nothing is silently ignored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from server.errors import SettingError
from server.flags import CONFIG, SETTINGS, Origin, dashed, setting_parser
from server.settings import Settings

_ENVIRONMENT: Final = "HUBBLE_SERVER_"
_DEFAULT: Final = "default"
USAGE: Final = "hubble-server [serve|check|config|cleanup] [flags]"
DESCRIPTION: Final = (
    "serve (if no command is given): observe this node's flows and serve them over the Hubble API. "
    "check: say whether it can be started here. config: print the settings and where they came "
    "from. cleanup: remove what a server has left in the kernel. Each command has its own --help."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Settings, and where they came from."""

    settings: Settings
    places: Mapping[str, str]
    """By setting: `flag --node-name`, `environment HUBBLE_SERVER_…`, `file PATH` or `default`."""


def resolve(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Settings for this start; SettingError if one cannot be used. `--help` exits."""
    parser = setting_parser("hubble-server", usage=USAGE, description=DESCRIPTION)
    return resolve_flags(vars(parser.parse_args(argv)), environ).settings


def resolve_flags(
    flags: Mapping[str, Origin], environ: Mapping[str, str], *, keys: Iterable[str] = SETTINGS
) -> Resolved:
    """The same for flags that have been parsed, with the places.

    Args:
        flags: As `setting_parser` gives them.
        environ: The process's environment.
        keys: Settings that the command takes; the others keep their defaults, unread.
    """
    given = dict(flags)
    environment = _environment(environ)
    files = [environment.pop(CONFIG, None), given.pop(CONFIG, None)]
    found = next((_file(file) for file in reversed(files) if file is not None), {})
    found |= environment
    found |= given
    taken = {key: found[key] for key in keys if key in found}
    values: dict[str, Any] = {key: _value(key, origin) for key, origin in taken.items()}
    return Resolved(
        settings=Settings(**values),
        places={key: taken[key].place if key in taken else _DEFAULT for key in SETTINGS},
    )


def text_of(content: object) -> str:
    """What a value in a configuration file says, as a flag would; a list with commas."""
    if isinstance(content, list):
        return ",".join(map(text_of, content))
    return str(content).lower() if isinstance(content, bool) else str(content)


def _value(key: str, origin: Origin) -> object:
    try:
        return SETTINGS[key].parse(origin.text)
    except ValueError as error:
        raise SettingError(
            f"set {dashed(key)} from {origin.place}: {error}: {origin.text!r}"
        ) from None


def _environment(environ: Mapping[str, str]) -> dict[str, Origin]:
    found: dict[str, Origin] = {}
    for variable, text in environ.items():
        if not variable.startswith(_ENVIRONMENT):
            continue
        key = variable.removeprefix(_ENVIRONMENT).lower()
        if key not in SETTINGS and key != CONFIG:
            raise SettingError(f"set {dashed(key)} from environment {variable}: no such setting")
        found[key] = Origin(text=text, place=f"environment {variable}")
    return found


def _file(config: Origin) -> dict[str, Origin]:
    path = Path(config.text)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingError(f"read configuration from {config.place}: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingError(f"read configuration {path}: expected a mapping of settings")
    known = {dashed(key): key for key in SETTINGS}
    found: dict[str, Origin] = {}
    for key, value in content.items():
        if key not in known:
            raise SettingError(f"set {key} from file {path}: no such setting")
        found[known[key]] = Origin(text=text_of(value), place=f"file {path}")
    return found
