"""The course of a soak: one life of the server after the other, and what must hold meanwhile.

A life is rounds of load, every fourth of them an overload; after each the emitter rests until the
accounts add up to the last event.
It ends in the middle of another: after SIGKILL the load ends before the next life begins, which
must tell all that was missed; after SIGTERM it goes on while nobody reads, and then somebody does.
"""

import logging
import signal
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.cluster import Numbers
from bench.emission import Emission, Run, emitting
from bench.errors import WrongAnswerError
from bench.ingest_node import SEED
from bench.live import pinned_count, pinned_map
from bench.recorded import renumber
from bench.soaking.accounts import Balance, at_rest, events_told, settle
from bench.soaking.honest import HonestClient
from bench.soaking.lives import CAPACITY, Life, Place
from bench.soaking.load import Load, Round
from bench.soaking.plateau import WARM_UP_SAMPLES, Plateau, Sample, plateau, sampling
from bench.soaking.readers import Readers, reading
from bench.workload import SyntheticNode

logger = logging.getLogger(__name__)

_SAMPLES: Final = 16_384
_UNREADABLE_EVERY: Final = 1_024
_NO_KIND: Final = 0xFF
_ROUND_S: Final = 8.0
_LAST_ROUND_S: Final = 8.0
_BEFORE_END_S: Final = 2.0


@dataclass(slots=True, kw_only=True)
class Soak:
    """What goes on from one life to the next."""

    name: str
    """Of the node."""
    arguments: Sequence[str]
    place: Place
    folder: Path
    load: Load
    honest: HonestClient
    emitter: ExitStack
    """Gets the emitter, which needs a life's pins: each brings a ring map of its own."""
    pool: ThreadPoolExecutor
    emission: Emission | None = None
    runs: list[Run] = field(default_factory=list)
    pending: "Future[Run] | None" = None
    """Load that goes on while no server runs."""
    told: int = 0
    """Events told when the last life ended."""
    checks: int = 0
    unread: int = 0
    """Events that a life did not read before it was killed, as the next one told."""
    pinned: int = 0
    """Maps, programs and links of the node, as the first life pinned them."""
    plateaus: list[Plateau] = field(default_factory=list)
    count: int = 0
    """Lives so far."""

    def live(self, seconds: float, how: signal.Signals) -> None:
        """Start a server, load it for so long, and end it under load.

        Raises:
            WrongAnswerError: anything that must hold does not.
        """
        deadline = time.monotonic() + seconds
        log = self.folder / "server.log"
        life = Life(name=self.name, arguments=self.arguments, place=self.place, log=log)
        with closing(life):
            life.wait_until_ready()
            self.honest.turn()
            self.count += 1
            with sampling(life.pid) as samples, reading(self.place.unix) as readers:
                start = self._attach(readers)
                self._load(readers, start, deadline, samples)
                self._end(life, how)

    def finish(self) -> None:
        """Wait until the load that goes on has ended."""
        if self.pending is not None:
            self.runs.append(self.pending.result())
            self.pending = None

    def _attach(self, readers: Readers) -> Balance:
        """Wait for the readers, and for the load to end that went on; where the accounts begin."""
        readers.wait_until_attached()
        was_loaded = self.pending is not None
        self.finish()
        self.emitter.close()
        self.emission = None
        if not was_loaded:
            return Balance.at_birth(self.told)
        # the table may have been overrun before the readers came: this life's count begins here
        return at_rest(lambda: self._look(readers))

    def _load(
        self, readers: Readers, start: Balance, deadline: float, samples: list[Sample]
    ) -> None:
        full_at: int | None = None
        before = settle(lambda: self._look(readers), start)
        self.unread += before.read.lost_events - start.read.lost_events
        while True:
            self._emit(_ROUND_S, self.load.next_per_second)
            self.finish()
            balance = settle(lambda: self._look(readers), start)
            self._note(before, balance)
            before = balance
            self._check()
            if full_at is None and balance.seen > 2 * CAPACITY:
                full_at = len(samples) + WARM_UP_SAMPLES
            if time.monotonic() > deadline:
                break
        self._judge(samples[full_at:] if full_at is not None else [])

    def _note(self, before: Balance, after: Balance) -> None:
        done = Round(
            is_overload=self.load.next_is_overload,
            per_second=self.runs[-1].per_second,
            written=after.written - before.written,
            lost=after.read.lost_events - before.read.lost_events,
        )
        self.load.took(done)
        logger.info(
            "soak: life %d, %s: %.0f k events/s, %.1f %% lost and counted",
            self.count,
            "overload" if done.is_overload else "steady",
            done.per_second / 1e3,
            100 * done.lost_share,
        )

    def _check(self) -> None:
        """What must hold every ten seconds, besides the accounts."""
        self.checks += 1
        expected = self.place.certificates.replace()
        if self.place.shown_certificate() != expected:
            raise WrongAnswerError("soak: the server does not show its new certificate")
        tally = self.honest.tally()
        if tally.refused:
            raise WrongAnswerError(
                f"soak: honest client refused {tally.refused} times of {tally.served}: "
                f"{self.honest.complaints()}"
            )
        pinned = pinned_count(self.name)
        self.pinned = self.pinned or pinned
        if pinned != self.pinned:
            raise WrongAnswerError(f"soak: {pinned} objects are pinned, {self.pinned} at first")

    def _judge(self, samples: Sequence[Sample]) -> None:
        found = plateau(samples)
        if found is None:
            return
        if faults := found.faults():
            raise WrongAnswerError(f"soak: life {self.count}: {'; '.join(faults)}")
        self.plateaus.append(found)

    def _start_emitter(self) -> AbstractContextManager[Emission]:
        node, batch = SyntheticNode(SEED), SyntheticNode(SEED).batch(_SAMPLES)
        renumber(batch, Numbers.of(node))
        batch.samples[::_UNREADABLE_EVERY, 0] = _NO_KIND  # so that decoding loses some too
        samples = self.folder / "samples"
        samples.write_bytes(batch.samples.tobytes())
        return emitting(samples, pinned_map(self.name, "events"), pinned_map(self.name, "counters"))

    def _end(self, life: Life, how: signal.Signals) -> None:
        self._emit(_LAST_ROUND_S, self.load.steady_per_second)
        time.sleep(_BEFORE_END_S)
        self.honest.turn()
        life.end(how)
        self.told = events_told(pinned_map(self.name, "told"))
        if how is signal.SIGKILL:
            self.finish()

    def _look(self, readers: Readers) -> Balance:
        return Balance(
            written=sum(run.emitted.written for run in self.runs),
            told=events_told(pinned_map(self.name, "told")),
            seen=self.place.status().seen_flows,
            read=readers.read(),
        )

    def _emit(self, seconds: float, per_second: int) -> None:
        if self.emission is None:
            self.emission = self.emitter.enter_context(self._start_emitter())
        count = int(per_second * seconds)
        self.pending = self.pool.submit(self.emission.emit, count, per_second)
