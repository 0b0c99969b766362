"""`hubble config get|set|reset|view`: the settings, and the file that some of them come from.

`get` and `view` show what is in force: flag over environment over file over default. `set` and
`reset` change the file and nothing else gets into it.
"""

from collections.abc import Sequence

from cli.configfile import CONFIG_FLAG_NAME, ConfigFile, config_path, parse_setting
from cli.errors import CliError, UsageError
from cli.flags.arguments import Arguments
from cli.flags.server import GLOBAL, SERVER
from cli.flags.table import Flag, Value
from cli.flags.values import duration_text, parse_list
from cli.surroundings import Surroundings
from cli.yamltext import block_text, mapping_text

_SETTINGS = {flag.name: flag for flag in (*GLOBAL.flags, *SERVER.flags)}
_TYPE_NAMES = {"strings": "stringSlice", "array": "stringArray"}


def run_get(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print one setting, or all; raises UsageError for a key that is none."""
    words = _words(arguments, "get requires exactly 0 or 1 argument", 0, 1)
    if not words:
        _view(arguments, surroundings)
        return
    (key,) = words
    if key not in _SETTINGS:
        strange = ConfigFile(config_path(arguments, surroundings)).values()
        raise UsageError(
            f"key={key} not bound to a flag" if key in strange else f"unknown key: {key}"
        )
    surroundings.out.write(block_text(_effective(_SETTINGS[key], arguments, surroundings)))


def run_view(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print all settings."""
    arguments.read()
    _view(arguments, surroundings)


def run_set(arguments: Arguments, surroundings: Surroundings) -> None:
    """Write a setting into the file; without a value, the default. Raises CliError."""
    words = _words(arguments, "set requires exactly 1 or 2 argument(s)", 1, 2)
    flag = _settable(words[0])
    value = _shown(flag, _typed(flag, words[1]) if len(words) > 1 else flag.default_value)
    ConfigFile(config_path(arguments, surroundings)).change({flag.name: value})


def run_reset(arguments: Arguments, surroundings: Surroundings) -> None:
    """Write the default of a setting, or of all, into the file; raises CliError."""
    # The spelling of the message is Hubble's.
    words = _words(arguments, "resset requires exactly 0 or 1 argument", 0, 1)
    names = words or [name for name in _SETTINGS if name != CONFIG_FLAG_NAME]
    flags = [_settable(name) for name in names]
    defaults = {flag.name: _shown(flag, flag.default_value) for flag in flags}
    ConfigFile(config_path(arguments, surroundings)).change(defaults)


def _words(arguments: Arguments, rule: str, least: int, most: int) -> Sequence[str]:
    arguments.read()
    words = arguments.words
    if not least <= len(words) <= most:
        raise UsageError(f"invalid arguments: {rule}: got '{' '.join(words)}'")
    return words


def _view(arguments: Arguments, surroundings: Surroundings) -> None:
    path = config_path(arguments, surroundings)
    try:
        strange = ConfigFile(path).values()
    except CliError:  # told of when the first setting was looked up
        strange = {}
    values: dict[str, object] = dict(strange)
    for flag in _SETTINGS.values():
        values[flag.name] = _effective(flag, arguments, surroundings)
    surroundings.out.write(mapping_text(values))


def _effective(flag: Flag, arguments: Arguments, surroundings: Surroundings) -> object:
    if flag.name == CONFIG_FLAG_NAME:
        return config_path(arguments, surroundings)
    return _shown(flag, arguments.value(flag))


def _settable(key: str) -> Flag:
    if key == CONFIG_FLAG_NAME:
        raise UsageError(f"key={key} cannot be set: a file does not say where it is")
    if key not in _SETTINGS:
        raise UsageError(f"unknown key: {key}")
    return _SETTINGS[key]


def _typed(flag: Flag, text: str) -> Value:
    try:
        if flag.kind == "strings":
            bracketed = text.startswith("[") and text.endswith("]")
            return tuple(parse_list(text[1:-1] if bracketed else text))
        return parse_setting(flag, text)
    except ValueError as error:
        kind = _TYPE_NAMES.get(flag.kind, flag.kind)
        raise UsageError(
            f"cannot assign value={text} for key={flag.name}, expected type={kind}: {error}"
        ) from None


def _shown(flag: Flag, value: Value) -> object:
    """Give a value the form that it has in a file."""
    if isinstance(value, tuple):
        return list(value)
    return duration_text(value) if flag.kind == "duration" and isinstance(value, int) else value
