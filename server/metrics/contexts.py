"""Contexts: the labels of a series that say whose flow it was, as the user chose them.

    sourceContext=workload|pod        →  source="…", the first that is not empty
    labelsContext=source_pod,…        →  a label each, in Hubble's order

Each side of a row has a number that stands for all its labels together. Where only the endpoint
counts, numbers are kept by the endpoint's ref, so that a batch costs one look-up; where addresses,
names or the direction count too, each distinct combination of a batch is looked at.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from observer.entities import Endpoint, address_text
from observer.table.interns import Interns
from observer.table.rows import Column
from server.metrics.errors import MetricsError
from server.metrics.grouping import Words

_INGRESS: Final = 1
_EGRESS: Final = 2
_DIRECTIONS: Final = ("unknown", "ingress", "egress")
_MOST_VALUES: Final = 1 << 17
"""Then numbering begins anew: endpoints come and go for as long as the node lives."""
_APP_LABELS: Final = ("k8s:app.kubernetes.io/name=", "k8s:k8s-app=", "k8s:app=")
_KUBE_APISERVER: Final = "reserved:kube-apiserver"


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """One side of a flow."""

    endpoint: Endpoint | None
    address: str
    names: tuple[str, ...]


def _namespaced(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace and name else name or (namespace and f"{namespace}/")


def _pod(who: Who) -> str:
    one = who.endpoint
    return "" if one is None else _namespaced(one.namespace, one.pod_name)


def _workload(who: Who) -> str:
    one = who.endpoint
    if one is None or not one.workloads:
        return ""
    return _namespaced(one.namespace, one.workloads[0].name)


def _workload_part(part: str) -> Callable[[Who], str]:
    def read(who: Who) -> str:
        one = who.endpoint
        return "" if one is None or not one.workloads else str(getattr(one.workloads[0], part))

    return read


def _reserved(who: Who) -> str:
    labels = () if who.endpoint is None else who.endpoint.labels
    if _KUBE_APISERVER in labels:
        return _KUBE_APISERVER
    return next((label for label in labels if label.startswith("reserved:")), "")


def _app(who: Who) -> str:
    labels = () if who.endpoint is None else who.endpoint.labels
    for prefix in _APP_LABELS:
        for label in labels:
            if label.startswith(prefix) and len(label) > len(prefix):
                return label.removeprefix(prefix)
    return ""


def _part(name: str) -> Callable[[Who], str]:
    return lambda who: "" if who.endpoint is None else str(getattr(who.endpoint, name))


Reader = Callable[[Who], str]

IDENTIFIERS: Final[Mapping[str, Reader]] = {
    "identity": lambda who: "" if who.endpoint is None else ",".join(who.endpoint.labels),
    "namespace": _part("namespace"),
    "pod": _pod,
    "pod-name": _part("pod_name"),
    "dns": lambda who: ",".join(who.names),
    "ip": lambda who: who.address,
    "reserved-identity": _reserved,
    "workload": _workload,
    "workload-name": _workload_part("name"),
    "app": _app,
}
_LABELS: Final[Mapping[str, Reader]] = {
    "ip": IDENTIFIERS["ip"],
    "pod": IDENTIFIERS["pod-name"],
    "namespace": IDENTIFIERS["namespace"],
    "workload": IDENTIFIERS["workload-name"],
    "workload_kind": _workload_part("kind"),
    "app": _app,
}
_BEYOND_ENDPOINT: Final = (IDENTIFIERS["ip"], IDENTIFIERS["dns"])
_SIDES: Final = ("source", "destination")
_DIRECTION_LABEL: Final = "traffic_direction"
_LABEL_ORDER: Final = (
    *(f"{side}_{label}" for side in _SIDES for label in _LABELS),
    _DIRECTION_LABEL,
)


def _first_of(readers: tuple[Reader, ...], who: Who) -> str:
    return next((text for reader in readers if (text := reader(who))), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What is shown of one side."""

    name: str
    labels: tuple[str, ...]
    """Of labelsContext, without the side's name."""
    by_direction: tuple[tuple[Reader, ...], ...]
    """Identifiers of the label named like the side, by direction; all empty if it has none."""

    @property
    def has_own_label(self) -> bool:
        """Whether there is a label named like the side."""
        return any(self.by_direction)

    @property
    def needs_row(self) -> bool:
        """Whether more counts than the endpoint."""
        readers = {reader for each in self.by_direction for reader in each}
        readers.update(_LABELS[label] for label in self.labels)
        return len(set(self.by_direction)) > 1 or any(one in readers for one in _BEYOND_ENDPOINT)

    def values(self, who: Who, direction: int) -> tuple[str, ...]:
        """Return the values of its labels, its own one at the end."""
        found = tuple(_LABELS[label](who) for label in self.labels)
        if not self.has_own_label:
            return found
        return (*found, _first_of(self.by_direction[min(direction, _EGRESS)], who))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """The contexts of one metric."""

    source: Side
    destination: Side
    has_direction: bool
    labels: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = [f"{side.name}_{label}" for side in self.sides for label in side.labels]
        if self.has_direction:
            names.append(_DIRECTION_LABEL)
        names += [side.name for side in self.sides if side.has_own_label]
        object.__setattr__(self, "labels", tuple(names))

    @property
    def sides(self) -> tuple[Side, Side]:
        """Source, then destination."""
        return self.source, self.destination

    def values(
        self, source: tuple[str, ...], destination: tuple[str, ...], direction: int
    ) -> tuple[str, ...]:
        """Put the values of both sides into the order of `labels`."""
        cuts = len(self.source.labels), len(self.destination.labels)
        middle = (_DIRECTIONS[min(direction, _EGRESS)],) if self.has_direction else ()
        return (
            *source[: cuts[0]],
            *destination[: cuts[1]],
            *middle,
            *source[cuts[0] :],
            *destination[cuts[1] :],
        )


