"""`hubble help [command]`."""

from cli.commands.tree import ROOT
from cli.flags.arguments import Arguments
from cli.flags.helppage import help_page
from cli.flags.scan import find_command
from cli.surroundings import Surroundings


def run(arguments: Arguments, surroundings: Surroundings) -> None:
    """Print the help of the command that the words name; of all commands for unknown words."""
    arguments.read()
    command, path, rest = find_command(ROOT, arguments.words)
    if command is ROOT and rest:
        topics = " ".join(f"`{word}`" for word in rest)
        surroundings.warn(f"Unknown help topic [{topics}]\n{help_page(command, path)}")
        return
    surroundings.out.write(help_page(command, path))
