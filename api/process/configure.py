"""Flags, environment, file and defaults → a program's settings, with where each value came from.

The only place that decides precedence. Everything wrong is a SettingError that names the setting,
its origin and the value; nothing is silently ignored.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic

import yaml

from api.process.errors import SettingError
from api.process.flags import CONFIG, Origin
from api.process.setting import S, Schema, Setting, dashed

logger = logging.getLogger(__name__)

DEFAULT: Final = "default"
"""The place of a value that nobody gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved(Generic[S]):
    """Settings, and where they came from."""

    settings: S
    places: Mapping[str, str]
    """By setting: `flag --node-name`, `environment HUBBLE_SERVER_…`, `file PATH` or `default`."""
    ignored: tuple[str, ...] = ()
    """What was given and has no effect here, each with its place."""

    def log_ignored(self) -> None:
        """Say what was given in vain; once, when the log is set up."""
        for each in self.ignored:
            logger.warning("setting without effect %s", each)


def resolve_flags(
    schema: Schema[S],
    flags: Mapping[str, Origin],
    environ: Mapping[str, str],
    *,
    keys: Iterable[str] | None = None,
) -> Resolved[S]:
    """Decide on all settings, given flags that have been parsed.

    Args:
        schema: The program's settings.
        flags: As `setting_parser` gives them.
        environ: The process's environment.
        keys: Settings that the command takes, all if not given; the others keep their defaults,
            unread.

    Raises:
        SettingError: one cannot be used.
    """
    settings = schema.known
    given = {schema.aliases.get(key, key): origin for key, origin in flags.items()}
    environment = _environment(schema, settings, environ)
    files = [environment.pop(CONFIG, None), given.pop(CONFIG, None)]
    named = [_file(schema, settings, file) for file in files[::-1] if file is not None]
    found = named[0] if named else _default_file(schema, settings)
    found |= environment
    found |= given
    taken = {key: found[key] for key in (settings if keys is None else keys) if key in found}
    values: dict[str, Any] = {
        key: _value(key, settings[key], origin) for key, origin in taken.items()
    }
    vain = (f"{dashed(key)} from {found[key].place}" for key in schema.ignored if key in found)
    return Resolved(
        settings=schema.settings(**values),
        places={key: taken[key].place if key in taken else DEFAULT for key in settings},
        ignored=tuple(sorted(vain)),
    )


def text_of(content: object) -> str:
    """What a value in a configuration file says, as a flag would; a list with commas."""
    if isinstance(content, list):
        return ",".join(map(text_of, content))
    return str(content).lower() if isinstance(content, bool) else str(content)


def _value(key: str, setting: Setting, origin: Origin) -> object:
    try:
        return setting.parse(origin.text)
    except ValueError as error:
        raise SettingError(
            f"set {dashed(key)} from {origin.place}: {error}: {origin.text!r}"
        ) from None


def _environment(
    schema: Schema[Any], settings: Mapping[str, Setting], environ: Mapping[str, str]
) -> dict[str, Origin]:
    found: dict[str, Origin] = {}
    for variable, text in environ.items():
        if not variable.startswith(schema.environment):
            continue
        written = variable.removeprefix(schema.environment).lower()
        key = schema.aliases.get(written, written)
        if key not in settings and key not in schema.ignored and key != CONFIG:
            raise SettingError(f"set {dashed(key)} from environment {variable}: no such setting")
        found[key] = Origin(text=text, place=f"environment {variable}")
    return found


def _default_file(schema: Schema[Any], settings: Mapping[str, Setting]) -> dict[str, Origin]:
    path = schema.default_file
    if path is None or not path.exists():
        return {}
    return _file(schema, settings, Origin(text=str(path), place=f"file {path}"))


def _file(
    schema: Schema[Any], settings: Mapping[str, Setting], config: Origin
) -> dict[str, Origin]:
    path = Path(config.text)
    content = _content(path)
    known = {dashed(key): key for key in (*settings, *schema.ignored)}
    known |= {dashed(old): new for old, new in schema.aliases.items()}
    found: dict[str, Origin] = {}
    for key, value in content.items():
        if key not in known:
            raise SettingError(f"set {key} from file {path}: no such setting")
        # `key:` with nothing behind it: not given
        if value is not None:
            found[known[key]] = Origin(text=text_of(value), place=f"file {path}")
    return found


def _content(path: Path) -> dict[object, object]:
    """Read a file of settings; an empty one has none. SettingError names file, line and reason."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingError(f"configuration file {path}: no such file") from None
    except OSError as error:
        raise SettingError(f"configuration file {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingError(f"configuration file {path}: not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise SettingError(f"configuration file {path}: not YAML: nested too deep") from None
    except (yaml.YAMLError, ValueError) as error:  # of numbers or dates that cannot be
        raise SettingError(f"configuration file {path}: {_not_yaml(error)}") from None
    if content is not None and not isinstance(content, dict):
        raise SettingError(f"configuration file {path}: expected a mapping of settings")
    return content or {}


def _not_yaml(error: Exception) -> str:
    """Say in one line what is not YAML, and where as far as the parser knows."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"not YAML: {' '.join(str(error).split())}"
    mark = error.problem_mark
    return f"not YAML at line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
