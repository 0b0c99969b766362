"""What stops the node process from starting.

ServerError           the message is all the user needs; the process prints it and exits 1
└── SettingError      a setting is wrong: names the setting, where it came from and its value
"""


class ServerError(Exception):
    """The process cannot start or go on."""


class SettingError(ServerError):
    """A setting has a value that cannot be used."""
