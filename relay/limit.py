"""A bound on the flows of the whole cluster, where a node would count only its own.

Every node is asked for as many as are wanted of all. The first N of the merged stream are passed on
and the call is over. The last N are known when all nodes have told their history: until then the
last N are kept, and with --follow the rest comes after them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from api.lane.status import Code, RpcError
from api.lane.wire import PREFIX_BYTES, Framed
from relay.times import FLOW, size_at, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_KEY: Final = "leavitt-limit"
"""Request metadata: `cluster` makes `number` count over all nodes."""
MOST_KEPT_BYTES: Final = 256 << 20
"""What may be kept for the last N."""


class Limit(Protocol):
    """What stands between the merge and the client."""

    @property
    def is_reached(self) -> bool:
        """Whether nothing more is wanted."""

    @property
    def keeps(self) -> bool:
        """Whether anything is kept until history is over."""

    def pass_on(self, framed: Framed) -> Framed:
        """Take merged messages, and return those that go to the client now."""

    def history_is_over(self) -> Framed:
        """Note that what comes from now on is new; return what was kept."""


class Request(Protocol):
    """The fields that the requests of all streams share."""

    number: int
    first: bool
    follow: bool

    def HasField(self, field_name: str) -> bool:  # noqa: N802 - protobuf's name
        """Tell whether a message field is set."""


def limit_of(request: Request) -> Limit:
    """Return the bound that a request asks for."""
    if not request.number:
        return NoLimit()
    is_counted_from_start = request.first or request.HasField("since")
    if is_counted_from_start:
        return NoLimit() if request.follow else FirstLimit(request.number)
    return LastLimit(request.number)


class NoLimit:
    """Passes everything on."""

    is_reached = False
    keeps = False

    def pass_on(self, framed: Framed) -> Framed:
        """Return it."""
        return framed

    def history_is_over(self) -> Framed:
        """Nothing is kept."""
        return Framed(b"", 0)


class FirstLimit:
    """Passes on the first N flows and the gaps between them."""

    keeps = False

    def __init__(self, number: int) -> None:
        self._missing = number

    @property
    def is_reached(self) -> bool:
        """Whether there were N."""
        return self._missing == 0

    def pass_on(self, framed: Framed) -> Framed:
        """Return all, or a part that ends with the last flow."""
        if framed.count < self._missing:
            # flows or not: there are not enough of them here
            self._missing -= sum(is_flow for _, _, is_flow in _each(framed))
            return framed
        count = stop = 0
        for _, end, is_flow in _each(framed):
            if not self._missing:
                break
            count, stop = count + 1, end
            self._missing -= is_flow
        return Framed(framed.data[:stop], count)

    def history_is_over(self) -> Framed:
        """Nothing is kept."""
        return Framed(b"", 0)


class LastLimit:
    """Keeps the last N flows, and the gaps between them, until history is over."""

    is_reached = False

    def __init__(self, number: int) -> None:
        self._number = number
        self._kept: deque[tuple[bytes, bool]] = deque()
        self._flows = 0
        self._kept_bytes = 0
        self.keeps = True

    def pass_on(self, framed: Framed) -> Framed:
        """Keep it, or after history return it.

        Raises:
            RpcError: RESOURCE_EXHAUSTED, it is too much to keep.
        """
        if not self.keeps:
            return framed
        for start, end, is_flow in _each(framed):
            self._kept.append((framed.data[start:end], is_flow))
            self._kept_bytes += end - start
            self._flows += is_flow
        while self._flows > self._number:
            message, is_flow = self._kept.popleft()
            self._kept_bytes -= len(message)
            self._flows -= is_flow
        if self._kept_bytes > MOST_KEPT_BYTES:
            text = f"last {self._number} of the cluster: more than {MOST_KEPT_BYTES >> 20} MiB"
            raise RpcError(Code.RESOURCE_EXHAUSTED, text)
        return Framed(b"", 0)

    def history_is_over(self) -> Framed:
        """Return what was kept."""
        self.keeps = False
        kept = Framed(b"".join(message for message, _ in self._kept), len(self._kept))
        self._kept.clear()
        return kept


def _each(framed: Framed) -> Iterator[tuple[int, int, bool]]:
    """Yield where each message begins and ends, with its prefix, and whether it is a flow."""
    position = 0
    while position < len(framed.data):
        end = position + PREFIX_BYTES + size_at(framed.data, position)
        kind = walk(framed.data, position + PREFIX_BYTES, end).kind
        yield position, end, kind == FLOW
        position = end
