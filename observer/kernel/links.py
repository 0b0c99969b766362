"""Programs on interfaces by tcx links, pinned, so that they stay when their process goes.

A link is updated in place, so that a new program takes over without a packet in between. An
interface that was deleted leaves a dead link behind (ENOLINK); its number may come again, so dead
links are replaced. Interfaces may live in another network namespace.
"""

import errno
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from observer.kernel import syscall
from observer.kernel.errors import KernelError
from observer.kernel.netns import inside

HOOKS: Final = {"ingress": ("from_endpoint", 46), "egress": ("to_endpoint", 47)}
"""Hook of the host side: program, enum bpf_attach_type."""
_NO_INTERFACE: Final = 0x7FFF_FFFF


def has_tcx(program_fd: int) -> bool:
    """Ask for a link to an interface that cannot exist: that it is missing is the answer."""
    try:
        os.close(syscall.link_create(program_fd, _NO_INTERFACE, HOOKS["ingress"][1]))
    except OSError as error:
        return error.errno == errno.ENODEV
    return True


class Links:
    """The links of one node's folder."""

    def __init__(self, *, folder: Path, programs: Mapping[str, int], netns: Path | None) -> None:
        """Take the folder of pins; `programs` are file descriptors by name."""
        self._folder = folder
        self._programs = programs
        self._netns = netns

    def attach(self, ifindex: int) -> None:
        """Attach both programs, or put them in the place of those that hang there.

        Raises:
            KernelError: The interface does not exist, or the kernel has no tcx.
        """
        for hook, (program, attach_type) in HOOKS.items():
            path = self._folder / f"{ifindex}-{hook}"
            if not self._update(path, self._programs[program]):
                self._create(path, self._programs[program], ifindex, attach_type)

    def detach(self, ifindex: int) -> None:
        """Take both programs off; one that is off already is no error."""
        for hook in HOOKS:
            self._drop(self._folder / f"{ifindex}-{hook}")

    def attached(self) -> frozenset[int]:
        """Interfaces that have both programs."""
        return frozenset(i for i, count in self._alive().items() if count == len(HOOKS))

    def found(self) -> frozenset[int]:
        """Interfaces that have at least one: a process may have been killed in between."""
        return frozenset(self._alive())

    def _alive(self) -> dict[int, int]:
        """Count the links by interface, without dead ones."""
        hooks: dict[int, int] = {}
        for path in self._folder.iterdir():
            fd = syscall.open_pin(path)
            ifindex = syscall.link_ifindex(fd)
            os.close(fd)
            if ifindex:
                hooks[ifindex] = hooks.get(ifindex, 0) + 1
        return hooks

    def take_over(self, folder: Path) -> None:
        """Put these programs in the place of an earlier process's; drop dead links.

        The folder is ours, or that of another version, whose links become ours.
        """
        for path in list(folder.iterdir()):
            _, _, hook = path.name.partition("-")
            if not self._update(path, self._programs[HOOKS[hook][0]]):
                path.unlink()
            elif folder != self._folder:
                self._adopt(path)

    def _adopt(self, path: Path) -> None:
        """Pin another folder's link here; a process that was killed may have done so already."""
        fd = syscall.open_pin(path)
        try:
            syscall.pin(fd, self._folder / path.name)
        except FileExistsError:
            pass
        finally:
            os.close(fd)
        path.unlink()

    def _update(self, path: Path, program_fd: int) -> bool:
        """False: there is no link, or its interface is gone."""
        try:
            fd = syscall.open_pin(path)
        except FileNotFoundError:
            return False
        try:
            syscall.link_update(fd, program_fd)
        except OSError as error:
            if error.errno == errno.ENOLINK:
                return False
            raise KernelError(f"update link: {error.strerror}: {path}") from error
        finally:
            os.close(fd)
        return True

    def _create(self, path: Path, program_fd: int, ifindex: int, attach_type: int) -> None:
        path.unlink(missing_ok=True)
        try:
            with inside(self._netns):
                fd = syscall.link_create(program_fd, ifindex, attach_type)
        except OSError as error:
            raise KernelError(_why_not(error, ifindex)) from error
        try:
            syscall.pin(fd, path)
        finally:
            os.close(fd)

    @staticmethod
    def _drop(path: Path) -> None:
        try:
            fd = syscall.open_pin(path)
        except FileNotFoundError:
            return
        try:
            syscall.link_detach(fd)
        except OSError as error:
            if error.errno != errno.ENOLINK:
                raise KernelError(f"detach link: {error.strerror}: {path}") from error
        finally:
            os.close(fd)
            path.unlink()


def _why_not(error: OSError, ifindex: int) -> str:
    if error.errno == errno.ENODEV:
        return f"attach programs: no interface has index {ifindex}"
    if error.errno == errno.EINVAL:
        return (
            f"attach programs to interface {ifindex}: kernel {platform.release()} has no tcx "
            "(6.6 or later has): --attach clsact, or auto"
        )
    return f"attach programs to interface {ifindex}: {error.strerror}"
