"""Programs on interfaces, whichever way this kernel has: tcx links or clsact filters.

Changing from one way to the other loses no packet and sees none twice: a tcx program that passes,
drops or redirects a packet ends its way before clsact, so the new one is put on first and the old
one taken off then. Observing programs pass packets on to both for that moment.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from observer.kernel.clsact import Filters
from observer.kernel.links import Links, has_tcx


class Attach(StrEnum):
    """How programs are put on interfaces."""

    AUTO = "auto"
    """tcx where the kernel has it."""
    TCX = "tcx"
    CLSACT = "clsact"


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """Where and how."""

    node: str
    netns: Path | None
    """Namespace of the interfaces; None: this process's own."""
    attach: Attach


class Hooks:
    """The programs of one node on its interfaces. All methods raise KernelError."""

    def __init__(self, settings: HookSettings, *, links: Path, programs: Mapping[str, int]) -> None:
        """Take the folder of pinned links and the programs' descriptors by name."""
        self._links_folder = links
        self._links = Links(folder=links, programs=programs, netns=settings.netns)
        self._filters = Filters(node=settings.node, programs=programs, netns=settings.netns)
        self.way = settings.attach
        """What is used, never `auto`."""
        if settings.attach is Attach.AUTO:
            self.way = Attach.TCX if has_tcx(programs["from_endpoint"]) else Attach.CLSACT

    def close(self) -> None:
        """Let go; what is attached stays."""
        self._filters.close()

    def attach(self, ifindex: int) -> None:
        """Attach both programs, or put them in the place of those that are there."""
        self._own.attach(ifindex)

    def detach(self, ifindex: int) -> None:
        """Take both programs off; one that is off, or gone, is no error."""
        self._own.detach(ifindex)

    def attached(self) -> frozenset[int]:
        """Interfaces that have both programs."""
        return self._own.attached()

    def take_over(self, earlier: Sequence[Path]) -> None:
        """Put our programs in the place of all that are there, those in earlier folders too."""
        for folder in (self._links_folder, *earlier):
            self._links.take_over(folder)
        for ifindex in self._filters.find():
            self._own.attach(ifindex)
            if self.way is Attach.TCX:
                self._filters.detach(ifindex)
        if self.way is Attach.CLSACT:
            for ifindex in self._links.found():
                self._filters.attach(ifindex)
                self._links.detach(ifindex)

    @property
    def _own(self) -> Links | Filters:
        return self._links if self.way is Attach.TCX else self._filters


def detach_filters(*, node: str, netns: Path | None) -> frozenset[int]:
    """Take the filters of a node off the interfaces of a namespace: which had any."""
    with closing(Filters(node=node, programs={}, netns=netns)) as filters:
        found = filters.find()
        for ifindex in found:
            filters.detach(ifindex)
    return found
