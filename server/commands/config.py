"""`hubble-server config`: the settings that a server would run with, and where they came from."""

from collections.abc import Mapping, Sequence

from api.process.config_command import print_settings
from server.settings import SCHEMA


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the settings; 0. Raises SettingError if one cannot be used."""
    return print_settings(SCHEMA, argv, environ)
