"""Requests for tests of queries, and a reader that follows one."""

from api.proto.flow.flow_pb2 import FlowFilter, Verdict
from api.proto.observer.observer_pb2 import GetFlowsRequest
from tests.observer.query.rows import (
    START_NS,
    Node,
    responses,
    times,
)

DROPPED = FlowFilter(verdict=[Verdict.DROPPED])


def request(
    *,
    number: int = 0,
    first: bool = False,
    follow: bool = False,
    since: int | None = None,
    until: int | None = None,
    dropped: bool = False,
) -> GetFlowsRequest:
    """A request with times counted from START_NS."""
    made = GetFlowsRequest(number=number, first=first, follow=follow)
    for name, offset in (("since", since), ("until", until)):
        if offset is not None:
            seconds, nanos = divmod(START_NS + offset, 10**9)
            getattr(made, name).seconds, getattr(made, name).nanos = seconds, nanos
    if dropped:
        made.whitelist.append(DROPPED)
    return made


class Follower:
    """Takes what a following query yields, one item at a time."""

    def __init__(self, node: Node, asked: GetFlowsRequest) -> None:
        self.stream = node.query(asked).run()

    async def next(self) -> list[int]:
        return times(responses(await anext(self.stream)))
