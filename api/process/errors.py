"""What is wrong with the settings of a process.

SettingError          names the setting, where it came from and its value
"""


class SettingError(Exception):
    """A setting has a value that cannot be used."""
