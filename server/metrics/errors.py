"""What is wrong with a choice of metrics.

ServerError
└── MetricsError      a name or an option of `--metrics` cannot be used
"""

from server.errors import ServerError


class MetricsError(ServerError):
    """The metrics that were asked for cannot be had; the message says why."""
