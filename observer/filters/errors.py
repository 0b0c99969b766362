"""Errors of filters; their texts are Hubble's where it has them, clients show them as they are.

FilterError            a filter that cannot be compiled: gRPC status UNKNOWN, as Hubble answers
└── CostlyFilterError  it would keep all others waiting: INVALID_ARGUMENT
"""


class FilterError(Exception):
    """A field of a FlowFilter holds a value that is not understood."""


class CostlyFilterError(FilterError):
    """Filters that are understood, but would take too long."""
