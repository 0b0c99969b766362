"""Look at a folder of YAML files once: what has changed since the last look.

A file is read when two looks in a row find it the same, so that one which is being written is left
alone until it is whole; the first look reads everything, and the second reads it once more. What
cannot be read keeps its last good objects: a slip of the editor must not take a cluster down. Of
two files that hold the same object the one that held it first counts, until it lets go; at the
first look the one that is first by name. Blocking; server.cluster.folder calls it in a thread.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from server.cluster.documents import LoadedObject, load_documents
from server.cluster.errors import ObjectError
from server.cluster.objects import Change, ChangeKind
from server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from server.cluster.objects import ObjectKey

logger = logging.getLogger(__name__)

SUFFIXES = (".yaml", ".yml", ".json")


class Signature(NamedTuple):
    """What changes when a file does."""

    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


@dataclass(slots=True, kw_only=True)
class WatchedFile:
    """A file as it was last seen, and what it last said."""

    signature: Signature
    settled: bool = False
    """It was read after two looks found it the same."""
    objects: dict[ObjectKey, LoadedObject] = field(default_factory=dict)
    errors: tuple[ObjectError, ...] = ()


class FolderScan:
    """The files of one folder, from look to look. Sub-folders and hidden files are left out."""

    def __init__(self, path: Path, *, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._wall_ns = wall_ns
        self._files: dict[str, WatchedFile] = {}
        self._given: dict[ObjectKey, LoadedObject] = {}
        self._givers: dict[ObjectKey, str] = {}
        """Name of the file that each of them came from."""
        self._doubles: tuple[ObjectError, ...] = ()
        self._is_first = True
        self.problems: tuple[Problem, ...] = ()
        """The errors of the last look, each with the time since which it is there."""

    @property
    def errors(self) -> tuple[ObjectError, ...]:
        """All that cannot be used at present, by file."""
        of_files = (error for name in sorted(self._files) for error in self._files[name].errors)
        return (*of_files, *self._doubles)

    def look(self) -> tuple[Change, ...]:
        """Look once; the first time all objects are added.

        Raises:
            OSError: The folder cannot be read; what was known stays.
        """
        signatures = dict(self._signatures())
        touched = bool(self._files.keys() - signatures.keys())
        self._files = {name: each for name, each in self._files.items() if name in signatures}
        for name, signature in signatures.items():
            touched |= self._look_at(name, signature)
        self._is_first = False
        if not touched:
            return ()
        changes = self._changes()
        self.problems = self._timed()
        return changes

    def _timed(self) -> tuple[Problem, ...]:
        known = {str(problem): problem for problem in self.problems}
        now_ns = self._wall_ns()
        found = (
            Problem(
                about=f"file {error.source}",
                reason=": ".join(filter(None, (error.name, error.reason))),
                since_ns=now_ns,
            )
            for error in self.errors
        )
        return tuple(known.get(str(problem), problem) for problem in found)

    def _signatures(self) -> Iterator[tuple[str, Signature]]:
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.endswith(SUFFIXES):
                    continue
                try:
                    found = _followed(entry)
                except OSError:
                    continue  # gone since it was listed
                yield (
                    entry.name,
                    Signature(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns),
                )

    def _look_at(self, name: str, signature: Signature) -> bool:
        """Read the file if it is time; tell whether it was read."""
        file = self._files.get(name)
        if file is None or file.signature != signature:
            known = {} if file is None else file.objects
            errors = () if file is None else file.errors
            file = WatchedFile(signature=signature, objects=known, errors=errors)
            self._files[name] = file
            if self._is_first:
                self._read(name, file)
            return self._is_first
        if file.settled:
            return False
        file.settled = True
        self._read(name, file)
        return True

    def _read(self, name: str, file: WatchedFile) -> None:
        before = file.errors
        try:
            loaded, errors = load_documents((self._path / name).read_bytes(), file=name)
        except ObjectError as error:
            file.errors = (error,)
        except OSError as error:
            reason = _reason(self._path / name, error)
            file.errors = (ObjectError(source=name, name="", reason=reason),)
        else:
            kept = {error.name for error in errors}
            last_good = {key: each for key, each in file.objects.items() if str(key) in kept}
            file.objects = last_good | {each.object.key: each for each in reversed(loaded)}
            file.errors = (*errors, *_repeated(loaded))
        _report(before, file.errors)

    def _changes(self) -> tuple[Change, ...]:
        """Compare what all files say together with what was given out; what went comes first."""
        merged: dict[ObjectKey, LoadedObject] = {}
        givers: dict[ObjectKey, str] = {}
        for key, name in self._givers.items():
            if name in self._files and key in self._files[name].objects:
                merged[key], givers[key] = self._files[name].objects[key], name
        doubles: list[ObjectError] = []
        for name in sorted(self._files):
            for key, each in self._files[name].objects.items():
                if givers.setdefault(key, name) == name:
                    merged[key] = each
                else:
                    doubles.append(_double(each, merged[key]))
        self._givers = givers
        _report(self._doubles, tuple(doubles))
        self._doubles = tuple(doubles)
        before, self._given = self._given, merged
        return tuple(_differences(before, merged))


def _followed(entry: os.DirEntry[str]) -> os.stat_result:
    """Look at the file, or at the link where it leads to nothing: reading it will say so."""
    try:
        return entry.stat()
    except FileNotFoundError:
        return entry.stat(follow_symlinks=False)


def _reason(path: Path, error: OSError) -> str:
    """Say why the file cannot be read."""
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return f"a link to nothing: {path.readlink()}"
    return f"{error.strerror}"


def _differences(
    before: dict[ObjectKey, LoadedObject], after: dict[ObjectKey, LoadedObject]
) -> Iterator[Change]:
    for key in before.keys() - after.keys():
        yield _change(ChangeKind.DELETED, before[key])
    for key, each in after.items():
        if key not in before:
            yield _change(ChangeKind.ADDED, each)
        elif each.object != before[key].object:
            yield _change(ChangeKind.MODIFIED, each)


def _change(kind: ChangeKind, loaded: LoadedObject) -> Change:
    return Change(kind=kind, object=loaded.object, document=loaded.document)


def _repeated(loaded: list[LoadedObject]) -> Iterator[ObjectError]:
    first: dict[ObjectKey, LoadedObject] = {}
    for each in loaded:
        known = first.setdefault(each.object.key, each)
        if known is not each:
            yield _double(each, known)


def _double(second: LoadedObject, first: LoadedObject) -> ObjectError:
    reason = f"metadata.name: stands already in {first.source}, which counts"
    return ObjectError(source=second.source, name=str(second.object.key), reason=reason)


def _report(before: tuple[ObjectError, ...], now: tuple[ObjectError, ...]) -> None:
    """Log what was not wrong a moment ago."""
    known = {str(error) for error in before}
    for error in now:
        if str(error) not in known:
            logger.error("object refused error=%r", str(error))
