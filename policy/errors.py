"""What can be wrong with an object that a person wrote.

    FieldError            a value in a parsed document is missing, of the wrong kind or out of range
    └── UnsupportedError  the value is valid Kubernetes, but Leavitt cannot honour it yet

Both know the path of the field and the value found there. Who knows the file and the object (the
reader of the documents) adds them; a policy that raises either is not applied.
"""


class FieldError(ValueError):
    """A field's value cannot be used.

    Attributes:
        path: Where the value stands, `spec.ingress[0].ports[1].port`.
        reason: What is wrong with it; ends with the value.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class UnsupportedError(FieldError):
    """The field means something that is not implemented: refusing beats half a policy."""
