"""What can be wrong with the description of the cluster.

ObjectError           one object or file cannot be used; it is reported, the rest goes on
ServerError
└── StateFolderError  the folder itself cannot be read at start
"""

from server.errors import ServerError


class ObjectError(ValueError):
    """An object, or a whole file, that cannot be used: names file, object, field and value."""

    def __init__(self, *, source: str, name: str, reason: str) -> None:
        super().__init__(": ".join(part for part in (f"read {source}", name, reason) if part))
        self.source = source
        """File that it stands in, with the document's number where there are several."""
        self.name = name
        """`Pod default/xwing`, or empty where it is not known."""
        self.reason = reason
        """Path of the field, what is wrong, and the value."""


class StateFolderError(ServerError):
    """There is no state to begin with."""
