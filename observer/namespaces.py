"""Which namespaces were seen in flows lately, for GetNamespaces.

A sink of the pipeline: it notes the time at each endpoint ref of a batch, which is two array
assignments; only refs not seen before are looked at one by one.
"""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from observer.table.interns import Interns
from observer.table.rows import Rows

KEPT_NS: Final = 3_600_000_000_000
"""How long a namespace is remembered after its last flow: one hour, as in Hubble."""
_CLEANUP_NS: Final = 300_000_000_000


class SeenNamespace(NamedTuple):
    """A namespace, with the cluster of this node."""

    cluster: str
    namespace: str


class SeenNamespaces:
    """Times at which namespaces were last seen."""

    def __init__(
        self, interns: Interns, *, cluster_name: str, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._endpoints = interns.endpoints
        self._cluster_name = cluster_name
        self._wall_ns = wall_ns
        self._last_ns = np.zeros(1, np.int64)
        """By endpoint ref; 0 never."""
        self._namespaces: dict[int, str] = {}
        """By ref, of those that were seen and are not freed."""
        self._freed: dict[str, int] = {}
        """Last time by namespace, of endpoints that no row refers to any more."""
        self._cleaned_ns = 0
        self._endpoints.on_freed(self._forget)

    def consume(self, rows: Rows, first: int) -> None:  # a sink's signature
        """Note the endpoints of rows that were just appended."""
        now_ns = self._wall_ns()
        if self._endpoints.size > len(self._last_ns):
            grown = np.zeros(2 * self._endpoints.size, np.int64)
            grown[: len(self._last_ns)] = self._last_ns
            self._last_ns = grown
        for name in ("source_ref", "destination_ref"):
            self._note(rows.columns[name], now_ns)
        if now_ns - self._cleaned_ns > _CLEANUP_NS:
            self._clean(now_ns)

    def seen(self) -> list[SeenNamespace]:
        """Return the namespaces of the last hour, sorted by name."""
        now_ns = self._wall_ns()
        self._clean(now_ns)
        names = set(self._freed)
        names.update(
            namespace
            for ref, namespace in self._namespaces.items()
            if now_ns - int(self._last_ns[ref]) <= KEPT_NS
        )
        names.discard("")
        return [SeenNamespace(self._cluster_name, name) for name in sorted(names)]

    def _note(self, refs: NDArray[np.int32], now_ns: int) -> None:
        unknown = set(refs[self._last_ns.take(refs) == 0].tolist())
        self._last_ns[refs] = now_ns
        self._last_ns[0] = 0
        for ref in unknown:
            try:
                self._namespaces[ref] = self._endpoints[ref].namespace
            except KeyError:
                # None, or of a row that its own batch has already pushed out of the table.
                self._last_ns[ref] = 0

    def _forget(self, refs: list[int]) -> None:
        for ref in refs:
            namespace = self._namespaces.pop(ref, None)
            if namespace is not None:
                last_ns = int(self._last_ns[ref])
                self._freed[namespace] = max(last_ns, self._freed.get(namespace, 0))
                self._last_ns[ref] = 0

    def _clean(self, now_ns: int) -> None:
        self._cleaned_ns = now_ns
        old = [name for name, last_ns in self._freed.items() if now_ns - last_ns > KEPT_NS]
        for name in old:
            del self._freed[name]
