"""Errors of the command line.

    CliError            printed as it is on stderr, exit code 1
      UsageError        the words do not make sense; nothing was sent

Texts are part of the interface: scripts and people know them from Hubble.
"""


class CliError(Exception):
    """End the command: the message goes to stderr and the exit code is 1."""


class UsageError(CliError):
    """Refuse words on the command line, in the environment or in a file."""
