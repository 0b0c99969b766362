"""Filters: FlowFilter messages in, masks over rows of the flow table out.

A request's filters are compiled once into a `Selection`, which then judges slices of the table
column by column; nothing here builds a flow. `observer.query` is the user.
"""

from observer.filters.compile import compile_filters
from observer.filters.errors import CostlyFilterError, FilterError
from observer.filters.selection import Selection

__all__ = ["CostlyFilterError", "FilterError", "Selection", "compile_filters"]
