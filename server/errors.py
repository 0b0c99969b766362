"""What stops the node process from starting.

ServerError           the message is all the user needs; the process prints it and exits 1
"""


class ServerError(Exception):
    """The process cannot start or go on."""
