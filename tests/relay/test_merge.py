"""The merge against what it promises, for any order in which nodes may speak."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.lane.wire import PREFIX_BYTES, frame
from relay.merge import MOST_BUFFERED_BYTES, Merge, Source
from relay.scan import Batch
from relay.times import FOREVER, stamp_of

PATIENCE_S = 1.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def batch_of(messages: list[tuple[int, bytes]]) -> Batch:
    """Messages with their stamps as a batch."""
    edges, data = [0], b""
    for _, content in messages:
        data += frame(content)
        edges.append(len(data))
    return Batch(data, edges, [stamp for stamp, _ in messages])


def taken(merge: Merge) -> list[bytes]:
    """Take all there is."""
    found = []
    while (framed := merge.take()) is not None:
        position, count = 0, 0
        while position < len(framed.data):
            size = int.from_bytes(framed.data[position + 1 : position + PREFIX_BYTES], "big")
            found.append(framed.data[position + PREFIX_BYTES : position + PREFIX_BYTES + size])
            position += PREFIX_BYTES + size
            count += 1
        assert count == framed.count
    return found


def merge_of(clock: Clock, *, follows: bool = False) -> tuple[Merge, list[None]]:
    rings: list[None] = []
    made = Merge(
        patience_s=PATIENCE_S, clock_s=clock, wake=lambda: rings.append(None), follows=follows
    )
    return made, rings


def push(source: Source, *stamps: int, frontier: int | None = None) -> None:
    batches = [batch_of([(stamp, f"{stamp}".encode()) for stamp in stamps])] if stamps else []
    source.push(batches, max(stamps) if frontier is None else frontier)


@dataclass
class Told:
    """What a node has to say, in order: chunks of flows, and how far it is in between."""

    chunks: list[list[int]]
    said: int = 0
    ended: bool = False
    source: Source | None = None
    stamps: list[int] = field(default_factory=list)


HISTORIES = st.lists(
    st.lists(st.lists(st.integers(0, 60), max_size=6), max_size=5), min_size=1, max_size=5
)


@given(HISTORIES, st.data())
def test_any_interleaving_gives_all_in_order(
    histories: list[list[list[int]]], data: st.DataObject
) -> None:
    merge, _ = merge_of(Clock())
    nodes = []
    for number, chunks in enumerate(histories):
        values = iter(sorted(value for chunk in chunks for value in chunk))
        nodes.append(Told(chunks=[[next(values) for _ in chunk] for chunk in chunks]))
        nodes[number].source = merge.add()
    output: list[bytes] = []
    while any(not node.ended for node in nodes):
        number = data.draw(st.sampled_from([i for i, node in enumerate(nodes) if not node.ended]))
        node = nodes[number]
        assert node.source is not None
        if node.said == len(node.chunks):
            node.ended = True
            node.source.end()
        elif chunk := node.chunks[node.said]:
            name = f"{number}.{node.said}"
            batch = batch_of([(stamp, f"{stamp:03} {name}".encode()) for stamp in chunk])
            node.source.push([batch], chunk[-1])
            node.said += 1
        else:
            later = [stamp for rest in node.chunks[node.said :] for stamp in rest]
            node.source.push([], min(later, default=61))
            node.said += 1
        if data.draw(st.booleans()):
            output += taken(merge)
    output += taken(merge)
    expected = [
        f"{stamp:03} {number}.{place}".encode()
        for number, node in enumerate(nodes)
        for place, chunk in enumerate(node.chunks)
        for stamp in chunk
    ]
    assert [line[:3] for line in output] == sorted(line[:3] for line in expected)
    assert sorted(output) == sorted(expected)
    assert merge.is_empty


@given(st.data())
@settings(max_examples=60)
def test_what_dies_comes_back_or_is_silent_loses_nothing(data: st.DataObject) -> None:
    """One node speaks by the rules, the other dies, comes back late, is silent for too long."""
    clock = Clock()
    merge, _ = merge_of(clock)
    steady, unsteady = merge.add(), merge.add()
    expected: list[bytes] = []
    output: list[bytes] = []
    moment = 0
    for step in range(data.draw(st.integers(1, 25))):
        moment += data.draw(st.integers(0, 5))
        match data.draw(st.sampled_from(["steady", "unsteady", "die", "wait", "take"])):
            case "steady":
                content = b"steady %05d" % moment
                steady.push([batch_of([(moment, content)])], moment)
                expected.append(content)
            case "unsteady":
                time = max(unsteady.frontier, moment - data.draw(st.integers(0, 9)), 0)
                if time < FOREVER:
                    content = b"unsteady %d %d" % (step, time)
                    unsteady.push([batch_of([(time, content)])], time)
                    expected.append(content)
            case "die":
                unsteady.end()
                unsteady = merge.add(limits=False)
            case "wait":
                clock.now_s += 1.1
                steady.push([], moment)
                merge.give_up()
            case _:
                output += taken(merge)
    steady.end()
    unsteady.end()
    output += taken(merge)
    assert sorted(output) == sorted(expected)
    kept = [line for line in output if line.startswith(b"steady")]
    assert kept == sorted(kept)
    assert merge.is_empty


def test_a_node_that_said_nothing_holds_the_others_up_until_patience_ends() -> None:
    clock = Clock()
    merge, _ = merge_of(clock)
    loud, silent = merge.add(), merge.add()
    push(loud, 1, 2)
    assert taken(merge) == []
    assert merge.due_s() == clock.now_s + PATIENCE_S
    clock.now_s += 0.9
    assert merge.give_up() == 0
    clock.now_s += 0.2
    assert merge.give_up() == 1
    assert taken(merge) == [b"1", b"2"]
    assert merge.due_s() is None
    # it speaks again, of the past: that goes at once and holds nobody up
    push(silent, 1)
    push(loud, 3)
    assert taken(merge) == [b"1", b"3"]
    # it has caught up: from now on it counts again
    push(silent, 3)
    push(loud, 5)
    assert taken(merge) == [b"3"]
    push(silent, 4)
    assert taken(merge) == [b"4"]


def test_progress_lets_the_others_go_on() -> None:
    merge, _ = merge_of(Clock())
    one, other = merge.add(), merge.add()
    push(one, 5, 7, 9)
    push(other, frontier=7)
    assert taken(merge) == [b"5", b"7"]
    push(other, frontier=9)
    assert taken(merge) == [b"9"]


def test_the_same_time_said_again_is_silence() -> None:
    clock = Clock()
    merge, _ = merge_of(clock)
    live, stuck = merge.add(), merge.add()
    push(live, 1, 5)
    push(stuck, frontier=3)
    assert taken(merge) == [b"1"]
    for _ in range(4):
        clock.now_s += 0.3
        push(stuck, frontier=3)
    assert merge.give_up() == 1
    assert taken(merge) == [b"5"]


@pytest.mark.parametrize("follows", [True, False])
def test_a_clock_that_is_wrong_holds_up_only_history(follows: bool) -> None:
    clock = Clock()
    merge, _ = merge_of(clock, follows=follows)
    right, behind = merge.add(), merge.add()

    def tell(source: Source, behind_s: float) -> None:
        push(source, stamp_of(int((clock.now_s - behind_s) * 1e9)))

    output = []
    for _ in range(50):
        clock.now_s += 0.1
        tell(behind, 60.0)
        tell(right, 0.0)
        output += taken(merge)
        merge.give_up()
        output += taken(merge)
    recent = [line for line in output if int(line) > stamp_of(int(50 * 1e9))]
    assert bool(recent) is follows


def test_who_tells_an_hour_in_a_second_is_waited_for() -> None:
    clock = Clock()
    merge, _ = merge_of(clock, follows=True)
    live, late = merge.add(), merge.add()
    push(live, stamp_of(10_000 * 10**9))
    output = []
    for step in range(30):
        clock.now_s += 0.1
        push(late, stamp_of(step * 300 * 10**9))
        output += taken(merge)
        merge.give_up()
    assert [int(line) for line in output] == sorted(int(line) for line in output)
    assert len(output) == 30


def test_rings_only_where_something_can_be_taken() -> None:
    merge, rings = merge_of(Clock())
    slow, quick = merge.add(), merge.add()
    push(slow, frontier=1)
    push(quick, 2)
    assert merge.take() is None
    rings.clear()
    for stamp in range(3, 50):
        push(quick, stamp)
    assert rings == []
    push(slow, frontier=2)
    assert len(rings) == 1
    quick.end()
    assert len(rings) == 2


async def test_a_source_waits_for_room_and_goes_on_when_it_was_taken() -> None:
    merge, _ = merge_of(Clock())
    source = merge.add()
    content = b"x" * 10_000
    stamp = 0
    while source.buffered_bytes < MOST_BUFFERED_BYTES:
        source.push([batch_of([(stamp, content)])], stamp)
        stamp += 1
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(source.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        while merge.take() is not None:
            pass
    assert source.buffered_bytes == 0


def test_many_nodes_in_small_takes() -> None:
    merge, _ = merge_of(Clock())
    count, each = 200, 40
    for number in range(count):
        source = merge.add()
        push(source, *(place * count + number for place in range(each)))
        source.end()
    sizes = []
    while (framed := merge.take()) is not None:
        sizes.append(framed.count)
    assert sum(sizes) == count * each
    assert max(sizes) < 3_000
