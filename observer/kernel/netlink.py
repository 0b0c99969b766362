"""Netlink messages to and from the kernel: requests, dumps and their attributes.

In: a network namespace. Out: messages of an answer as (kind, body), or an OSError with the kernel's
number. A codec of our own, since a library costs 14 MB of a server's memory for the dozen kinds of
messages that we need. Formats: linux/netlink.h, netlink(7); native byte order.
"""

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from observer.kernel.netns import inside

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x4, 0x10, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400

HEADER = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence, port."""
ATTRIBUTE = struct.Struct("=HH")
"""rtattr: length, type; the value follows, padded to 4 bytes."""
ATTRIBUTE_TYPE_MASK = 0x3FFF
RECEIVE_BYTES = 1 << 16
REQUEST_TIMEOUT_S = 5.0
MOST_REPEATS = 4
_NUMBER: Final = struct.Struct("=i")


class Message(NamedTuple):
    """One message of an answer, or one notice."""

    kind: int
    """RTM_NEWLINK and so on."""
    body: bytes
    """The fixed header of its kind and the attributes behind it."""


def open_socket(netns: Path | None, *, groups: int = 0) -> socket.socket:
    """Open an rtnetlink socket in the namespace, listening to the groups of notices.

    Raises:
        KernelError: The namespace cannot be entered.
    """
    with inside(netns):
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    opened.bind((0, groups))
    return opened


class Requests:
    """Asks the kernel and reads its answers; blocking, one request at a time."""

    def __init__(self, netns: Path | None) -> None:
        self._socket = open_socket(netns)
        self._socket.settimeout(REQUEST_TIMEOUT_S)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def dump(self, kind: int, body: bytes) -> list[Message]:
        """Ask for everything of a kind; asks again when it changed meanwhile.

        Raises:
            OSError: The kernel refused or did not answer.
        """
        messages, is_torn = self._ask(kind, body, NLM_F_DUMP)
        for _ in range(MOST_REPEATS):
            if not is_torn:
                break
            messages, is_torn = self._ask(kind, body, NLM_F_DUMP)
        return messages

    def get(self, kind: int, body: bytes) -> Message:
        """Ask for one thing.

        Raises:
            OSError: There is no such thing, or we may not see it.
        """
        [message], _ = self._ask(kind, body, 0)
        return message

    def change(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Ask for a change, and wait until it is made.

        Raises:
            OSError: The kernel refused.
        """
        self._ask(kind, body, flags | NLM_F_ACK)

    def _ask(self, kind: int, body: bytes, flags: int) -> tuple[list[Message], bool]:
        self._sequence += 1
        header = HEADER.pack(
            HEADER.size + len(body), kind, flags | NLM_F_REQUEST, self._sequence, 0
        )
        self._socket.send(header + body)
        messages: list[Message] = []
        is_torn = False
        while True:
            for answer, answer_flags, sequence in parse(self._socket.recv(RECEIVE_BYTES)):
                if sequence != self._sequence:
                    continue  # of a request that timed out
                is_torn |= bool(answer_flags & NLM_F_DUMP_INTR)
                if answer.kind == NLMSG_ERROR:
                    number = -_NUMBER.unpack_from(answer.body)[0]
                    if number:
                        raise OSError(number, f"ask rtnetlink: {os.strerror(number)}: {kind}")
                    return messages, is_torn
                if answer.kind == NLMSG_DONE:
                    return messages, is_torn
                messages.append(answer)
                if not flags:
                    return messages, is_torn


def parse(data: bytes) -> Iterator[tuple[Message, int, int]]:
    """Split what was received into messages, each with its flags and sequence number."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, flags, sequence, _ = HEADER.unpack_from(data, offset)
        if not HEADER.size <= length <= len(data) - offset:
            return
        yield Message(kind, data[offset + HEADER.size : offset + length]), flags, sequence
        offset += length + 3 & ~3


def attributes(body: bytes, offset: int) -> dict[int, bytes]:
    """Find the attributes behind a message's fixed header of `offset` bytes, by type."""
    found: dict[int, bytes] = {}
    while offset + ATTRIBUTE.size <= len(body):
        length, kind = ATTRIBUTE.unpack_from(body, offset)
        if not ATTRIBUTE.size <= length <= len(body) - offset:
            break
        found[kind & ATTRIBUTE_TYPE_MASK] = body[offset + ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3
    return found


def attribute(kind: int, value: int | bytes) -> bytes:
    """Write an attribute: a number of 32 bits, or bytes."""
    content = _NUMBER.pack(value) if isinstance(value, int) else value
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(content), kind) + content + bytes(-len(content) % 4)
