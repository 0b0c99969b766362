"""The settings of one start of `hubble-server`, from its flags, its environment and its file."""

from collections.abc import Mapping, Sequence
from typing import Final

from api.process.configure import resolve_flags
from api.process.flags import setting_parser
from server.settings import SCHEMA, Settings

USAGE: Final = "hubble-server [serve|check|config|get|cleanup] [flags]"
DESCRIPTION: Final = (
    "serve (if no command is given): observe this node's flows and serve them over the Hubble API. "
    "check: say whether it can be started here. config: print the settings and where they came "
    "from. get: show what a node has in the kernel. cleanup: remove what a server has left there. "
    "Each command has its own --help."
)


def resolve(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Settings for this start; SettingError if one cannot be used. `--help` exits."""
    parser = setting_parser(SCHEMA, "hubble-server", usage=USAGE, description=DESCRIPTION)
    return resolve_flags(SCHEMA, vars(parser.parse_args(argv)), environ).settings
