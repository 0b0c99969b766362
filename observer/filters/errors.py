"""Errors of filters.

FilterError    a filter that cannot be compiled; the text is Hubble's, clients show it as it is
"""


class FilterError(Exception):
    """A field of a FlowFilter holds a value that is not understood."""
