"""From one version of the map layouts to the next, without a packet lost or denied in between.

Maps of the same layout are shared: pinned in the new folder as well, they are the same maps. Maps
of another layout are copied by field names, before the new programs take the old ones' places; what
the old programs changed meanwhile is brought over afterwards: connections that began, and counts
that they did not tell. Every step can be done again after a kill. A version's folder is complete,
and may be inherited from, once the text of its layouts is pinned in it.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from observer.kernel import abi, layout, syscall
from observer.kernel.counters import read_named
from observer.kernel.errors import KernelError
from observer.kernel.pins import Pins
from observer.kernel.sweep import run_requests

LAYOUT_MAP: Final = "layout"
_COPIED: Final = ("settings_map", "endpoints", "devices", "ipcache", "policy", "connections")
"""What changes rarely first. Fragments of datagrams on their way are not worth it."""
_ROWS: Final = 4096
_FIRST: Final = bytes(4)

Rows = NDArray[np.void]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """A complete folder of an earlier version."""

    pins: Pins
    layouts: Mapping[str, abi.MapLayout]

    def differs(self, name: str) -> bool:
        """Whether that map has another layout; one that it has not does not."""
        return name in self.layouts and self.layouts[name] != abi.layouts()[name]


def find_ancestor(own: Pins) -> Ancestor | None:
    """The version whose state is to be inherited; None if there is none, or that is done."""
    found = [
        Ancestor(pins=each, layouts=layouts)
        for each in own.earlier()
        if (layouts := _read_layouts(each))
    ]
    # an upgrade that was cut short leaves two: the one whose links were not moved has the state
    return max(found, key=lambda each: len(list(each.pins.links.iterdir())), default=None)


def is_complete(own: Pins) -> bool:
    """Whether this version's maps have all that they are to have before programs use them."""
    return (own.maps / LAYOUT_MAP).exists()


def complete(own: Pins) -> None:
    """Say so."""
    if is_complete(own):
        return
    text = abi.text().encode()
    info = syscall.MapInfo(kind=abi.ARRAY, key_bytes=4, value_bytes=len(text), max_entries=1)
    fd = syscall.map_create(info)
    try:
        syscall.update(fd, _FIRST, text)
        syscall.pin(fd, own.maps / LAYOUT_MAP)
    finally:
        os.close(fd)


def make_own_maps(own: Pins) -> None:
    """Make the maps that user space has for itself, where they are missing."""
    for name, each in abi.layouts().items():
        if each.entries is None or (own.maps / name).exists():
            continue
        info = syscall.MapInfo(
            kind=each.kind,
            key_bytes=each.key.itemsize,
            value_bytes=each.value.itemsize,
            max_entries=each.entries,
        )
        fd = syscall.map_create(info)
        try:
            syscall.pin(fd, own.maps / name)
        finally:
            os.close(fd)


def share(ancestor: Ancestor, own: Pins) -> None:
    """Pin its maps of our layout here: before the programs are loaded, which then use them."""
    for name, each in abi.layouts().items():
        source, target = ancestor.pins.maps / name, own.maps / name
        if ancestor.layouts.get(name) != each or not source.exists():
            continue
        target.unlink(missing_ok=True)  # of a start that was cut short
        with _opened(source) as fd:
            syscall.pin(fd, target)


def copy(ancestor: Ancestor, maps: Mapping[str, int]) -> None:
    """Copy what has another layout now: while the old programs still work, before ours do."""
    for name in filter(ancestor.differs, _COPIED):
        with _opened(ancestor.pins.maps / name) as fd:
            for keys, values in _rows(fd, ancestor.layouts[name], abi.layouts()[name]):
                if name == "connections":
                    values = _as_told(values)
                _write(name, maps[name], keys, values)
            if name == "connections":
                # those that began while we copied, so that few are unknown when ours take over
                _bring_new(ancestor, fd, maps[name])


def bring_rest(ancestor: Ancestor, maps: Mapping[str, int], *, sweep_fd: int, cpus: int) -> None:
    """Bring what the old programs left, once they run no more."""
    syscall.wait_for_programs()
    if ancestor.differs("connections"):
        with _opened(ancestor.pins.maps / "connections") as fd:
            _bring_connections(ancestor, fd, maps["connections"], sweep_fd)
    if ancestor.differs("counters") or ancestor.differs("drops") or ancestor.differs("carried"):
        _carry_counts(ancestor, maps, cpus)


