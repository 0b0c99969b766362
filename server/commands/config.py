"""`hubble-server config`: the settings that a server would run with, and where they came from.

In: the flags and the environment of a server. Out: YAML on standard output that is itself a file
for `--config`, with the origin of each value as a comment. Touches nothing else.
"""

from collections.abc import Mapping, Sequence

from api.process.configure import resolve_flags
from api.process.flags import setting_parser
from api.process.written import written
from server.settings import SCHEMA


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the settings; 0. Raises SettingError if one cannot be used."""
    parser = setting_parser(
        SCHEMA,
        "hubble-server config",
        usage="hubble-server config [flags]",
        description="Print the settings that hubble-server would run with, given the same flags "
        "and environment: a file for --config, with the origin of each value.",
    )
    resolved = resolve_flags(SCHEMA, vars(parser.parse_args(argv)), environ)
    print(written(SCHEMA, resolved), end="")
    return 0
