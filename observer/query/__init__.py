"""Queries: a GetFlowsRequest in, framed responses out, in slices that never hold the loop long.

`request` says what is asked, `start` where to begin, `reader` walks the table from there. Filters
are `observer.filters`, messages `observer.encode`; the server's Observer service is the user.
"""

from observer.query.errors import InvalidQueryError, QueryError
from observer.query.query import FlowQuery
from observer.query.rate import flows_rate
from observer.query.request import FlowRequest

__all__ = ["FlowQuery", "FlowRequest", "InvalidQueryError", "QueryError", "flows_rate"]
