"""Errors of queries; their texts are for the client.

QueryError               the request cannot be served: gRPC status UNKNOWN, as Hubble answers
└── InvalidQueryError    its fields contradict each other: INVALID_ARGUMENT
"""


class QueryError(Exception):
    """A request that cannot be served."""


class InvalidQueryError(QueryError):
    """A request whose fields contradict each other."""
