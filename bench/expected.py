"""What a server that plays a recording must answer: the check behind every figure.

Each flow is matched with its packet by its time, which a replay keeps, and compared with what
the slow reference reads from the sample. Packets of which the reference says nothing only have
to be there.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from api.proto.flow import flow_pb2
from api.proto.observer import observer_pb2
from bench.errors import WrongAnswerError
from bench.reference import Packet, of_flow, read
from observer.samples import SampleBatch

_NS: Final = 1_000_000_000


def time_of(text: str) -> int:
    """Read an RFC 3339 time in UTC with up to nine digits, as nanoseconds since 1970."""
    whole, _, rest = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * _NS + int(rest.ljust(9, "0"))


class Expected:
    """The packets of a recording by their time."""

    def __init__(self, batches: Iterable[SampleBatch]) -> None:
        self._samples: dict[int, list[bytes]] = {}
        self._packets: dict[int, tuple[Packet | None, ...]] = {}
        for batch in batches:
            times = (batch.mono_ns + batch.wall_offset_ns).tolist()
            for time_ns, sample in zip(times, batch.samples, strict=True):
                self._samples.setdefault(time_ns, []).append(sample.tobytes())

    def check(self, messages: Sequence[bytes], count: int) -> None:
        """Compare an answer of GetFlows.

        Raises:
            WrongAnswerError: another count, not in order, a flow of no packet or not like its
                packet, an event lost.
        """
        if len(messages) != count:
            raise WrongAnswerError(f"read flows: {len(messages)}, expected {count}")
        last_ns = 0
        for index, message in enumerate(messages):
            response = observer_pb2.GetFlowsResponse.FromString(message)
            if response.WhichOneof("response_types") != "flow":
                raise WrongAnswerError(f"read flow {index}: {response}")
            time_ns = response.time.seconds * _NS + response.time.nanos
            if time_ns < last_ns:
                raise WrongAnswerError(f"read flow {index}: older than the one before it")
            last_ns = time_ns
            self._check_flow(index, time_ns, response.flow)

    def check_packet(self, what: str, time_ns: int, found: Packet) -> None:
        """Compare one flow with the packets of its time.

        Raises:
            WrongAnswerError: none is like it.
        """
        packets = self._packets_at(time_ns)
        if not packets:
            raise WrongAnswerError(f"{what}: no packet passed at {time_ns} ns: {found}")
        if found not in packets and None not in packets:
            raise WrongAnswerError(f"{what}: {found}, the packet says {packets}")

    def _check_flow(self, index: int, time_ns: int, flow: flow_pb2.Flow) -> None:
        self.check_packet(f"read flow {index}", time_ns, of_flow(flow))

    def _packets_at(self, time_ns: int) -> tuple[Packet | None, ...]:
        """Read the samples of a time once, and only when asked."""
        found = self._packets.get(time_ns)
        if found is None:
            found = tuple(read(sample) for sample in self._samples.get(time_ns, ()))
            self._packets[time_ns] = found
        return found
