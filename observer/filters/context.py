"""What the compilers of filters know beyond their filter: the node, and each other's verdicts."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from api.proto.flow.flow_pb2 import Flow
from observer.entities import Endpoint
from observer.filters.condition import RefVerdicts, RowSlice
from observer.filters.programs import Compiler

FlowSource = Callable[[RowSlice], Sequence[Flow]]
"""Makes messages of rows, one each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Lives while one request's filters are compiled."""

    node_name: str
    """As in flows: `cluster/node`."""
    node_labels: tuple[str, ...]
    """As in flows: `key=value`."""
    flows: FlowSource | None = None
    """For filters that want whole flows; without it they are refused."""
    programs: Compiler = field(default_factory=Compiler)
    """Compiles expressions; what they may cost, they share."""
    shared: dict[Hashable, RefVerdicts[Endpoint]] = field(default_factory=dict)
    label_verdicts: dict[tuple[str, ...], RefVerdicts[tuple[str, ...]]] = field(
        default_factory=dict
    )
    """Verdicts on sets of labels by the selectors asked for."""

    def endpoint_verdicts(
        self, key: Hashable, predicate: Callable[[Endpoint], bool]
    ) -> RefVerdicts[Endpoint]:
        """Return the verdicts for a question; those who ask the same share them."""
        return self.shared.setdefault(key, RefVerdicts(predicate))
