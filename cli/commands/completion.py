"""`hubble completion bash|zsh|fish|powershell`: print the script for a shell."""

from cli.commands.tree import ROOT
from cli.completion.bash import bash_script
from cli.completion.fish import fish_script
from cli.completion.powershell import powershell_script
from cli.completion.zsh import zsh_script
from cli.flags.arguments import Arguments
from cli.surroundings import Surroundings


def run_bash(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the script for bash."""
    arguments.read()
    surroundings.out.write(bash_script(ROOT))


def run_fish(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the script for fish."""
    arguments.read()
    surroundings.out.write(fish_script(ROOT))


def run_powershell(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the script for PowerShell."""
    arguments.read()
    surroundings.out.write(powershell_script(ROOT))


def run_zsh(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the script for zsh."""
    arguments.read()
    surroundings.out.write(zsh_script(ROOT))
