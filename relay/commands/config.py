"""`hubble-relay config`: the settings that a relay would run with, and where they came from.

Out: YAML on standard output that is itself a file for `--config`. Touches nothing else.
"""

from collections.abc import Mapping, Sequence

from api.process.configure import resolve_flags
from api.process.flags import setting_parser
from api.process.written import written
from relay.settings import SCHEMA


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the settings; 0. Raises SettingError if one cannot be used."""
    parser = setting_parser(
        SCHEMA,
        "hubble-relay config",
        usage="hubble-relay config [flags]",
        description="Print the settings that hubble-relay would run with, given the same flags "
        "and environment: a file for --config, with the origin of each value.",
    )
    resolved = resolve_flags(SCHEMA, vars(parser.parse_args(argv)), environ)
    print(written(SCHEMA, resolved), end="")
    return 0
