"""Kubernetes objects from YAML files, as far as the lab needs them.

A scenario is one file; a state folder is many (`*.yaml`, `*.yml`). Both hold the objects that
`kubectl get -o yaml` would print, with their status. The lab looks into Node and Pod (what to
build) and Service and EndpointSlice (what DNS answers); all other kinds pass through unread: the
same folder is what `hubble-server --state` reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from lab.errors import ObjectError
from lab.fields import Field

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CLUSTER_SCOPED_KINDS = frozenset({"Namespace", "Node"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeObject:
    """One object: who it is, and its fields."""

    kind: str
    namespace: str
    """Empty for the kinds that live outside namespaces."""

    name: str
    root: Field

    @property
    def key(self) -> str:
        """The name as people write it: `default/xwing`, or `lab-1` for a Node."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def __getitem__(self, key: str) -> Field:
        return self.root[key]

    def __str__(self) -> str:
        return self.root.owner


def read_objects(path: Path) -> tuple[KubeObject, ...]:
    """Read all objects of a YAML file, or of all YAML files in a folder, in order of file name.

    Raises:
        ObjectError: a file cannot be read or parsed, an entry is no object, or two entries are
            the same object.
    """
    files = sorted(yaml_files(path)) if path.is_dir() else [path]
    found: dict[tuple[str, str], KubeObject] = {}
    for file in files:
        for thing in _parse(file):
            twin = found.setdefault((thing.kind, thing.key), thing)
            if twin is not thing:
                raise ObjectError(f"{thing}: defined twice, first in {twin.root.owner}")
    return tuple(found.values())


def yaml_files(folder: Path) -> Iterable[Path]:
    """Give the YAML files of a folder, without the hidden ones that are still being written."""
    return (
        entry
        for entry in folder.iterdir()
        if entry.suffix in {".yaml", ".yml"} and not entry.name.startswith(".")
    )


def _parse(file: Path) -> Iterable[KubeObject]:
    try:
        documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise ObjectError(f"read {file}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:  # of text, numbers or dates that cannot be
        raise ObjectError(f"{file.name}: not YAML: {error}") from None
    except RecursionError:
        raise ObjectError(f"{file.name}: not YAML: nested too deep") from None
    for position, document in enumerate(documents, start=1):
        if document is not None:
            yield _object(f"{file.name}: document {position}", file.name, document)


def _object(place: str, file_name: str, document: object) -> KubeObject:
    entry = Field(owner=place, path="", value=document)
    kind = entry["kind"].text()
    name = entry["metadata"]["name"].text()
    namespace = ""
    if kind not in CLUSTER_SCOPED_KINDS:
        namespace = entry["metadata"]["namespace"].text(default="default")
    key = f"{namespace}/{name}" if namespace else name
    root = Field(owner=f"{file_name}: {kind} {key}", path="", value=document)
    return KubeObject(kind=kind, namespace=namespace, name=name, root=root)
