"""The configuration file: where it is, what it says, how it is changed.

It holds the global and server flags and the raw filters, by their names, as YAML (or JSON). What
is typed and what is in the environment comes before it. A file that cannot be read is told of and
ignored; only changing it is refused then.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from cli.errors import CliError, UsageError
from cli.flags.arguments import Arguments, Layer
from cli.flags.table import Flag, Value
from cli.quoting import quoted
from cli.surroundings import Surroundings

CONFIG_FLAG_NAME = "config"
_FORMATS = ("json", "yaml", "yml")
_FOLDER_MODE = 0o750
_FILE_MODE = 0o600  # a password may stand in it


def default_path(environ: Mapping[str, str]) -> str:
    """Tell where the file is if nobody says so; empty if there is no home."""
    home, folder = environ.get("HOME", ""), environ.get("XDG_CONFIG_HOME", "")
    if folder.startswith("/"):
        return f"{folder}/hubble/config.yaml"
    if not home:
        return ""
    return f"{home}/.hubble/config.yaml" if folder else f"{home}/.config/hubble/config.yaml"


def config_path(arguments: Arguments, surroundings: Surroundings) -> str:
    """Tell which file is meant; empty if there is none."""
    return arguments.text(CONFIG_FLAG_NAME) or default_path(surroundings.environ)


class ConfigFile:
    """One file, read when it is first asked for something."""

    def __init__(self, path: str) -> None:
        """Take the path; the file need not exist, and an empty path is no file."""
        self.path = path

    def texts(self) -> dict[str, str | list[str]]:
        """Read the settings as words, keys in small letters.

        Raises:
            CliError: the file is there and cannot be read.
        """
        import yaml

        # The base loader leaves all words as they are: `yes` and `017` are what they look like.
        values = self._load(yaml.BaseLoader)
        return {
            key.lower(): [str(each) for each in value] if isinstance(value, list) else str(value)
            for key, value in values.items()
        }

    def values(self) -> dict[str, object]:
        """Read the settings with their types; raises CliError as `texts` does."""
        import yaml

        return {key.lower(): value for key, value in self._load(yaml.SafeLoader).items()}

    def change(self, changes: Mapping[str, object]) -> None:
        """Write changed settings beside the others, at once or not at all.

        Raises:
            CliError: the format is not known, or the file cannot be read or written.
        """
        extension = os.path.splitext(self.path)[1][1:]
        if not extension:
            raise CliError(f"config type could not be determined for {self.path}")
        if extension not in _FORMATS:
            raise CliError(f'Unsupported Config Type "{extension}"')
        values = {**self.values(), **changes}
        try:
            self._write(_text(extension, values))
        except OSError as error:
            raise CliError(f"open {self.path}: {_reason(error)}") from None

    def _load(self, loader: type) -> dict[str, object]:
        import yaml

        try:
            with open(self.path, encoding="utf-8") as file:
                values = yaml.load(file, loader)  # noqa: S506  (safe or base, see the callers)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise CliError(f"open {self.path}: {_reason(error)}") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise CliError(f"While parsing config: {_yaml_reason(error)}") from None
        if not values:
            return {}
        if not isinstance(values, dict):
            raise CliError("While parsing config: yaml: expected keys and values")
        return {str(key): value for key, value in values.items()}

    def _write(self, text: str) -> None:
        from tempfile import NamedTemporaryFile

        path = Path(self.path).resolve()
        path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else _FILE_MODE
        with NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), mode)
        os.replace(file.name, path)


def file_layer(path: Callable[[], str], warn: Callable[[str], None]) -> Layer:
    """Make the layer of a configuration file; it is read when the first value is looked up.

    Args:
        path: names the file; asked once, after the command line was read.
        warn: told once if the file cannot be read.
    """
    texts: dict[str, str | list[str]] | None = None

    def look_up(flag: Flag) -> Value | None:
        nonlocal texts
        if not flag.from_environment or flag.name == CONFIG_FLAG_NAME:
            return None
        if texts is None:
            texts = _read(path(), warn)
        text = texts.get(flag.name)
        return None if text is None or text == "" else setting(flag, text, path())

    return look_up


def _read(path: str, warn: Callable[[str], None]) -> dict[str, str | list[str]]:
    # YAML costs 20 ms to import: most have no file.
    if not path or not os.path.exists(path):
        return {}
    try:
        return ConfigFile(path).texts()
    except CliError as error:
        told = f"configFile={path} error={quoted(str(error))}"
        warn(f'level=WARN msg="The configuration file is not used" {told}\n')
        return {}


def setting(flag: Flag, text: str | list[str], path: str) -> Value:
    """Read a flag's value as a file has it; raises UsageError naming file, key and value."""
    if flag.kind in ("strings", "array"):
        return tuple(text.split() if isinstance(text, str) else text)
    if isinstance(text, list):
        raise UsageError(f"invalid value {text} of {flag.name} in {path}: not a list")
    try:
        return parse_setting(flag, text)
    except ValueError as error:
        raise UsageError(
            f"invalid value {quoted(text)} of {flag.name} in {path}: {error}"
        ) from None


def parse_setting(flag: Flag, text: str) -> Value:
    """Read one value; a duration without a unit is in nanoseconds, as Hubble writes it."""
    if flag.kind == "duration" and text.isascii() and text.isdigit():
        return flag.parse(f"{text}ns")
    return flag.parse(text)


def _text(extension: str, values: Mapping[str, object]) -> str:
    if extension == "json":
        import json

        return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False, default=str) + "\n"
    from cli.yamltext import mapping_text

    return mapping_text(values)


def _yaml_reason(error: Exception) -> str:
    """Say what is wrong with a file, and in which line if that is known."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"yaml: line {mark.line + 1}: {problem}" if mark else f"yaml: {problem}"


def _reason(error: OSError) -> str:
    """Say what went wrong in the words that Go programs use."""
    return (error.strerror or str(error)).lower()