def _bring_connections(ancestor: Ancestor, old_fd: int, own_fd: int, sweep_fd: int) -> None:
    _bring_new(ancestor, old_fd, own_fd)
    old, new = ancestor.layouts["connections"], abi.layouts()["connections"]
    for keys, values in list(_rows(old_fd, old, new)):
        owed = _owed(keys, values)
        for start in range(0, len(owed), layout.SWEEP_MAX_REQUESTS):
            requests = owed[start : start + layout.SWEEP_MAX_REQUESTS]
            run_requests(sweep_fd, requests)
            # what is gone is not added again by the next process, if this one is killed now
            for key in abi.convert(requests["key"], old.key):
                syscall.delete(old_fd, key.tobytes())


def _bring_new(ancestor: Ancestor, old_fd: int, own_fd: int) -> None:
    """Bring connections that are not here yet: few, and ours may have begun one of them by now."""
    old, new = ancestor.layouts["connections"], abi.layouts()["connections"]
    known = {key for keys, _ in _rows(own_fd, new, new) for key in _each(keys)}
    for keys, values in _rows(old_fd, old, new):
        for row, key in enumerate(_each(keys)):
            if key not in known:
                syscall.insert(own_fd, key, _as_told(values[row]).tobytes())


def _each(keys: Rows) -> Iterator[bytes]:
    """The bytes of each key: ten times as fast as asking each row."""
    data, size = keys.tobytes(), keys.itemsize
    return (data[start : start + size] for start in range(0, len(data), size))


def _as_told(values: Any) -> Any:  # noqa: ANN401 - rows, or one of them
    """Count only what events have told: what they have not is brought at the end."""
    found = values.copy()
    found["lock"] = 0
    found["telling"] = 0
    found["side"]["packets"] = values["side"]["reported_packets"]
    found["side"]["bytes"] = values["side"]["reported_bytes"]
    return found


def _owed(keys: Rows, values: Rows) -> Rows:
    """Requests for the sides that have something that no event told."""
    sides = values["side"]
    packets = sides["packets"] - sides["reported_packets"]
    rows, which = np.nonzero(packets)
    found = np.zeros(len(rows), layout.SWEEP_REQUEST)
    found["key"] = keys[rows]
    found["packets"] = packets[rows, which]
    found["bytes"] = (sides["bytes"] - sides["reported_bytes"])[rows, which]
    found["action"] = layout.SWEEP_ADD
    found["side"] = which
    return found


def _carry_counts(ancestor: Ancestor, maps: Mapping[str, int], cpus: int) -> None:
    """Carry counts by name; those of arrays that are shared go on by themselves."""
    sums: dict[str, int] = {}
    for name, prefix in (("carried", ""), ("counters", ""), ("drops", abi.DROP)):
        if name != "carried" and not ancestor.differs(name):
            continue
        with _opened(ancestor.pins.maps / name) as fd:
            for each, count in read_named(fd, ancestor.layouts[name], cpus=cpus).items():
                sums[f"{prefix}{each}"] = sums.get(f"{prefix}{each}", 0) + count
    for each, index in (abi.layouts()["carried"].names or {}).items():
        value = sums.get(each, 0).to_bytes(8, sys.byteorder)
        syscall.update(maps["carried"], index.to_bytes(4, sys.byteorder), value)


def _rows(fd: int, old: abi.MapLayout, new: abi.MapLayout) -> Iterator[tuple[Rows, Rows]]:
    """All entries of a map in the new layout, some thousands at a time."""
    count = _ROWS
    position: bytes | None = None
    while True:
        keys: NDArray[Any] = np.zeros(count, old.key)
        values: NDArray[Any] = np.zeros(count, old.value)
        try:
            found, position = syscall.lookup_batch(fd, position, keys, values)
        except OSError as error:
            if error.errno != 28:  # ENOSPC: a bucket with more entries than there is room for
                raise
            count *= 2
            continue
        yield abi.convert(keys[:found], new.key), abi.convert(values[:found], new.value)
        if position is None:
            return


def _write(name: str, fd: int, keys: Rows, values: Rows) -> None:
    try:
        if len(keys):
            syscall.update_batch(fd, keys.tobytes(), values.tobytes(), len(keys))
    except OSError as error:
        raise KernelError(f"copy map {name} of an earlier version: {error.strerror}") from error


def _read_layouts(pins: Pins) -> dict[str, abi.MapLayout]:
    """What an earlier version's maps hold; nothing if it does not say."""
    try:
        with _opened(pins.maps / LAYOUT_MAP) as fd:
            text = syscall.lookup(fd, _FIRST, syscall.map_info(fd).value_bytes)
    except FileNotFoundError:
        return {}
    try:
        return abi.read(text.rstrip(b"\0").decode())
    except ValueError as error:
        raise KernelError(f"read layouts: {error}: remove {pins.root}") from error


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = syscall.open_pin(path)
    try:
        yield fd
    finally:
        os.close(fd)
