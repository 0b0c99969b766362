"""What goes wrong in a relay.

RelayError            the process cannot start; the message is all the user needs
MalformedError        a node sent bytes that are no response: its stream ends with this
"""


class RelayError(Exception):
    """The process cannot start or go on."""


class MalformedError(Exception):
    """A message of a node cannot be read."""
