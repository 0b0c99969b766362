"""One file of YAML or JSON → the objects in it, and what is wrong with it.

A file holds any number of documents; a `List`, as kubectl prints it, counts as its items. What
cannot be used is an ObjectError beside the rest: one bad object does not take its neighbours along,
only broken syntax makes the whole file useless.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from policy.fields import shown
from server.cluster.errors import ObjectError
from server.cluster.read import object_name, read_object
from server.cluster.shape import check_shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from server.cluster.objects import ClusterObject, Document

logger = logging.getLogger(__name__)

# the parser in C is ten times as fast, but PyYAML may be built without it
Loader: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedObject:
    """An object and the document that it was read from."""

    object: ClusterObject
    document: Document
    source: str


def load_documents(text: bytes, *, file: str) -> tuple[list[LoadedObject], list[ObjectError]]:
    """Read every object in the file; errors name the document by its place, from 1.

    Raises:
        ObjectError: The text is not YAML: nothing in it can be trusted.
    """
    try:
        documents = _parsed(text)
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).replace('in "<byte string>",', "at").split())
        raise ObjectError(source=file, name="", reason=f"parse YAML: {reason}") from error
    loaded: list[LoadedObject] = []
    errors: list[ObjectError] = []
    for source, document in _flattened(documents, file):
        try:
            found = _load(document, source)
        except ObjectError as error:
            errors.append(error)
        else:
            loaded += found
    return loaded, errors


def _parsed(text: bytes) -> list[object]:
    """Parse all documents; YAMLError where their shape is beyond reason.

    PyYAML's C loader recurses without a bound and takes the process down on a file of 100 kB of
    brackets. Its event parser does not recurse, so it looks first.
    """
    check_shape(yaml.parse(text, Loader=Loader))
    return list(yaml.load_all(text, Loader=Loader))


def _flattened(documents: list[object], file: str) -> Iterator[tuple[str, object]]:
    """Yield documents and items of lists that are not empty, each with its source."""
    for number, document in enumerate(documents, start=1):
        source = f"{file} document {number}" if len(documents) > 1 else file
        if isinstance(document, dict) and document.get("kind") == "List":
            items = document.get("items")
            for index, item in enumerate(items if isinstance(items, list) else []):
                yield f"{source} items[{index}]", item
        elif document is not None:
            yield source, document


def _load(document: object, source: str) -> list[LoadedObject]:
    if not isinstance(document, dict):
        reason = f"need an object, found {shown(document)}"
        raise ObjectError(source=source, name="", reason=reason)
    found = read_object(document, source=source)
    if found is None:
        logger.info("object ignored source=%r object=%r", source, object_name(document))
        return []
    return [LoadedObject(object=found, document=document, source=source)]
