"""What the pinned maps hold, told so that another version can read it.

The layouts of all maps make a text, and its digest the name of the folder of pins: so another
layout is always another folder. The text is pinned beside the maps (map `layout`); from it a later
version knows what an earlier one left, field by field. Next: `observer.kernel.inherit`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np

import bpf
from observer.kernel import layout
from observer.kernel.source import enum_names

VERSION: Final = 1
"""Raise it when a field keeps its name and size but not its meaning: then nothing is copied."""

HASH, ARRAY, PERCPU_ARRAY, LRU_HASH, LPM_TRIE = 1, 2, 6, 9, 11
_U32, _U64 = np.dtype(np.uint32), np.dtype(np.uint64)

DROP: Final = "drop_"
"""Begins the names of drop reasons among those of counters."""

DType = np.dtype[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLayout:
    """Type, key and value of a pinned map."""

    kind: int
    key: DType
    value: DType
    names: Mapping[str, int] | None = None
    """Of an array whose entries have names: name → index."""
    entries: int | None = None
    """Size of a map that user space makes; None: the programs' source says."""


TOLD: Final = np.dtype([("events", "u8"), ("wall_ns", "u8")])
"""How many events have been told, as rows or as lost, and when the last of them."""


@cache
def layouts() -> dict[str, MapLayout]:
    """Give the maps of bpf/include/maps.h, and at the end those that user space has for itself."""
    counters = enum_names(bpf.INCLUDE / "counters.h", "counter", "COUNTER_")
    drops = enum_names(bpf.INCLUDE / "reasons.h", "drop_reason", "DROP_")
    all_names = [*counters, *(f"{DROP}{name}" for name in drops)]
    return {
        "endpoints": MapLayout(kind=HASH, key=layout.ADDRESS, value=layout.ENDPOINT),
        "devices": MapLayout(kind=HASH, key=_U32, value=layout.ENDPOINT),
        "ipcache": MapLayout(kind=LPM_TRIE, key=layout.IPCACHE_KEY, value=_U32),
        "connections": MapLayout(kind=HASH, key=layout.CONNECTION_KEY, value=layout.CONNECTION),
        "policy": MapLayout(kind=LPM_TRIE, key=layout.POLICY_KEY, value=layout.POLICY_VALUE),
        "fragments": MapLayout(kind=LRU_HASH, key=layout.FRAGMENT_KEY, value=layout.FRAGMENT_VALUE),
        "settings_map": MapLayout(kind=ARRAY, key=_U32, value=layout.SETTINGS),
        "counters": MapLayout(kind=PERCPU_ARRAY, key=_U32, value=_U64, names=counters),
        "drops": MapLayout(kind=PERCPU_ARRAY, key=_U32, value=_U64, names=drops),
        "told": MapLayout(kind=ARRAY, key=_U32, value=TOLD, entries=1),
        "carried": MapLayout(
            kind=ARRAY,
            key=_U32,
            value=_U64,
            names={name: index for index, name in enumerate(all_names)},
            entries=len(all_names),
        ),
    }


def text() -> str:
    """Write the layouts of this version."""
    maps = {
        name: {
            "kind": each.kind,
            "key": _describe(each.key),
            "value": _describe(each.value),
            "names": None if each.names is None else dict(each.names),
            "entries": each.entries,
        }
        for name, each in layouts().items()
    }
    return json.dumps({"version": VERSION, "maps": maps}, separators=(",", ":"))


def folder_name() -> str:
    """Name the folder of pins of this version, such as v1-0a1b2c3d."""
    return f"v{VERSION}-{hashlib.sha256(text().encode()).hexdigest()[:8]}"


def read(written: str) -> dict[str, MapLayout]:
    """Read the layouts of an earlier version; none if what it meant is not what we mean.

    Raises:
        ValueError: It is no such text.
    """
    content = json.loads(written)
    if content["version"] != VERSION:
        return {}
    return {
        name: MapLayout(
            kind=each["kind"],
            key=_dtype(each["key"]),
            value=_dtype(each["value"]),
            names=each["names"],
            entries=each["entries"],
        )
        for name, each in content["maps"].items()
    }


def convert(rows: np.ndarray[Any, DType], to: DType) -> np.ndarray[Any, DType]:
    """Rows of one layout as rows of another, by field name; what is new in it is zero."""
    if to.names is None or rows.dtype.names is None:
        return rows.astype(to.base)  # NumPy has made dimensions of an array's
    found = np.zeros(rows.shape, to)
    for name in set(to.names) & set(rows.dtype.names):
        field = found[name]
        if field.dtype.names is None:
            found[name] = rows[name]
        else:
            found[name] = convert(rows[name], field.dtype)
    return found


def _describe(dtype: DType) -> object:
    """A scalar as its NumPy code, an array as {of, shape}, a struct as {fields, bytes}."""
    if dtype.subdtype is not None:
        inner, shape = dtype.subdtype
        return {"of": _describe(inner), "shape": list(shape)}
    if dtype.fields is None:
        return dtype.str
    fields = [[name, _describe(each[0]), each[1]] for name, each in dtype.fields.items()]
    return {"fields": fields, "bytes": dtype.itemsize}


def _dtype(described: Any) -> DType:  # noqa: ANN401 - parsed JSON
    if isinstance(described, str):
        return np.dtype(described)
    if "of" in described:
        return np.dtype((_dtype(described["of"]), tuple(described["shape"])))
    names, formats, offsets = zip(*described["fields"], strict=True)
    return np.dtype(
        {
            "names": names,
            "formats": [_dtype(each) for each in formats],
            "offsets": offsets,
            "itemsize": described["bytes"],
        }
    )
