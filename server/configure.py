"""Flags, environment, file and defaults → `Settings`, with where each value came from.

The only place that decides precedence. Everything wrong is a SettingError that names the setting,
its origin and the value; nothing is silently ignored.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, get_type_hints

import yaml

from api.version import STATUS_VERSION
from server.errors import SettingError
from server.parse import switch
from server.settings import GROUPS, Setting, Settings

_ENVIRONMENT: Final = "HUBBLE_SERVER_"
_CONFIG: Final = "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the text of a setting was found."""

    text: str
    place: str
    """Such as `flag --node-name`."""


def resolve(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Settings for this start; SettingError if one cannot be used. `--help` exits."""
    flags: dict[str, Origin] = vars(_parser().parse_args(argv))
    environment = _environment(environ)
    files = [environment.pop(_CONFIG, None), flags.pop(_CONFIG, None)]
    found = next((_file(file) for file in reversed(files) if file is not None), {})
    found |= environment
    found |= flags
    values: dict[str, Any] = {key: _value(key, origin) for key, origin in found.items()}
    return Settings(**values)


def _value(key: str, origin: Origin) -> object:
    try:
        return _SETTINGS[key].parse(origin.text)
    except ValueError as error:
        raise SettingError(
            f"set {_dashed(key)} from {origin.place}: {error}: {origin.text!r}"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hubble-server",
        description="Observe this node's flows and serve them over the Hubble API.",
        epilog="Each flag is also an environment variable (HUBBLE_SERVER_NODE_NAME) and a key in "
        "the configuration file (node-name). Flags win over the environment, that over the file.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--version", action="version", version=STATUS_VERSION)
    parser.add_argument("--config", metavar="FILE", action=_Keep, help="YAML file of settings")
    for title, keys in GROUPS.items():
        group = parser.add_argument_group(title)
        for key in keys:
            _add(group, key)
    return parser


def _add(group: argparse._ArgumentGroup, key: str) -> None:
    setting = _SETTINGS[key]
    is_switch = setting.parse is switch
    default = _DEFAULTS[key]
    known = "" if default is None else f"; default {default}"
    group.add_argument(
        "--" + _dashed(key),
        action=_Keep,
        nargs="?" if is_switch else None,
        const="true" if is_switch else None,
        metavar="BOOL" if is_switch else key.rpartition("_")[2].upper(),
        help=setting.meaning + known,
    )


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


def _environment(environ: Mapping[str, str]) -> dict[str, Origin]:
    found: dict[str, Origin] = {}
    for variable, text in environ.items():
        if not variable.startswith(_ENVIRONMENT):
            continue
        key = variable.removeprefix(_ENVIRONMENT).lower()
        if key not in _SETTINGS and key != _CONFIG:
            raise SettingError(f"set {_dashed(key)} from environment {variable}: no such setting")
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
    known = {_dashed(key): key for key in _SETTINGS}
    found: dict[str, Origin] = {}
    for key, value in content.items():
        if key not in known:
            raise SettingError(f"set {key} from file {path}: no such setting")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        found[known[key]] = Origin(text=text, place=f"file {path}")
    return found


def _dashed(key: str) -> str:
    return key.replace("_", "-")


_SETTINGS: Final[dict[str, Setting]] = {
    key: hint.__metadata__[0] for key, hint in get_type_hints(Settings, include_extras=True).items()
}
_DEFAULTS: Final[dict[str, object]] = {one.name: one.default for one in fields(Settings)}
