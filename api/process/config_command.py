"""`PROGRAM config`: the settings that a program would run with, and where they came from.

In: the program's settings, its flags and environment. Out: YAML on standard output that is itself
a file for `--config`, with the origin of each value as a comment. Touches nothing else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from api.process.configure import resolve_flags
from api.process.flags import setting_parser
from api.process.setting import Schema
from api.process.written import written


def print_settings(schema: Schema[Any], argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the settings; 0. Raises SettingError if one cannot be used."""
    command = f"{schema.program} config"
    parser = setting_parser(
        schema,
        command,
        usage=f"{command} [flags]",
        description=f"Print the settings that {schema.program} would run with, given the same "
        "flags and environment: a file for --config, with the origin of each value.",
    )
    resolved = resolve_flags(schema, vars(parser.parse_args(argv)), environ)
    print(written(schema, resolved), end="")
    return 0
