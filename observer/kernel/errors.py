"""What can go wrong between user space and the kernel.

KernelError            the kernel refused or lacks something; the message ends with the remedy
└── RecordingError     a recording is truncated, foreign or unwritable; the message has the offset
"""


class KernelError(Exception):
    """The kernel refused, or the machine lacks what is needed."""


class RecordingError(KernelError):
    """A recording cannot be read or written."""
