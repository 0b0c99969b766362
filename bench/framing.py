"""gRPC's message framing, read apart from HTTP/2: a flag, a length, the message.

Shares no code with `api.lane`. Whole answers are cut into messages when the clock has stopped;
streams without end are counted as they come.
"""

import struct
from collections.abc import Iterator
from typing import Final

from bench.errors import WrongAnswerError

PREFIX: Final = struct.Struct(">BI")


class MessageCutter:
    """Counts the messages of a stream without end, and keeps the short ones."""

    def __init__(self, *, keep_below_bytes: int) -> None:
        self._keep_below = keep_below_bytes
        self._kept: list[bytes] = []
        self._rest = b""

    def feed(self, payload: memoryview) -> int:
        """Take what one DATA frame held; how many messages ended in it."""
        data = self._rest + payload if self._rest else payload
        offset, size, count = 0, len(data), 0
        while size - offset >= PREFIX.size:
            length = PREFIX.unpack_from(data, offset)[1]
            end = offset + PREFIX.size + length
            if end > size:
                break
            if length < self._keep_below:
                self._kept.append(bytes(data[offset + PREFIX.size : end]))
            offset = end
            count += 1
        self._rest = bytes(data[offset:])
        return count

    def take_kept(self) -> list[bytes]:
        """Take the short messages since the last call."""
        kept, self._kept = self._kept, []
        return kept


def messages(data: bytes) -> Iterator[bytes]:
    """Cut whole gRPC messages out of joined payloads.

    Raises:
        WrongAnswerError: a compressed message, or bytes that are left over.
    """
    offset, size = 0, len(data)
    while size - offset >= PREFIX.size:
        compressed, length = PREFIX.unpack_from(data, offset)
        end = offset + PREFIX.size + length
        if compressed or end > size:
            break
        yield data[offset + PREFIX.size : end]
        offset = end
    if offset != size:
        raise WrongAnswerError(f"cut messages: stopped at {offset} of {size} bytes")