def contexts_of(options: Mapping[str, str]) -> Contexts:
    """Read the contexts among a metric's options, whose keys are lower-cased.

    Raises:
        MetricsError: an identifier or a label is not known.
    """
    labels = [part for part in options.get("labelscontext", "").split(",") if part]
    for label in labels:
        if label not in _LABEL_ORDER:
            raise MetricsError(f"invalid labelsContext value: {label}")
    sides = [_side(name, options, labels) for name in _SIDES]
    return Contexts(source=sides[0], destination=sides[1], has_direction=_DIRECTION_LABEL in labels)


def _side(name: str, options: Mapping[str, str], labels: list[str]) -> Side:
    always, ingress, egress = (
        _readers(options.get(f"{name}{when}context", "")) for when in ("", "ingress", "egress")
    )
    return Side(
        name=name,
        labels=tuple(label for label in _LABELS if f"{name}_{label}" in labels),
        by_direction=(always, ingress or always, egress or always),
    )


def _readers(text: str) -> tuple[Reader, ...]:
    names = [part for part in text.split("|") if part]
    for name in names:
        if name not in IDENTIFIERS:
            raise MetricsError(f"unknown context '{name}'")
    return tuple(IDENTIFIERS[name] for name in names)


class SideNumbers:
    """Numbers for what rows show of one side."""

    def __init__(self, side: Side, interns: Interns) -> None:
        self._side = side
        self._interns = interns
        self._by_values: dict[tuple[str, ...], int] = {}
        self._values: dict[int, tuple[str, ...]] = {}
        self._next = 1
        self._by_ref = np.zeros(64, np.int64)
        interns.endpoints.on_freed(self._forget)

    def values(self, number: int) -> tuple[str, ...]:
        """Return what a number of the last batch stands for."""
        return self._values[number]

    def of(self, columns: Mapping[str, Column], rows: NDArray[np.intp]) -> Words:
        """Number the side of some rows, uint64 (n,), each below 2^32."""
        if len(self._values) > _MOST_VALUES:
            # Numbers are not given out twice: what others remember of old ones is merely unused.
            self._by_values.clear()
            self._values.clear()
            self._by_ref[:] = 0
        refs = columns[f"{self._side.name}_ref"][rows]
        if self._side.needs_row:
            return self._of_rows(columns, rows, refs)
        self._grow()
        numbers = self._by_ref[refs]
        for ref in np.unique(refs[numbers == 0]).tolist():
            who = Who(endpoint=self._interns.endpoints.get(ref), address="", names=())
            self._by_ref[ref] = self._number(self._side.values(who, 0))
        return self._by_ref[refs].astype(np.uint64)

    def _of_rows(
        self, columns: Mapping[str, Column], rows: NDArray[np.intp], refs: NDArray[np.int32]
    ) -> Words:
        """Number each distinct combination of endpoint, names, direction and address."""
        name = self._side.name
        names_refs = columns[f"{name}_names_ref"][rows]
        directions = columns["direction"][rows]
        keys = np.empty((len(rows), 4), np.uint64)
        keys[:, 0] = refs
        keys[:, 1] = names_refs.astype(np.uint64) << np.uint64(8) | directions
        keys[:, 2:] = columns[f"{name}_ip"][rows]
        numbers: dict[bytes, int] = {}
        found = np.empty(len(rows), np.uint64)
        packed = keys.view("V32")[:, 0].tolist()
        for index, key in enumerate(packed):
            number = numbers.get(key)
            if number is None:
                who = Who(
                    endpoint=self._interns.endpoints.get(int(refs[index])),
                    address=_address(key[16:]),
                    names=self._interns.names.get(int(names_refs[index])) or (),
                )
                number = self._number(self._side.values(who, int(directions[index])))
                numbers[key] = number
            found[index] = number
        return found

    def _number(self, values: tuple[str, ...]) -> int:
        number = self._by_values.get(values)
        if number is None:
            number = self._by_values[values] = self._next
            self._values[number] = values
            self._next = self._next + 1 & 0xFFFFFFFF or 1
        return number

    def _grow(self) -> None:
        size = self._interns.endpoints.size
        if size > len(self._by_ref):
            grown = np.zeros(2 * size, np.int64)
            grown[: len(self._by_ref)] = self._by_ref
            self._by_ref = grown

    def _forget(self, refs: list[int]) -> None:
        known = np.array([ref for ref in refs if ref < len(self._by_ref)], np.intp)
        self._by_ref[known] = 0


def _address(packed: bytes) -> str:
    return address_text(packed) if any(packed) else ""
