"""Filters by CEL expression: experimental.cel_expression, over whole flows.

The one filter that needs messages: the rows that all others leave are made into flow.Flow, and
each is given to the expressions until one is true. That takes a hundred times longer than columns
do, so selections with expressions are asked about few rows at once (`Selection.most_rows`).
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from api.proto.flow.flow_pb2 import Flow, FlowFilter
from observer.filters.condition import Condition, Cost, Mask, RowSlice
from observer.filters.context import Context
from observer.filters.errors import FilterError

_MESSAGE_NS: Final = 4_000
"""To make the message of a row."""


def expressions(flow_filter: FlowFilter, context: Context) -> Iterator[Condition]:
    """Compile cel_expression: one of the expressions must be true.

    Raises:
        FilterError: an expression cannot be compiled, or there are no messages to run it on.
        CostlyFilterError: the expressions of the request may take too long.
    """
    texts = flow_filter.experimental.cel_expression
    if not texts:
        return
    flows_of = context.flows
    if flows_of is None:
        raise FilterError("error compiling CEL expression: CEL is not supported here")
    programs = [context.programs.compile(text) for text in texts]

    row_ns = _MESSAGE_NS + sum(program.cost_ns for program in programs)

    def judge(flow: Flow) -> bool:
        return any(program(flow) for program in programs)

    def mask(rows: RowSlice) -> Mask:
        return np.fromiter(map(judge, flows_of(rows)), np.bool_, len(rows))

    yield Condition(cost=Cost.EXPRESSION, mask=mask, row_ns=row_ns)
