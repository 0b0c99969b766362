"""`hubble`: the composition root of the command line.

    words -> command (tree) -> arguments: flags over environment over file -> run -> exit code

Errors go to stderr and give exit code 1. Ctrl-C, and a reader that had enough (`| head`), are
ways to end a command, not errors.
"""

import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module

from api.version import VERSION
from cli.commands.tree import ROOT
from cli.configfile import config_path, file_layer
from cli.errors import CliError, UsageError
from cli.flags.arguments import Arguments, HelpWanted, environment_layer
from cli.flags.helppage import help_page, unknown_command
from cli.flags.scan import find_command, flags_of
from cli.flags.table import Command
from cli.surroundings import Output, Surroundings

_FAILED = 1
# What a command makes lives for a moment and has no cycles: looking for garbage finds nothing.
_GARBAGE_THRESHOLD = 200_000


def main() -> int:
    """Run the command line of this process, and end it; returns only when Python is to warn.

    Taking modules and objects down one by one takes Python 20 ms, and the kernel none. Who asks
    for warnings wants to hear of what was left open, which is found then.
    """
    gc.set_threshold(_GARBAGE_THRESHOLD)
    status = _run_process()
    if not sys.warnoptions:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _run_process() -> int:
    surroundings = Surroundings(
        environ=os.environ,
        now_ns=time.time_ns,
        out=Output(sys.stdout.buffer),
        warn=_warn,
        terminal=sys.stdout.isatty(),
    )
    try:
        return run(sys.argv[1:], surroundings)
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        _forget_output()
        return 0
    except OSError as error:
        _forget_output()
        _warn(f"write output: {error.strerror}\n")
        return _FAILED


def run(words: Sequence[str], surroundings: Surroundings) -> int:
    """Run one command line; returns the exit code."""
    try:
        _dispatch(words, surroundings)
        surroundings.out.flush()
    except CliError as error:
        surroundings.warn(f"{error}\n")
        return _FAILED
    return 0


def _dispatch(words: Sequence[str], surroundings: Surroundings) -> None:
    command, path, rest = find_command(ROOT, words)
    arguments = Arguments(
        rest,
        flags_of(command),
        (
            environment_layer(surroundings.environ),
            file_layer(lambda: config_path(arguments, surroundings), surroundings.warn),
        ),
    )
    try:
        if command.run:
            _function(command)(arguments, surroundings)
        else:
            arguments.read()
            _group(command, path, arguments, surroundings)
    except HelpWanted:
        surroundings.out.write(help_page(command, path))


def _function(command: Command) -> Callable[[Arguments, Surroundings], None]:
    module, _, name = command.run.partition(":")
    function: Callable[[Arguments, Surroundings], None] = getattr(import_module(module), name)
    return function


def _group(
    command: Command, path: tuple[str, ...], arguments: Arguments, surroundings: Surroundings
) -> None:
    """Answer a command that only groups others: with its help, mostly."""
    if command is ROOT and arguments.on("version"):
        surroundings.out.write(f"hubble v{VERSION}\n")
    elif command is ROOT and arguments.words:
        raise UsageError(unknown_command(ROOT, arguments.words[0]))
    else:
        surroundings.out.write(help_page(command, path))


def _forget_output() -> None:
    """Send what is left for stdout nowhere: Python would write it at exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _warn(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
