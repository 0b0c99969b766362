"""Follow: the highest rate at which a following client gets every event, from ring to client.

Events are emitted by a BPF program into the real rings of a live server; emitter, server and
client are three processes on this machine's CPUs. The rate grows step by step, and a step counts
when every single event arrived and none was reported as lost. Rings and table hold some 130,000
events between them: a step is long enough that they cannot hide a client that is too slow, but
in a quick run they can. Needs root.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from api.proto.observer import observer_pb2
from bench.clients import read_raw
from bench.cluster import Numbers
from bench.emission import Emission, emitting
from bench.errors import WrongAnswerError
from bench.follower import Counter, Follower, follow_decoding, follow_raw, following
from bench.ingest_node import CAPACITY, SEED
from bench.live import live
from bench.measurement import Budget, Conditions, Measurement
from bench.node import Node
from bench.recorded import renumber
from bench.workload import Mix, SyntheticNode

_LINE: Final = "follow"
_SAMPLES: Final = 16_384
_SLOWEST: Final = 50_000
_STEP: Final = 1.25
_STEP_S: Final = 3.0
_QUICK_STEP_S: Final = 0.3
_FASTEST: Final = 2_000_000
_BACK_STEPS: Final = 2
_RAW_K_PER_S: Final = 300.0
_DECODING_SHARE: Final = 0.9
_MEAN_BYTES: Final = 800
_ARRIVE_S: Final = 10.0

Read = Callable[[str, Counter, Counter], None]


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Thousands of events per second for a raw and a decoding client."""
    source = SyntheticNode(SEED, Mix(odd_share=0.0))
    batch = source.batch(_SAMPLES)
    renumber(batch, Numbers.of(source))
    samples = conditions.folder / "samples"
    samples.write_bytes(batch.samples.tobytes())
    with live(conditions.folder) as (node, ring_map), emitting(samples, ring_map) as emission:
        search = partial(_search, conditions, node, emission)
        yield _measurement("raw client", search(follow_raw), _RAW_K_PER_S, "")
        from_memory = _decoding_k_per_s(node, emission)
        yield _measurement(
            "decoding client (lane, protobuf)",
            search(follow_decoding),
            min(_DECODING_SHARE * from_memory, _RAW_K_PER_S),
            f"alone it decodes {from_memory:.0f} k/s from memory; budget: 0.9 of that, "
            "at most the raw client's",
        )


def _measurement(what: str, found: "list[Step]", limit: float, note: str) -> Measurement:
    losses = "; ".join(f"{each.lossy_k_per_s:.0f} k/s lost {each.missing}" for each in found)
    return Measurement(
        line=_LINE,
        what=f"{what}, without loss",
        unit="k/s",
        values=tuple(each.k_per_s for each in found),
        budget=Budget(limit=limit, ceiling=False),
        note="; ".join(filter(None, (note, f"next step: {losses}"))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where a search ended."""

    k_per_s: float
    """Highest rate without loss."""
    lossy_k_per_s: float
    missing: int
    """Events that did not arrive at the step above."""


def _search(conditions: Conditions, node: Node, emission: Emission, read: Read) -> list[Step]:
    """Search from slow to fast, then again from a little below what was found."""
    seconds = _QUICK_STEP_S if conditions.quick else _STEP_S
    with following(read, node.target) as follower:
        _warm_up(follower, emission)
        found: list[Step] = []
        first = float(_SLOWEST)
        for _ in range(conditions.repeats(3)):
            found.append(_climb(follower, emission, first, seconds))
            first = max(_SLOWEST, found[-1].k_per_s * 1e3 / _STEP**_BACK_STEPS)
        return found


def _climb(follower: Follower, emission: Emission, first: float, seconds: float) -> Step:
    best, rate = 0.0, first
    while rate < _FASTEST:
        per_second, missing = _try(follower, emission, int(rate), seconds)
        if missing:
            return Step(k_per_s=best / 1e3, lossy_k_per_s=per_second / 1e3, missing=missing)
        best = per_second
        rate *= _STEP
    return Step(k_per_s=best / 1e3, lossy_k_per_s=0.0, missing=0)


def _try(
    follower: Follower, emission: Emission, per_second: int, seconds: float
) -> tuple[float, int]:
    """Emit for so long: the rate it really was, and how many events did not arrive.

    Raises:
        WrongAnswerError: more flows arrived than were emitted, or a loss was not reported.
    """
    before = follower.counts()
    run = emission.emit(int(per_second * seconds), per_second)
    written = run.emitted.written
    wanted = before.flows + written
    after = follower.wait_until_quiet(flows=wanted, timeout_s=_ARRIVE_S)
    missing = wanted - after.flows
    if missing < 0:
        raise WrongAnswerError(f"follow: {-missing} flows more than the {written} emitted")
    if missing:
        time.sleep(2)  # losses are reported once a second
        told = follower.counts().lost - before.lost
        if told < missing:
            raise WrongAnswerError(f"follow: {missing} of {written} missing, {told} reported lost")
    return run.per_second, missing


def _warm_up(follower: Follower, emission: Emission) -> None:
    """Emit a few until the client sees them, then let all of them arrive."""
    deadline = time.monotonic() + _ARRIVE_S
    while follower.counts().flows == 0:
        if time.monotonic() > deadline:
            raise WrongAnswerError("follow: no event arrives")
        emission.emit(100, 10_000)
        time.sleep(0.1)
    follower.wait_until_quiet(flows=1 << 62, timeout_s=_ARRIVE_S)


def _decoding_k_per_s(node: Node, emission: Emission) -> float:
    """How fast this machine decodes the same messages when nobody else wants its CPUs."""
    emission.emit(CAPACITY, _SLOWEST)
    received = read_raw(node.target, observer_pb2.GetFlowsRequest(number=CAPACITY))
    mean_bytes = received.size_bytes / received.count
    if mean_bytes < _MEAN_BYTES:
        raise WrongAnswerError(f"follow: flows of {mean_bytes:.0f} bytes, need {_MEAN_BYTES}")
    parse = observer_pb2.GetFlowsResponse.FromString
    # reports of what the search before this one lost stand in the table too
    flows = [message for message in received.messages or () if parse(message).HasField("flow")]
    return len(flows) / min(_decoding_s(flows) for _ in range(3)) / 1e3


def _decoding_s(messages: Sequence[bytes]) -> float:
    parse = observer_pb2.GetFlowsResponse.FromString
    started = time.perf_counter()
    for message in messages:
        parse(message).HasField("flow")
    return time.perf_counter() - started
