"""Field masks: which parts of a flow a client wants.

Paths are proto names relative to flow.Flow (`source.pod_name`, `l4`, `IP`). A path into a message
makes that message present even where the flow has none, as in Hubble; members of a oneof are
present only where the flow has them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from api.proto.flow.flow_pb2 import Flow


class FieldMaskError(Exception):
    """A path that no flow has."""


@dataclass(frozen=True, slots=True)
class FieldMask:
    """A set of paths as a tree, without those that lie inside of others."""

    fields: tuple[tuple[str, "FieldMask | None"], ...]
    """Field name and what is wanted of it, None for all; sorted by name, so masks compare."""

    @classmethod
    def from_paths(cls, paths: Iterable[str]) -> "FieldMask | None":
        """Return the mask of a request; None, which means everything, if it has no paths.

        Raises:
            FieldMaskError: a path is not one of flow.Flow.
        """
        wanted = [tuple(path.split(".")) for path in paths]
        for names in wanted:
            _check(names)
        return _tree(wanted) if wanted else None

    def child(self, name: str) -> "FieldMask | bool":
        """Return what is wanted of a field: True for all, False for nothing, else a mask."""
        for field, below in self.fields:
            if field == name:
                return True if below is None else below
        return False

    def only(self, names: Iterable[str]) -> "FieldMask":
        """Return the mask reduced to some fields of the message."""
        kept = frozenset(names)
        return FieldMask(tuple(each for each in self.fields if each[0] in kept))

    def without(self, names: Iterable[str]) -> "FieldMask":
        """Return the mask reduced to all fields but these."""
        dropped = frozenset(names)
        return FieldMask(tuple(each for each in self.fields if each[0] not in dropped))

    def copy(self, source: Message, target: Message) -> None:
        """Copy what is wanted from one message to an empty one of the same type."""
        by_name = source.DESCRIPTOR.fields_by_name
        for name, below in self.fields:
            if below is None:
                _copy_field(name, source, target)
            elif by_name[name].containing_oneof is None or source.HasField(name):
                inner = getattr(target, name)
                inner.SetInParent()
                below.copy(getattr(source, name), inner)


def _copy_field(name: str, source: Message, target: Message) -> None:
    field = source.DESCRIPTOR.fields_by_name[name]
    value = getattr(source, name)
    if field.is_repeated:
        getattr(target, name).extend(value)
    elif field.message_type is None:
        setattr(target, name, value)
    elif source.HasField(name):
        getattr(target, name).CopyFrom(value)


def _check(names: tuple[str, ...]) -> None:
    message: Any = Flow.DESCRIPTOR  # one of two types, by the implementation of protobuf
    for depth, name in enumerate(names, 1):
        field = message.fields_by_name.get(name)
        # protobuf in C reads a name no further than to its first NUL.
        known = field is not None and field.name == name
        # A path may not lead into a scalar, nor into each element of a list.
        if not known or (depth < len(names) and (field.is_repeated or not field.message_type)):
            path = ".".join(names)
            raise FieldMaskError(f'proto: invalid path "{path}" for message "flow.Flow"')
        message = field.message_type


def _tree(paths: list[tuple[str, ...]]) -> FieldMask:
    below: dict[str, list[tuple[str, ...]]] = {}
    for first, *rest in paths:
        below.setdefault(first, []).append(tuple(rest))
    return FieldMask(
        tuple(
            # An empty rest asks for the whole field, whatever else is asked of it.
            (name, None if () in rests else _tree(rests))
            for name, rests in sorted(below.items())
        )
    )
