"""Soak: a server under load that is killed, stopped, given new certificates and attacked.

    emitter ──► real rings ──► server, life after life ──► readers (all rows; losses alone)
                                 ▲ mTLS                    honest client, hostile clients

About every ten seconds the load rests until the accounts of this life add up to the last event, and
the certificate is replaced. Wrong is: a count that does not add up, memory or descriptors that
grow, a certificate that is not taken up, an honest client that was refused while no restart went
on. Needs root and openssl; not among the lines that run by default.
"""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

from bench.errors import WrongAnswerError
from bench.live import lone_node
from bench.measurement import Conditions, Measurement
from bench.soaking.attackers import attackers
from bench.soaking.certificates import Certificates
from bench.soaking.course import Soak
from bench.soaking.honest import honest_client
from bench.soaking.lives import Place

_LINE: Final = "soak"
_LONG_SHARE: Final = 0.4
_SHORT_SHARE: Final = 0.1
_SHORTEST_S: Final = 10.0


def measure(conditions: Conditions) -> Iterator[Measurement]:
    """Soak for the minutes asked for; figures only if all was right."""
    folder = conditions.folder / _LINE
    folder.mkdir()
    with ExitStack() as stack:
        certificates = Certificates(folder / "tls")
        name, arguments = stack.enter_context(lone_node(folder))
        place = Place.under(folder, certificates)
        soak = Soak(
            name=name,
            arguments=arguments,
            place=place,
            folder=folder,
            per_second=conditions.soak_events_per_s,
            honest=stack.enter_context(honest_client(place, folder)),
            stack=stack,
            pool=stack.enter_context(ThreadPoolExecutor(1)),
        )
        attacks = stack.enter_context(attackers(place))
        for number, seconds in enumerate(lives(conditions.soak_minutes * 60)):
            soak.live(seconds, signal.SIGTERM if number % 2 else signal.SIGKILL)
        soak.finish()
        yield from _measurements(soak, attacks())


def lives(seconds: float) -> list[float]:
    """Split the time: a long life first, then short ones."""
    split = [max(_SHORTEST_S, _LONG_SHARE * seconds)]
    short = max(_SHORTEST_S, _SHORT_SHARE * seconds)
    while sum(split) + short <= seconds + 1e-6:
        split.append(short)
    return split


def _measurements(soak: Soak, attacks: dict[str, int]) -> Iterator[Measurement]:
    if not all(attacks.values()):
        raise WrongAnswerError(f"soak: attacks that were never carried out: {attacks}")
    tally = soak.honest.tally()
    if not tally.served:
        raise WrongAnswerError("soak: the honest client was never served")
    written = sum(run.emitted.written for run in soak.runs)
    attacked = ", ".join(f"{name} {count}" for name, count in attacks.items())
    yield Measurement(
        line=_LINE,
        what="load",
        unit="k/s",
        values=tuple(run.per_second / 1e3 for run in soak.runs),
        note=f"{written:,} events in {soak.count} lives, accounts exact at {soak.checks} checks; "
        f"attacks: {attacked}",
    )
    yield Measurement(
        line=_LINE,
        what="events lost and counted, of those in whole rounds",
        unit="%",
        values=(100 * soak.lost / soak.judged,),
        note="by a full ring, no reader, or decoding; what was missed between two lives included",
    )
    yield Measurement(
        line=_LINE,
        what="honest client, rounds served",
        unit="",
        values=(float(tally.served),),
        note=f"{tally.excused} failed during restarts, none else",
    )
    if soak.plateaus:
        yield Measurement(
            line=_LINE,
            what="memory, last third of a life against its first",
            unit="MB",
            values=tuple(each.growth_bytes / 1e6 for each in soak.plateaus),
            note="of lives long enough to tell; descriptors flat too",
        )
