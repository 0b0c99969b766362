"""Programs on interfaces by clsact filters, for kernels without tcx (before 6.6).

A filter of fixed priority and handle, named after its node: so it is found again by whoever comes
after us, and replaced in place without a packet in between. It stays when its process goes, and
goes with its interface. Filters of others are left alone, and so is the clsact qdisc, which they
may use: an empty one costs nothing. Those behind ours run where a program returns TC_ACT_UNSPEC.
Formats: struct tcmsg and TCA_* of linux/rtnetlink.h and linux/pkt_cls.h.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from observer.kernel.errors import KernelError
from observer.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Message,
    Requests,
    attribute,
    attributes,
)

RTM_NEWQDISC, RTM_GETQDISC = 36, 38
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
_TCMSG: Final = struct.Struct("=BxxxiIII")
"""tcmsg: family, interface, handle, parent, info (priority << 16 | protocol)."""
_TCA_KIND, _TCA_OPTIONS = 1, 2
_TCA_BPF_FD, _TCA_BPF_NAME, _TCA_BPF_FLAGS = 6, 7, 8
_DIRECT_ACTION: Final = 1
_TC_H_CLSACT: Final = 0xFFFF_FFF1
_QDISC_HANDLE: Final = 0xFFFF_0000

PRIORITY: Final = 1
"""First, as with tcx. A bpf filter of others may have it too: handles tell them apart."""
HANDLE: Final = 0x1EA7
_INFO: Final = PRIORITY << 16 | socket.htons(3)  # ETH_P_ALL
_GONE: Final = (errno.ENODEV, errno.ENOENT, errno.EINVAL)
"""What a filter that is not there, or whose interface, qdisc or priority is not, answers."""


class Hook(NamedTuple):
    """One of the two places of a clsact qdisc."""

    parent: int
    program: str


HOOKS: Final = (Hook(0xFFFF_FFF2, "from_endpoint"), Hook(0xFFFF_FFF3, "to_endpoint"))


class Filters:
    """The filters of one node, in one network namespace."""

    def __init__(self, *, node: str, programs: Mapping[str, int], netns: Path | None) -> None:
        """Open a socket; `programs` are file descriptors by name, none to only take away."""
        self._programs = programs
        self._name = f"leavitt:{node}".encode() + b"\0"
        self._requests = Requests(netns)
        self._known: set[int] = set()

    def close(self) -> None:
        """Let go; filters stay."""
        self._requests.close()

    def find(self) -> frozenset[int]:
        """Look at all interfaces for filters of this node, at one hook at least."""
        try:
            qdiscs = self._requests.dump(RTM_GETQDISC, _TCMSG.pack(0, 0, 0, 0, 0))
        except OSError as error:
            raise KernelError(f"list qdiscs: {error.strerror}") from error
        with_clsact = (_ifindex(each) for each in qdiscs if _kind(each) == b"clsact\0")
        self._known = {i for i in with_clsact if any(self._has(i, hook) for hook in HOOKS)}
        return frozenset(self._known)

    def attach(self, ifindex: int) -> None:
        """Attach both programs, or put them in the place of those that are there.

        Raises:
            KernelError: The interface does not exist, or the kernel has no clsact.
        """
        try:
            self._make_qdisc(ifindex)
            for hook in HOOKS:
                self._requests.change(
                    RTM_NEWTFILTER, self._filter(ifindex, hook, self._program(hook)), NLM_F_CREATE
                )
        except OSError as error:
            raise KernelError(_why_not(error, ifindex)) from error
        self._known.add(ifindex)

    def detach(self, ifindex: int) -> None:
        """Take both programs off; one that is off, or gone, is no error."""
        if ifindex not in self._known:
            return
        for hook in HOOKS:
            try:
                # another node's filter may be in the place of ours by now
                if self._has(ifindex, hook):
                    self._requests.change(RTM_DELTFILTER, self._filter(ifindex, hook, b""))
            except OSError as error:
                if error.errno not in _GONE:
                    message = f"detach filter from interface {ifindex}: {error.strerror}"
                    raise KernelError(message) from error
        self._known.discard(ifindex)

    def attached(self) -> frozenset[int]:
        """Interfaces that have both programs, of those found or attached to."""
        return frozenset(i for i in self._known if all(self._has(i, hook) for hook in HOOKS))

    def _make_qdisc(self, ifindex: int) -> None:
        body = _TCMSG.pack(0, ifindex, _QDISC_HANDLE, _TC_H_CLSACT, 0)
        body += attribute(_TCA_KIND, b"clsact\0")
        with suppress(FileExistsError):
            self._requests.change(RTM_NEWQDISC, body, NLM_F_CREATE | NLM_F_EXCL)

    def _has(self, ifindex: int, hook: Hook) -> bool:
        return any(self._names(ifindex, hook))

    def _names(self, ifindex: int, hook: Hook) -> Iterator[bool]:
        """Tell of each filter at that place whether it is ours."""
        body = _TCMSG.pack(0, ifindex, 0, hook.parent, _INFO)
        try:
            found = self._requests.dump(RTM_GETTFILTER, body)
        except OSError as error:
            if error.errno not in _GONE:
                raise KernelError(f"list filters: {error.strerror}") from error
            return
        for message in found:
            _, _, handle, _, _ = _TCMSG.unpack_from(message.body)
            options = attributes(attributes(message.body, _TCMSG.size).get(_TCA_OPTIONS, b""), 0)
            yield handle == HANDLE and options.get(_TCA_BPF_NAME) == self._name

    def _program(self, hook: Hook) -> bytes:
        options = attribute(_TCA_BPF_FD, self._programs[hook.program])
        options += attribute(_TCA_BPF_NAME, self._name)
        options += attribute(_TCA_BPF_FLAGS, _DIRECT_ACTION)
        return attribute(_TCA_OPTIONS, options)

    @staticmethod
    def _filter(ifindex: int, hook: Hook, options: bytes) -> bytes:
        body = _TCMSG.pack(0, ifindex, HANDLE, hook.parent, _INFO)
        return body + attribute(_TCA_KIND, b"bpf\0") + options


def _ifindex(message: Message) -> int:
    return int(_TCMSG.unpack_from(message.body)[1])


def _kind(message: Message) -> bytes:
    return attributes(message.body, _TCMSG.size).get(_TCA_KIND, b"")


def _why_not(error: OSError, ifindex: int) -> str:
    if error.errno == errno.ENODEV:
        return f"attach programs: no interface has index {ifindex}"
    if error.errno == errno.ENOENT:
        return (
            f"attach programs to interface {ifindex}: this kernel has no clsact: "
            "it needs CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF"
        )
    return (
        f"attach programs to interface {ifindex}: {os.strerror(error.errno or 0)}: "
        f"a filter of another kind may have priority {PRIORITY}: tc filter show"
    )
