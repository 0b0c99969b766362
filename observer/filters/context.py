"""What the compilers of filters know beyond their filter: the node, and each other's verdicts."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from observer.entities import Endpoint
from observer.filters.condition import RefVerdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Lives while one request's filters are compiled."""

    node_name: str
    """As in flows: `cluster/node`."""
    node_labels: tuple[str, ...]
    """As in flows: `key=value`."""
    shared: dict[Hashable, RefVerdicts[Endpoint]] = field(default_factory=dict)

    def endpoint_verdicts(
        self, key: Hashable, predicate: Callable[[Endpoint], bool], *, absent: bool = False
    ) -> RefVerdicts[Endpoint]:
        """Return the verdicts for a question; those who ask the same share them."""
        return self.shared.setdefault(key, RefVerdicts(predicate, absent=absent))
